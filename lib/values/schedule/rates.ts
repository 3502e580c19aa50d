/**
 * The rate of each kind of schedule at a step.
 *
 * Rates are computed with `+ - * /` and `Math.sqrt` only, so that every runtime gives the same bits: `Math.cos` and `Math.pow` differ between
 * JavaScript engines in the last bits.
 *
 * @module
 */
import type { Of, Schedule } from "./kinds.ts";

// --- combinators

/** A product or sum of rates, at most the largest double: 0 times infinity would be NaN. */
function bounded(x: number): number {
  return Math.min(x, Number.MAX_VALUE);
}

/** The rate before it is rounded to float32: a finite number from 0. */
export function exactRate(s: Schedule): number {
  return bounded(unboundedRate(s));
}

function unboundedRate(s: Schedule): number {
  switch (s.kind) {
    case "constant":
      return s.base;
    case "step":
      return s.base * power(s.factor, Math.floor(s.step / s.every));
    case "multiStep":
      return s.base * power(s.factor, s.milestones.filter((milestone) => milestone <= s.step).length);
    case "exponential":
      return s.base * power(s.factor, s.step);
    case "cosine":
      return eased(s.base, s.final, Math.min(s.step, s.steps), s.steps);
    case "linear":
      return straight(s.base, s.final, Math.min(s.step, s.steps), s.steps);
    case "polynomial": {
      const weight = realPower((s.steps - Math.min(s.step, s.steps)) / s.steps, s.power);
      return s.base * weight + s.final * (1 - weight);
    }
    case "oneCycle":
      return oneCycleRate(s);
    case "plateau":
      return Math.max(s.final, s.base * power(s.factor, s.reductions));
    case "warmup":
      return straight(s.from, exactRate(s.then), s.step, s.steps);
    case "sequence":
      return exactRate(s.parts[0]!.schedule);
    case "product":
      return s.factors.reduce((product, factor) => bounded(product * exactRate(factor)), 1);
  }
}

/** The phases end where those of PyTorch's `OneCycleLR` do. */
function oneCycleRate({ step, steps, rise, initial, peak, final, anneal, threePhase }: Of<"oneCycle">): number {
  const [last, top] = [steps - 1, rise * steps - 1];
  const phases = threePhase === true
    ? [[top, initial, peak], [2 * rise * steps - 2, peak, initial], [last, initial, final]] as const
    : [[top, initial, peak], [last, peak, final]] as const;
  const k = Math.min(step, last);
  let start = 0;
  for (const [end, from, to] of phases) {
    if (end === last || (k <= end && end > start)) {
      return (anneal === "linear" ? straight : eased)(from, to, k - start, end - start);
    }
    start = end;
  }
  return final;
}

/** `x^n` for an integer n by repeated squaring, bounded. */
function power(x: number, n: number): number {
  let [result, square] = [1, x];
  for (let k = n; k > 0; k = Math.floor(k / 2)) {
    if (k % 2 === 1) result *= square;
    square *= square;
  }
  return bounded(result);
}

/** `x^p` for x from 0 to 1: the whole part of p by squaring, its binary digits after the point by square roots. */
function realPower(x: number, p: number): number {
  let result = power(x, Math.floor(p));
  for (let [root, rest] = [Math.sqrt(x), p % 1]; rest > 0; [root, rest] = [Math.sqrt(root), (2 * rest) % 1]) {
    if (rest >= 0.5) result *= root;
  }
  return result;
}

/** The value at `k / n` of a straight line; both weights are computed, so that both ends are exact. */
function straight(from: number, to: number, k: number, n: number): number {
  return from * ((n - k) / n) + to * (k / n);
}

/** The value at `k / n` of half a cosine. */
function eased(from: number, to: number, k: number, n: number): number {
  return from * sineSquared(n - k, n) + to * sineSquared(k, n);
}

/** `sin^2(pi/2 * k/n)`, that is `(1 - cos(pi * k/n)) / 2` without its cancellation. */
function sineSquared(k: number, n: number): number {
  const small = 2 * k <= n ? k : n - k;
  const sine = sineOfQuarters(small / n);
  return small === k ? sine * sine : 1 - sine * sine;
}

/** `sin(pi/2 * x)` for x in [0, 1/2] by its Taylor series to the 15th power, whose error is below 1e-16 there. */
function sineOfQuarters(x: number): number {
  const angle = x * (Math.PI / 2);
  const z = angle * angle;
  const series = [210, 156, 110, 72, 42, 20, 6].reduce((sum, divisor) => 1 - z / divisor * sum, 1);
  return angle * series;
}
