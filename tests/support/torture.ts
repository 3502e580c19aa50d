/**
 * How many times over the tests that kill, cut and corrupt repeat, and which of many equal cases a runtime has.
 *
 * @module
 */
import process from "node:process";
import { isBun } from "../gate/runtimes.ts";

/** The environment variable `DOGEAR_TORTURE`, 1 by default. */
export const torture: number = Number(process.env["DOGEAR_TORTURE"] ?? 1);

/** Whether the n-th of equal cases is tried in this runtime: with torture 1 Bun has the even ones and Deno the odd ones, else each has all. */
export function isTriedHere(n: number): boolean {
  return torture > 1 || n % 2 === (isBun ? 0 : 1);
}

/** Those of equal cases that are tried in this runtime. */
export function triedHere<A>(cases: readonly A[]): readonly A[] {
  return cases.filter((_, n) => isTriedHere(n));
}
