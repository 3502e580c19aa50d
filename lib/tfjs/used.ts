/**
 * Which of tfjs's objects a step uses and changes, whether or not a component holds them.
 *
 * Variables are registered with tfjs's engine; optimizers and layers are met as they are used (tfjs-core 4.22: every optimizer of its own
 * calls `incrementIterations`; tfjs-layers 4.22: every layer is called through `Layer.apply`). A changed value has another data id.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { isPlainRecord } from "../rules.ts";
import { tensorsInFields } from "./fields.ts";
import { sublayers } from "./names.ts";
import { layerFields } from "./private_fields.ts";

// --- types

type DataId = tf.Tensor["dataId"];

/** Watches steps for what they change. */
export interface Uses {
  /** Runs a step. */
  readonly during: <A>(run: () => Promise<A>) => Promise<A>;
  /** What the last step changed of all that was there before it, but for what a snapshot after it holds. */
  readonly changed: (held: ReadonlySet<object>) => readonly string[];
}

/** One thing that may change: its values one after the other, and what to call it. */
interface Watched {
  readonly values: readonly DataId[];
  readonly name: string;
}

// --- constructors

/** The tensors in an optimizer's fields, at any depth. */
function optimizerTensors(optimizer: tf.Optimizer): readonly tf.Tensor[] {
  return [...tensorsInFields(optimizer)];
}

/** A layer with all layers in it. */
function layersIn(layer: tf.layers.Layer): readonly tf.layers.Layer[] {
  const inside = layer instanceof tf.LayersModel ? layer.layers : sublayers(layer).flatMap(([, some]) => some);
  return [layer, ...inside.flatMap(layersIn)];
}

function statesOf(layer: tf.layers.Layer): readonly tf.Tensor[] {
  return (layerFields(layer).states_ ?? []).flat().filter((state): state is tf.Tensor => state instanceof tf.Tensor);
}

function layerTensors(layer: tf.layers.Layer): readonly tf.Tensor[] {
  return layersIn(layer).flatMap((one) => {
    const { _trainableWeights = [], _nonTrainableWeights = [] } = layerFields(one);
    return [...[..._trainableWeights, ..._nonTrainableWeights].map(({ val }) => val), ...statesOf(one)];
  });
}

/** Every tensor and variable in components, at any depth of plain data, those of models and optimizers among them. */
export function tensorsIn(value: unknown, seen: Set<unknown> = new Set()): ReadonlySet<tf.Tensor> {
  if (typeof value !== "object" || value === null || seen.has(value)) return new Set();
  seen.add(value);
  if (value instanceof tf.Tensor) return new Set([value]);
  if (value instanceof tf.Optimizer) return new Set(optimizerTensors(value));
  if (value instanceof tf.layers.Layer) {
    const optimizer = value instanceof tf.LayersModel ? value.optimizer as tf.Optimizer | undefined : undefined;
    return new Set([...layerTensors(value), ...tensorsIn(optimizer, seen)]);
  }
  const parts = Array.isArray(value) ? value : isPlainRecord(value) ? Object.values(value) : [];
  return new Set(parts.flatMap((part) => [...tensorsIn(part, seen)]));
}

// --- combinators

/** Puts a function that tells of its `this` in place of a method, until the result is called. */
function tell(prototype: object, method: string, told: (self: object) => void): () => void {
  const methods = prototype as Record<string, (...args: unknown[]) => unknown>;
  const original = methods[method];
  if (original === undefined) return () => {};
  const telling = function (this: object, ...args: unknown[]): unknown {
    told(this);
    return original.apply(this, args);
  };
  methods[method] = telling;
  return () => {
    if (methods[method] === telling) methods[method] = original;
  };
}

/** A watch over the steps of one run. */
export function uses(): Uses {
  const { state } = tf.engine() as unknown as {
    readonly state: { readonly registeredVariables: Readonly<Record<string, tf.Variable>> };
  };
  const [optimizers, layers] = [new Set<tf.Optimizer>(), new Set<tf.layers.Layer>()];
  const owners = new Map<tf.Tensor, string>();
  const all = (): ReadonlyMap<object, Watched> => {
    for (const layer of layers) {
      const name = `the ${layer instanceof tf.LayersModel ? "model" : "layer"} ${layer.name}`;
      for (const tensor of layerTensors(layer)) if (!owners.has(tensor)) owners.set(tensor, name);
    }
    for (const optimizer of optimizers) {
      for (const tensor of optimizerTensors(optimizer)) {
        owners.set(tensor, `an optimizer of the class ${optimizer.getClassName()}`);
      }
    }
    const named = (variable: tf.Variable): Watched => ({
      values: [variable.dataId],
      name: owners.get(variable) ?? `the variable ${variable.name}`,
    });
    const ids = (tensors: readonly tf.Tensor[]): readonly DataId[] => tensors.map(({ dataId }) => dataId);
    return new Map<object, Watched>([
      ...Object.values(state.registeredVariables).map((variable) => [variable, named(variable)] as const),
      ...[...optimizers].map((optimizer) =>
        [optimizer, {
          values: ids(optimizerTensors(optimizer)),
          name: `an optimizer of the class ${optimizer.getClassName()}`,
        }] as const
      ),
      ...[...layers].map((layer) =>
        [layer, { values: ids(statesOf(layer)), name: `the states of the layer ${layer.name}` }] as const
      ),
    ]);
  };
  let before: ReadonlyMap<object, Watched> = new Map();
  return {
    during: async (run) => {
      before = all();
      const restores = [
        tell(tf.Optimizer.prototype, "incrementIterations", (self) => optimizers.add(self as tf.Optimizer)),
        tell(tf.layers.Layer.prototype, "apply", (self) => layers.add(self as tf.layers.Layer)),
      ];
      try {
        return await run();
      } finally {
        for (const restore of restores) restore();
      }
    },
    changed: (held) => {
      const names = [...all()].flatMap(([object, { values, name }]) => {
        const earlier = before.get(object)?.values ?? [];
        const other = (value: DataId, i: number): boolean =>
          earlier[i] !== undefined && earlier[i] !== value && !held.has(value);
        return values.some(other) ? [name] : [];
      });
      return [...new Set(names)];
    },
  };
}
