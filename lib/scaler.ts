/**
 * The loss scale as an immutable value: it grows while gradients stay finite and backs off when they overflow.
 *
 * The rules are those of PyTorch's `GradScaler` (Micikevicius and others, "Mixed precision training", 2018).
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type * as t from "io-ts";
import { checkOptionNames, type OptionNames } from "./option_names.ts";
import { plainCodec } from "./plain.ts";
import { aBoolean, demand, dependent, exactRecord, finite, integer, must, oneOf, type Plain, shown } from "./rules.ts";

// --- types

/** A loss scale and where it stands: frozen plain data, safe in JSON. */
export interface Scaler {
  readonly _tag: "Scaler";
  /** What the loss is multiplied by. */
  readonly scale: number;
  readonly growthFactor: number;
  readonly backoffFactor: number;
  /** How many steps in a row must stay finite before the scale grows. */
  readonly growthInterval: number;
  /** How many steps in a row have stayed finite since the scale last changed. */
  readonly tracker: number;
}

/** Gradients by name, as `tf.variableGrads` gives them, or in a row, as `tf.grads` does. */
export type Gradients = tf.NamedTensorMap | readonly tf.Tensor[];

// --- constructors

/** The least normal float32: below it, `1 / scale` overflows and scaled gradients lose their bits. */
const least = 1.1754943508222875e-38;

const isUsable = (scale: number): boolean => scale >= least && Number.isFinite(Math.fround(scale));

const scaleType = finite("a normal float32 number above 0", isUsable);

const scalerType: Plain<Scaler> = dependent(
  exactRecord({
    _tag: oneOf("Scaler"),
    scale: scaleType,
    growthFactor: finite("a finite number above 1", (x) => x > 1),
    backoffFactor: finite("a number above 0 and below 1", (x) => x > 0 && x < 1),
    growthInterval: integer(1),
    tracker: integer(0),
  }),
  ({ tracker, growthInterval }) => ({
    tracker: must(`below growthInterval, which is ${growthInterval}`, () => tracker < growthInterval),
  }),
);

const optionNames = {
  scale: true,
  growthFactor: true,
  backoffFactor: true,
  growthInterval: true,
} satisfies OptionNames<
  NonNullable<Parameters<typeof make>[0]>
>;

/** The scaler, or a `TypeError` for what says nothing of being one. */
function checked(name: string, scaler: Scaler): Scaler {
  if (Object(scaler)._tag === "Scaler" && scaleType.is(scaler.scale)) return scaler;
  throw new TypeError(`Expected ${name} to be given a scaler, found ${shown(scaler)}: make one with Scaler.make`);
}

/**
 * A scaler before its first step.
 *
 * @param options `scale`: the first scale, 65536 by default; `growthFactor`: above 1, 2 by default; `backoffFactor`: below 1, 0.5 by
 * default; `growthInterval`: finite steps in a row before the scale grows, 2000 by default. Others are a `TypeError`.
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Scaler.make().scale, 65536);
 * assert.equal(Scaler.update(true)(Scaler.make()).scale, 32768);
 * ```
 */
export function make(
  options: {
    readonly scale?: number;
    readonly growthFactor?: number;
    readonly backoffFactor?: number;
    readonly growthInterval?: number;
  } = {},
): Scaler {
  checkOptionNames("Scaler.make", options, optionNames);
  const defaults = { scale: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000, tracker: 0 };
  const scaler: Scaler = { _tag: "Scaler", ...defaults, ...options };
  demand("scaler", scalerType, scaler);
  return Object.freeze(scaler);
}

// --- capture and restore

/**
 * The codec of {@link Scaler}: it encodes as itself, and decoding refuses, with a message each, every field that is missing, unknown or
 * impossible. Law: round trip.
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const scaler = Scaler.make({ growthInterval: 100 });
 * assert.deepEqual(Scaler.codec.decode(JSON.parse(JSON.stringify(scaler))), { _tag: "Right", right: scaler });
 * ```
 */
