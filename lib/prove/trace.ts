/**
 * A run that was resumed, as the ids of its states: compared with those of the run that was never interrupted, up to the first that differs.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Watch } from "../ambient.ts";
import { differences } from "../compare.ts";
import type { Divergence, LoaderError, LoadError } from "../errors.ts";
import { toError } from "../explain.ts";
import { shown } from "../rules.ts";
import { captureState, id, release, type Snapshot } from "../snapshot.ts";
import { isBranch, nodesByPath } from "../state_tree.ts";
import type { Store } from "../store.ts";
import { elementValues, type Held } from "../tensor.ts";
import { type Training, walkFrom } from "./walk.ts";

// --- types

/** What a resumed run was: an id for each state from the restored one on, and at its end what a step threw, if one did. */
export interface Trace {
  readonly ids: readonly string[];
  /** The state that differs from the one it should be; the receiver's to release. */
  readonly diverged?: Snapshot<unknown>;
}

/** What the id of a state is where there is none, because the step threw. */
const threw = "threw ";

// --- constructors

/** What a step threw at the end of a trace, if it did. */
export function thrownIn(ids: readonly string[]): string | undefined {
  return ids.at(-1)?.startsWith(threw) === true ? ids.at(-1)?.slice(threw.length) : undefined;
}

/**
 * Resumes from the newest checkpoint of a store.
 *
 * @param expected The ids of the run that was never interrupted, from the checkpoint's state on: the trace ends at the first that differs.
 *   None: it is not compared.
 * @param onStep Told of each state.
 */
export function trace<C extends object, A>(
  store: Store,
  training: Training<C, A>,
  watch: Pick<Watch, "during">,
  range: readonly [from: number, until: number],
  expected: readonly string[],
  { built = () => {}, ended = () => {}, onStep = () => {} }: {
    readonly built?: (fresh: C) => void;
    readonly ended?: (state: C) => void;
    readonly onStep?: (step: number) => void;
  } = {},
): TaskEither<LoadError | LoaderError, Trace> {
  return async () => {
    const ids: string[] = [];
    let diverged: Snapshot<unknown> | undefined;
    const visit = async (state: C, step: number): Promise<boolean> => {
      ended(state);
      onStep(step);
      const snapshot = captureState(state, { codecs: training.codecs ?? {} } as never);
      ids.push(await id(snapshot)());
      if (expected.length > 0 && ids.at(-1) !== expected[ids.length - 1]) diverged = snapshot;
      else release(snapshot)();
      return diverged === undefined;
    };
    const walked = await walkFrom(store, training, watch, range, visit, built)();
    if (E.isRight(walked)) return E.right(diverged === undefined ? { ids } : { ids, diverged });
    if (walked.left._tag !== "StepFailed") return E.left(walked.left);
    const { name, message } = toError(walked.left.cause);
    return E.right({ ids: [...ids, `${threw}${name}: ${message}`] });
  };
}

// --- combinators

/** The first element in which two arrays of one type and shape differ by bits, and its values. */
async function firstElement(a: Held, b: Held): Promise<readonly [number, unknown, unknown] | undefined> {
  const [x, y] = [await a.home.read(a), await b.home.read(b)];
  const byte = x.findIndex((one, i) => one !== y[i]);
  const [left, right] = [elementValues(a, x), elementValues(b, y)];
  if (byte < 0 || a.element === "string") return undefined;
  const at = Math.floor(byte / (x.byteLength / left.length));
  return [a.element === "complex64" ? at >> 1 : at, left[at], right[at]];
}

/** A value that differs, in a few words. */
function said(value: unknown): string {
  return Array.isArray(value) ? `[${value}]` : value === undefined ? "nothing" : shown(value);
}

/**
 * The first place at which a resumed state differs from the one it should be.
 *
 * @param at Where it was resumed, and how far it has come.
 * @param expected The state it should be.
 * @param found The state it is.
 */
export function divergenceOf(
  at: Pick<Divergence, "from" | "step" | "resumed">,
  expected: Snapshot<unknown>,
  found: Snapshot<unknown>,
): Task<Divergence> {
  return async () => {
    const all = await differences(expected.encoded, found.encoded)();
    const [first] = all;
    const { path = "", left, right, count } = first ?? {};
    const places = { path, places: all.length };
    const [a, b] = [expected, found].map(({ encoded }) => nodesByPath(encoded.components).get(path));
    const held = first?.kind === "value" && a !== undefined && b !== undefined && isBranch(a) && a.is === "array" &&
      isBranch(b) && b.is === "array";
    const element = held ? await firstElement(a.held, b.held) : undefined;
    if (element === undefined) {
      const other = left === undefined && right === undefined ? ["one value", "another"] : [said(left), said(right)];
      return { ...at, ...places, expected: other[0]!, found: other[1]! };
    }
    const [index, x, y] = element;
    return { ...at, ...places, element: index, expected: said(x), found: said(y), ...(count && { count }) };
  };
}
