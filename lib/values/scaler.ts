/**
 * The loss scale as an immutable value: it grows while gradients are finite, and shrinks when they overflow.
 *
 * The rules are those of PyTorch's `GradScaler` (Micikevicius and others, "Mixed precision training", 2018).
 *
 * @example
 * ```ts
 * import { Scaler } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const scaler = Scaler.make({ scale: 1024 });
 * assert.equal(Scaler.update(true)(scaler).scale, 512);
 * ```
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type * as t from "io-ts";
import {
  aBoolean,
  checkCurried,
  checkOptionNames,
  demand,
  dependent,
  exactRecord,
  finite,
  foundOrAwait,
  integer,
  must,
  oneOf,
  type Plain,
  plainCodec,
} from "../validation/mod.ts";

// --- types

/** A loss scale and its position: frozen plain data, safe in JSON. */
export interface Scaler {
  /** Tells a scaler from other plain values. */
  readonly _tag: "Scaler";
  /** The factor of the loss. */
  readonly scale: number;
  /** The factor by which the scale grows. */
  readonly growthFactor: number;
  /** The factor by which the scale shrinks after an overflow. */
  readonly backoffFactor: number;
  /** How many consecutive finite steps make the scale grow. */
  readonly growthInterval: number;
  /** How many consecutive steps have been finite since the scale last changed. */
  readonly tracker: number;
}

/** Gradients by name, as from `tf.variableGrads`, or in an array, as from `tf.grads`. */
export type Gradients = tf.NamedTensorMap | readonly tf.Tensor[];

// --- constructors

/** The least normal float32: below it, `1 / scale` overflows and scaled gradients lose their bits. */
const least = 1.1754943508222875e-38;

const isUsable = (scale: number): boolean => scale >= least && Number.isFinite(Math.fround(scale));

const scaleType = finite("a normal float32 number above 0", isUsable);

/** What {@link make} accepts. */
const settings = {
  scale: scaleType,
  growthFactor: finite("a finite number above 1", (x) => x > 1),
  backoffFactor: finite("a number above 0 and below 1", (x) => x > 0 && x < 1),
  growthInterval: integer(1),
};

const scalerType: Plain<Scaler> = dependent(
  exactRecord({ _tag: oneOf("Scaler"), ...settings, tracker: integer(0) }),
  ({ tracker, growthInterval }) => ({
    tracker: must(`below growthInterval, which is ${growthInterval}`, () => tracker < growthInterval),
  }),
);

/** The scaler; any other value is a `TypeError`. */
function requireScaler(name: string, scaler: Scaler): Scaler {
  if (Object(scaler)._tag === "Scaler" && scaleType.is(scaler.scale)) return scaler;
  throw new TypeError(
    `Expected ${name} to receive a scaler, found ${foundOrAwait(scaler, "make one with Scaler.make")}`,
  );
}

/**
 * A scaler before its first step.
 *
 * @param options `scale`: the first scale, default 65536; `growthFactor`: above 1, default 2; `backoffFactor`: below 1, default 0.5;
 *   `growthInterval`: consecutive finite steps before the scale grows, default 2000. Unknown options are a `TypeError`.
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
export function make(options: Partial<Omit<Scaler, "_tag" | "tracker">> = {}): Scaler {
  checkOptionNames("Scaler.make", options, settings);
  const defaults = { scale: 65536, growthFactor: 2, backoffFactor: 0.5, growthInterval: 2000, tracker: 0 };
  const scaler: Scaler = { _tag: "Scaler", ...defaults, ...options };
  demand("scaler", scalerType, scaler);
  return Object.freeze(scaler);
}

// --- capture and restore

/**
 * The codec of {@link Scaler}: it encodes as itself. Decoding rejects missing, unknown and impossible fields, with a message for each.
 * Law: round trip.
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
 * Multiplies a loss by the scale. Differentiate the result in place of the loss.
 *
 * @param scaler The scaler, which does not change.
 * @returns A function for use inside `tf.variableGrads`; its result is a new tensor.
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
  checkCurried(arguments, 1, "Scaler.scale(scaler)(loss)");
  const factor = requireScaler("Scaler.scale", scaler).scale;
  return (loss) => tf.mul(loss, factor);
}

/**
 * Divides gradients of the scaled loss by the scale, and computes whether any of them is NaN or infinite.
 *
 * Nothing is read from the device: `overflow` is a scalar of dtype `bool` to read later (`(await overflow.data())[0] === 1`). If it is
 * true, do not step the optimizer and the schedule.
 *
 * @param scaler The scaler, which does not change.
 * @returns New tensors under the same names or indices, multiplied by the reciprocal of the scale, which is exact for powers of two.
 *   Dispose of them and of the scaled gradients, or call this in `tf.tidy`.
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
  checkCurried(arguments, 1, "Scaler.unscale(scaler)(grads)");
  const reciprocal = 1 / requireScaler("Scaler.unscale", scaler).scale;
  return <G extends Gradients>(grads: G) => {
    const tensors = must(
      "tensors by name or in an array",
      (u) => Object(u) === u && Object.values(u as object).every(isTensor),
    );
    demand("the gradients of Scaler.unscale", tensors, grads);
    const [overflow, ...unscaled] = tf.tidy(() => {
      const products = Object.values(grads).map((grad) => tf.mul(grad, reciprocal));
      // An empty tensor has no overflow, but its `tf.all` is false on the cpu backend.
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
 * The scaler after a step: an overflow multiplies the scale by `backoffFactor`, and `growthInterval` consecutive finite steps by
 * `growthFactor`. A product that float32 cannot hold leaves the scale as it is.
 *
 * @param overflow Whether a gradient of the step was NaN or infinite, as {@link unscale} computes.
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
  checkCurried(arguments, 1, "Scaler.update(overflow)(scaler)");
  demand("overflow of Scaler.update", aBoolean, overflow);
  return (scaler) => {
    requireScaler("Scaler.update", scaler);
    const tracker = overflow ? 0 : scaler.tracker + 1;
    if (!overflow && tracker < scaler.growthInterval) return Object.freeze({ ...scaler, tracker });
    const moved = scaler.scale * (overflow ? scaler.backoffFactor : scaler.growthFactor);
    return Object.freeze({ ...scaler, scale: isUsable(moved) ? moved : scaler.scale, tracker: 0 });
  };
}