export const codec: t.Type<Scaler, Scaler, unknown> = plainCodec(
  "Scaler",
  scalerType,
  (scaler) => Object.freeze({ ...scaler }),
);

// --- combinators

/**
 * The loss times the scale, to be differentiated in the loss's place.
 *
 * @param scaler The scaler; it stays as it is.
 * @returns A function that may be used inside `tf.variableGrads`; the scaled loss is a new tensor.
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * assert.equal(Scaler.scale(Scaler.make({ scale: 8 }))(tf.scalar(0.5)).arraySync(), 4);
 * ```
 */
export function scale(scaler: Scaler): (loss: tf.Scalar) => tf.Scalar {
  const factor = checked("Scaler.scale", scaler).scale;
  return (loss) => tf.mul(loss, factor);
}

/**
 * Gradients of the scaled loss, divided by the scale, and whether any of them is NaN or infinite.
 *
 * Nothing is read back: `overflow` is a scalar of dtype `bool` to be read when convenient (`(await overflow.data())[0] === 1`).
 * Where it is true, leave optimizer and schedule as they are for this step.
 *
 * @param scaler The scaler; it stays as it is.
 * @returns New tensors under the same names or indices, multiplied by the reciprocal, which is exact for scales that are powers
 * of two; dispose of them and of the scaled ones, or call this in `tf.tidy`.
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * const { grads, overflow } = Scaler.unscale(Scaler.make({ scale: 8 }))({ kernel: tf.tensor1d([4, Infinity]) });
 * assert.deepEqual(grads.kernel.arraySync(), [0.5, Infinity]);
 * assert.equal((await overflow.data())[0], 1);
 * ```
 */
export function unscale(scaler: Scaler): <G extends Gradients>(grads: G) => { grads: G; overflow: tf.Scalar } {
  const reciprocal = 1 / checked("Scaler.unscale", scaler).scale;
  return <G extends Gradients>(grads: G) => {
    const tensors = must(
      "tensors by name or in an array",
      (u) => Object(u) === u && Object.values(u as object).every(isTensor),
    );
    demand("the gradients of Scaler.unscale", tensors, grads);
    const [overflow, ...unscaled] = tf.tidy(() => {
      const products = Object.values(grads).map((grad) => tf.mul(grad, reciprocal));
      // An empty tensor overflows nothing, but its `tf.all` is false on the cpu backend.
      const finite = products.filter((product) => product.size > 0).reduce(
        (all, product) => tf.logicalAnd(all, tf.all(tf.isFinite(product))),
        tf.scalar(true, "bool"),
      );
      return [tf.logicalNot(finite), ...products];
    });
    const named = Array.isArray(grads)
      ? unscaled
      : Object.fromEntries(Object.keys(grads).map((name, i) => [name, unscaled[i]]));
    return { grads: named as G, overflow: overflow as tf.Scalar };
  };
}

function isTensor(value: unknown): boolean {
  return value instanceof tf.Tensor;
}

/**
 * The scaler after a step: an overflow multiplies the scale by `backoffFactor`, `growthInterval` finite steps in a row by `growthFactor`.
 *
 * A scale that float32 could not hold is not taken: it stays where it was.
 *
 * @param overflow Whether the gradients of the step were not all finite, as {@link unscale} found.
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const scaler = Scaler.make({ scale: 4, growthInterval: 2 });
 * assert.equal(Scaler.update(false)(Scaler.update(false)(scaler)).scale, 8);
 * assert.equal(Scaler.update(true)(scaler).scale, 2);
 * ```
 */
export function update(overflow: boolean): (scaler: Scaler) => Scaler {
  demand("overflow of Scaler.update", aBoolean, overflow);
  return (scaler) => {
    checked("Scaler.update", scaler);
    const tracker = overflow ? 0 : scaler.tracker + 1;
    if (!overflow && tracker < scaler.growthInterval) return Object.freeze({ ...scaler, tracker });
    const moved = scaler.scale * (overflow ? scaler.backoffFactor : scaler.growthFactor);
    return Object.freeze({ ...scaler, scale: isUsable(moved) ? moved : scaler.scale, tracker: 0 });
  };
}
