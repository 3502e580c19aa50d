/**
 * What trackers receive: the checks of it, and the histogram of values.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type Histogram, histogramOf } from "../logs/mod.ts";
import { elementValues } from "../state/mod.ts";
import { hold } from "../tfjs/mod.ts";
import {
  aName,
  checkOptions,
  demand,
  exactRecord,
  ifGiven,
  integer,
  must,
  type OptionRules,
  orNull,
  recordOf,
} from "../validation/mod.ts";
import type { TrackerStart } from "./tracker.ts";

// --- types

const aNumber = must("a number", (value) => typeof value === "number");
const aStep = integer(0);
const numbersByName = recordOf(aNumber, "a record of numbers");

const startRules: OptionRules<TrackerStart> = {
  step: aStep,
  run: ifGiven(orNull(aName)),
  parent: ifGiven(orNull(exactRecord({ run: aName, checkpoint: aStep, step: orNull(aNumber) }))),
};

/** A tensor with numbers, or numbers in an array or a typed array. */
const someValues = must(
  "a tensor of numbers that is not disposed, or an array of numbers",
  (values) =>
    values instanceof tf.Tensor
      ? !values.isDisposed && values.dtype !== "string"
      : (Array.isArray(values) || ArrayBuffer.isView(values)) &&
        Array.prototype.every.call(values, (value) => typeof value === "number"),
);

// --- checks

/** Checks the argument of `start`; a wrong one is a `TypeError`. */
export function checkStart(at: TrackerStart): void {
  checkOptions("start", at, startRules);
}

/** Checks the arguments of `log`; wrong ones are a `TypeError`. */
export function checkLog(values: unknown, step: unknown): void {
  demand("the values of log", numbersByName, values);
  demand("the step of log", aStep, step);
}

/** Checks the arguments of `histogram`; wrong ones are a `TypeError`. */
export function checkHistogram(name: unknown, values: unknown, step: unknown): void {
  demand("the name of histogram", aName, name);
  demand("the values of histogram", someValues, values);
  demand("the step of histogram", aStep, step);
}

// --- constructors

/** The histogram of values as they are now. A GPU is read meanwhile, from a reference to its data. */
export function histogramNow(values: tf.Tensor | ArrayLike<number>): Histogram | Promise<Histogram> {
  if (!(values instanceof tf.Tensor)) return histogramOf(values);
  const held = hold(values);
  const { peek, read, release } = held.home;
  const later = async (): Promise<Histogram> => {
    try {
      return histogramOf(elementValues(held, await read(held)));
    } finally {
      release(held);
    }
  };
  const bytes = peek(held);
  if (bytes === undefined) return later();
  const now = histogramOf(elementValues(held, bytes));
  release(held);
  return now;
}
