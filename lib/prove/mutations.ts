/**
 * Finds the tfjs objects that a training step mutates, whether or not a component holds them.
 *
 * The engine lists all variables. Optimizers and layers are found when a step uses them: in tfjs-core 4.22 each of tfjs's own optimizers
 * calls `incrementIterations`, and in tfjs-layers 4.22 each layer is called through `Layer.apply`. A mutated value has another data id.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { replaceFunction } from "./nondeterminism.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { tensorsInFields } from "../tfjs/optimizers/mod.ts";
import { sublayers } from "../tfjs/layers/mod.ts";
import { layerFields } from "../tfjs/mod.ts";

// --- types

/** Records what steps mutate. */
export interface MutationRecorder {
  /** Runs a step. */
  readonly during: <A>(run: () => Promise<A>) => Promise<A>;
  /** Names what the last step mutated among the objects that existed before it, except values in a snapshot taken after it. */
  readonly changed: (inSnapshot: ReadonlySet<object>) => readonly string[];
}

/** The optimizers and layers that steps have used. */
interface Used {
  readonly optimizers: ReadonlySet<tf.Optimizer>;
  readonly layers: ReadonlySet<tf.layers.Layer>;
}

/** The owner of a tensor, in words. */
type TensorOwners = ReadonlyMap<tf.Tensor, string>;

/** The objects that a step may mutate: the data ids of their values, and their names in messages. */
type Mutables = ReadonlyMap<object, readonly [values: readonly object[], name: string]>;

// --- constructors

/** A layer and all layers inside it. */
function nestedLayers(layer: tf.layers.Layer): readonly tf.layers.Layer[] {
  const inside = layer instanceof tf.LayersModel ? layer.layers : sublayers(layer).flatMap(([, some]) => some);
  return [layer, ...inside.flatMap(nestedLayers)];
}

function statesOf(layer: tf.layers.Layer): readonly tf.Tensor[] {
  return (layerFields(layer).states_ ?? []).flat().filter((state): state is tf.Tensor => state instanceof tf.Tensor);
}

function layerTensors(layer: tf.layers.Layer): readonly tf.Tensor[] {
  return nestedLayers(layer).flatMap((one) => {
    const { _trainableWeights = [], _nonTrainableWeights = [] } = layerFields(one);
    return [...[..._trainableWeights, ..._nonTrainableWeights].map(({ val }) => val), ...statesOf(one)];
  });
}

/** All tensors and variables in components: those in plain data at any depth, and those of models and optimizers. */
export function componentTensors(value: unknown, seen: Set<unknown> = new Set()): ReadonlySet<tf.Tensor> {
  if (typeof value !== "object" || value === null || seen.has(value)) return new Set();
  seen.add(value);
  if (value instanceof tf.Tensor) return new Set([value]);
  if (value instanceof tf.Optimizer) return new Set(tensorsInFields(value));
  if (value instanceof tf.layers.Layer) {
    const optimizer = value instanceof tf.LayersModel ? value.optimizer as tf.Optimizer | undefined : undefined;
    return new Set([...layerTensors(value), ...componentTensors(optimizer, seen)]);
  }
  const parts = Array.isArray(value) ? value : isPlainRecord(value) ? Object.values(value) : [];
  return new Set(parts.flatMap((part) => [...componentTensors(part, seen)]));
}

// --- combinators

/** Replaces a method by one that reports its `this` first. The result puts it back. */
function intercept(prototype: object, method: string, onCall: (self: object) => void): () => void {
  return replaceFunction(prototype, method, (original) =>
    function (this: object, ...args: unknown[]): unknown {
      onCall(this);
      return original.apply(this, args);
    });
}

function optimizerName(optimizer: tf.Optimizer): string {
  return `an optimizer of the class ${optimizer.getClassName()}`;
}

/** The names of variables after the optimizer, model or layer that owns them; `owners` has those found earlier. */
function withOwners(owners: TensorOwners, { optimizers, layers }: Used): TensorOwners {
  const ofLayers = [...layers].flatMap((layer) => {
    const name = `the ${layer instanceof tf.LayersModel ? "model" : "layer"} ${layer.name}`;
    return layerTensors(layer).map((tensor) => [tensor, name] as const);
  });
  const ofOptimizers = [...optimizers].flatMap((optimizer) =>
    [...tensorsInFields(optimizer)].map((tensor) => [tensor, optimizerName(optimizer)] as const)
  );
  // Of several layers that share a variable the first keeps it; a later entry replaces an earlier one.
  return new Map([...ofLayers.toReversed(), ...owners, ...ofOptimizers]);
}

/** What a step may mutate now: all variables of the engine, and the optimizers and layers in use. */
function mutables(owners: TensorOwners, { optimizers, layers }: Used): Mutables {
  const { state } = tf.engine() as unknown as {
    readonly state: { readonly registeredVariables: Readonly<Record<string, tf.Variable>> };
  };
  const entry = (object: object, tensors: Iterable<tf.Tensor>, name: string) =>
    [object, [Array.from(tensors, ({ dataId }): object => dataId), name]] as const;
  return new Map([
    ...Object.values(state.registeredVariables).map((variable) =>
      entry(variable, [variable], owners.get(variable) ?? `the variable ${variable.name}`)
    ),
    ...[...optimizers].map((optimizer) => entry(optimizer, tensorsInFields(optimizer), optimizerName(optimizer))),
    ...[...layers].map((layer) => entry(layer, statesOf(layer), `the states of the layer ${layer.name}`)),
  ]);
}

/** Records the mutations of one run's steps. */
export function recordMutations(): MutationRecorder {
  const [optimizers, layers] = [new Set<tf.Optimizer>(), new Set<tf.layers.Layer>()];
  let owners: TensorOwners = new Map();
  let before: Mutables = new Map();
  const now = (): Mutables => {
    owners = withOwners(owners, { optimizers, layers });
    return mutables(owners, { optimizers, layers });
  };
  return {
    during: async (run) => {
      before = now();
      const restores = [
        intercept(tf.Optimizer.prototype, "incrementIterations", (self) => optimizers.add(self as tf.Optimizer)),
        intercept(tf.layers.Layer.prototype, "apply", (self) => layers.add(self as tf.layers.Layer)),
      ];
      try {
        return await run();
      } finally {
        for (const restore of restores) restore();
      }
    },
    changed: (inSnapshot) => {
      const names = [...now()].flatMap(([object, [values, name]]) => {
        const earlier = before.get(object)?.[0] ?? [];
        const isChanged = (value: object, i: number): boolean =>
          earlier[i] !== undefined && earlier[i] !== value && !inSnapshot.has(value);
        return values.some(isChanged) ? [name] : [];
      });
      return [...new Set(names)];
    },
  };
}
