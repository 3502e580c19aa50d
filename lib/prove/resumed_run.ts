/**
 * A resumed run as the ids of its states, up to the first that differs from the uninterrupted run, and where it differs.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import type { Call, Recorder } from "./nondeterminism.ts";
import { type ArrayNode, differences, elementValues, type Encoded, isBranch, nodesByPath } from "../state/mod.ts";
import { type Divergence, type LoaderError, type LoadError, toError } from "../errors/mod.ts";
import { shown } from "../validation/mod.ts";
import { id, release, type Snapshot } from "../snapshot.ts";
import type { Store } from "../store/mod.ts";
import { captureWith, type Range, resumeSteps, type Training } from "./steps.ts";

// --- types

/** What a resumed run did. */
export interface ResumedRun {
  /** An id for each state from the restored one on. If a step threw, the last is the error's text after {@link threw}. */
  readonly ids: readonly string[];
  /** The last state, if it differs from that of the uninterrupted run; the receiver releases it. */
  readonly diverged?: Snapshot<unknown>;
}

/** A resumed run, and its calls of ambient sources. */
export type RecordedRun = ResumedRun & { readonly calls: readonly Call[] };

/** The prefix of an entry of `ids` that is an error's text. */
const threw = "threw ";

// --- constructors

/** What a step threw at the end of a run, if it did. */
export function thrownIn(ids: readonly string[]): string | undefined {
  const last = ids.at(-1);
  return last?.startsWith(threw) === true ? last.slice(threw.length) : undefined;
}

/**
 * Resumes from the newest checkpoint of a store.
 *
 * @param expected The ids of the uninterrupted run, from the checkpoint's state on: the run ends at the first that differs. If empty,
 *   nothing is compared.
 * @param listeners Receive the fresh components, and each state.
 */
export function resumeRun<C extends object, A>(
  store: Store,
  training: Training<C, A>,
  recorder: Pick<Recorder, "during">,
  range: Range,
  expected: readonly string[],
  { onFresh, onState }: { readonly onFresh?: (fresh: C) => void; readonly onState: (state: C) => void },
): TaskEither<LoadError | LoaderError, ResumedRun> {
  return async () => {
    const ids: string[] = [];
    let diverged: Snapshot<unknown> | undefined;
    const compare = async (state: C): Promise<boolean> => {
      onState(state);
      const snapshot = captureWith(training, state);
      ids.push(await id(snapshot)());
      if (expected.length > 0 && ids.at(-1) !== expected[ids.length - 1]) diverged = snapshot;
      else release(snapshot)();
      return diverged === undefined;
    };
    const ran = await resumeSteps(store, training, recorder, range, compare, onFresh)();
    if (E.isRight(ran)) return E.right(diverged === undefined ? { ids } : { ids, diverged });
    if (ran.left._tag !== "StepFailed") return E.left(ran.left);
    const { name, message } = toError(ran.left.cause);
    return E.right({ ids: [...ids, `${threw}${name}: ${message}`] });
  };
}

// --- combinators

/** The first element in which two arrays of one type and shape differ by bits, and both values. */
async function firstElement(
  { held: a }: ArrayNode,
  { held: b }: ArrayNode,
): Promise<readonly [index: number, left: unknown, right: unknown] | undefined> {
  const [x, y] = [await a.home.read(a), await b.home.read(b)];
  const byte = x.findIndex((one, i) => one !== y[i]);
  const [left, right] = [elementValues(a, x), elementValues(b, y)];
  if (byte < 0 || a.element === "string") return undefined;
  const at = Math.floor(byte / (x.byteLength / left.length));
  return [a.element === "complex64" ? at >> 1 : at, left[at], right[at]];
}

/** The array at a path, if there is one. */
function arrayAt({ components }: Encoded, path: string): ArrayNode | undefined {
  const node = nodesByPath(components).get(path);
  return node !== undefined && isBranch(node) && node.is === "array" ? node : undefined;
}

/** Describes a value of a state for a message. */
function valueText(value: unknown): string {
  return Array.isArray(value) ? `[${value}]` : value === undefined ? "nothing" : shown(value);
}

/**
 * The first difference between a resumed state and that of the uninterrupted run.
 *
 * @param at Where the run was resumed, and after how many batches it diverged.
 * @param expected The state of the uninterrupted run.
 * @param found The resumed state.
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
    const [a, b] = [expected, found].map(({ encoded }) => arrayAt(encoded, path));
    const element = first?.kind === "value" && a && b ? await firstElement(a, b) : undefined;
    if (element !== undefined) {
      const [index, x, y] = element;
      return { ...at, ...places, element: index, expected: valueText(x), found: valueText(y), ...(count && { count }) };
    }
    const areShown = left !== undefined || right !== undefined;
    const [x, y] = areShown ? [valueText(left), valueText(right)] : ["one value", "another"];
    return { ...at, ...places, expected: x, found: y };
  };
}
