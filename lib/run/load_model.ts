/**
 * Loads a model alone: built from a checkpoint, without live objects.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import { guarded, type LoadError, type Mismatch, mismatch, type Problem, theirs } from "../errors/mod.ts";
import { dereference, type Encoded, extract, kindOf, nodesByPath, segment } from "../state/mod.ts";
import { checkStore, type Store } from "../store/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import { modelKind, uncompiled } from "../tfjs/layers/mod.ts";
import { modelFields } from "../tfjs/mod.ts";
import { aBoolean, aName, checkOptions, ifGiven, type OptionRules } from "../validation/mod.ts";
import { restoreState, type Snapshot } from "../snapshot.ts";
import { type ReadOptions, readRules, readWanted } from "./load.ts";

// --- types

/** The options of {@link loadModel}. */
export interface LoadModelOptions extends ReadOptions {
  /**
   * The name of the component that is the model.
   * @default "model"
   */
  readonly name?: string;
  /**
   * Whether a model that was compiled is compiled again, with its optimizer as it was. For inference, `false` spares the memory of the optimizer,
   * and loads a model whose loss or metrics are functions, which a checkpoint does not hold.
   * @default true
   */
  readonly compile?: boolean;
}

const modelRules: OptionRules<LoadModelOptions> = { ...readRules, name: ifGiven(aName), compile: ifGiven(aBoolean) };

// --- restore

/** The problem of a component that is no model, with the components there are. */
function notAModel({ components }: Encoded, name: string): readonly Problem[] {
  const nodes = nodesByPath(components);
  const kinds = new Map(components.map(([one, node]) => [one, kindOf(dereference(node, segment(one), nodes)[0])]));
  const kind = kinds.get(name);
  if (kind === modelKind.name) return [];
  const others = [...kinds].map(([one, kind]) => `${segment(one)} (${kind})`).join(", ");
  const remedy = `Name the model: { name }. The components are ${others}`;
  const about = { path: segment(name), expected: "a component that is a model", remedy };
  return [{ ...about, kind: kind === undefined ? "missing" : "kind", found: kind ?? "no component of this name" }];
}

/**
 * Loads a model from a checkpoint, without live objects: for inference, evaluation or export.
 *
 * Only the model is built; layers that it shares with other components belong to it alone. The run that the next save of this process continues
 * stays as it is. Only the files that hold the model's tensors are read, every byte of them checked: with `compile: false` a component named
 * `model` is read without its optimizer.
 *
 * @param store The store.
 * @param options Which checkpoint (by default the newest), the name of the component, whether to compile, whether to fall back to another
 *   checkpoint if that is damaged, and callbacks.
 * @returns The model, compiled if it was. The left is as for {@link loadState}; `Mismatch` also if the component is no model, with the components
 *   there are, or if the model cannot be built: of a class that is not registered, or compiled with a function as loss or metric, unless
 *   `compile` is false.
 *
 * Laws: *round trip*; *no trace*: when the model is disposed of, `tf.memory()` is as before.
 *
 * @example
 * ```ts
 * import { loadModel, memory, saveState } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const [store, x] = [memory(), tf.ones([1, 2])];
 * const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [2] })] });
 * model.compile({ optimizer: "adam", loss: "meanSquaredError" });
 * await saveState(store, { metrics: { val_loss: 0.1 } })({ model, step: 1 });
 * const best = await loadModel(store, { checkpoint: { best: "val_loss", mode: "min" }, compile: false });
 * const [a, b] = [best, model].map((one) => (one.predict(x) as tf.Tensor).dataSync());
 * assert.deepEqual(a, b);
 * ```
 */
export function loadModel(store: Store, options: LoadModelOptions = {}): Awaitable<LoadError, tf.LayersModel> {
  checkStore(store, "loadModel(store)");
  checkOptions("loadModel", options, modelRules);
  const { name = "model", compile = true, onReport = () => {} } = options;
  const change = compile ? undefined : uncompiled;
  const load = async (): Promise<E.Either<LoadError, tf.LayersModel>> => {
    const notLoaded = (problems: readonly Problem[], checkpoint: number): Mismatch => ({
      ...mismatch(problems),
      reading: { location: store.location, checkpoint },
    });
    const found = await readWanted(store, options, {
      foresee: (encoded, checkpoint) => {
        const problems = notAModel(encoded, name);
        return problems.length === 0 ? undefined : notLoaded(problems, checkpoint);
      },
      part: (encoded) => extract(encoded, name, change),
    })();
    if (E.isLeft(found)) return found;
    const { snapshot, report } = found.right;
    const restored = restoreState(snapshot as Snapshot<Record<string, tf.LayersModel>>);
    if (E.isRight(restored)) {
      const model = restored.right[name]!;
      // Only the model refers to the optimizer, so `model.dispose()` disposes of it.
      modelFields(model).isOptimizerOwned = true;
      try {
        theirs(onReport)(report);
      } catch (thrown) {
        model.dispose();
        throw thrown;
      }
    }
    return pipe(
      restored,
      E.map((components) => components[name]!),
      E.mapLeft((error) => error._tag === "Mismatch" ? notLoaded(error.problems, report.checkpoint) : error),
    );
  };
  return awaitable(guarded("load", store.location, load));
}
