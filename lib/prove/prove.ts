/**
 * A proof that a training resumes exactly: run once without interruption, then restored at several points, continued, and compared after
 * every step.
 *
 * Laws: *same bits*: a proof is given only if each restored run agrees with the uninterrupted one in every state, and a cold start does not;
 * *no trace*: however it ends, recorders are removed, tensors disposed, folders removed and processes ended.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type AmbientSource, recordAmbient } from "./nondeterminism.ts";
import { type Cursor, iterate } from "../loader/mod.ts";
import { type Divergence, orDeviceFailed, type ProveError } from "../errors/mod.ts";
import { type Awaitable, awaitable } from "../task.ts";
import { memory } from "../store/mod.ts";
import {
  aFunction,
  aName,
  checkMisspelt,
  demand,
  demandEach,
  ifGiven,
  integer,
  listOf,
  must,
  type OptionRules,
} from "../validation/mod.ts";
import { diagnose } from "./diagnose.ts";
import { inWorker } from "./worker.ts";
import { moduleUrl, resumeInNewProcess } from "./spawn.ts";
import {
  countColdDifferences,
  runStraight,
  type StraightRun,
  type TensorOwner,
  tensorOwner,
} from "./uninterrupted_run.ts";
import { divergenceOf, type RecordedRun, type ResumedRun, resumeRun, thrownIn } from "./resumed_run.ts";
import { cursorName, type Training } from "./steps.ts";
import { writeSnapshot } from "../run/mod.ts";
import { codecRules } from "../codecs.ts";
import { release } from "../snapshot.ts";

// --- types

/** The options of {@link proveResume}: a training, and how to test it. */
export interface ProveOptions<C extends object, A> extends Training<C, A> {
  /**
   * How many batches to train on, at least 2; fewer if the data ends earlier. The state after each is held until the end.
   * @default 12
   */
  readonly steps?: number;
  /**
   * After how many batches to save and restore: integers from 0 to `steps - 1`.
   * @default 0, 1, the middle and the end of the first epoch if the steps reach them, half of the steps, and all but one
   */
  readonly at?: readonly number[];
  /**
   * Whether to restore also in new processes, one for each point. Either the URL or path of a module that exports `fresh`, `step`, `loader`
   * and, if used, `onEpochEnd`, `until` and `codecs`, by these names or as its default: `import.meta.resolve("./training.ts")`. Or `true` for the script that this
   * process was started with: it must export them, and call `proveResume` only `if (import.meta.main)`.
   * @default this process only
   */
  readonly process?: true | string | URL;
  /**
   * Seconds without a step or output after which a new process is killed.
   * @default 120
   */
  readonly patience?: number;
}

/** Evidence that a training resumes exactly. */
export interface Proof {
  /** Tells a proof from an error. */
  readonly _tag: "Proof";
  /** How many batches it trained on. */
  readonly steps: number;
  /** After how many batches it was saved and restored. */
  readonly at: readonly number[];
  /** The ids of the states, from the fresh one to the last. */
  readonly ids: readonly string[];
  /** How many states of restored runs were compared and found equal, in this process and in new ones. */
  readonly compared: number;
  /** How many runs were restored in a new process. */
  readonly processes: number;
  /** At how many paths of the state a cold start from the same cursor ends differently. */
  readonly cold: number;
}

/** The default of `steps`. */
const defaultSteps = 12;

/** Resumes the run after `from` batches and runs it until `until`; with `compare`, it ends at the first state that differs. */
type Resume = (
  from: number,
  until: number,
  pinned: readonly AmbientSource[],
  compare: boolean,
) => TE.TaskEither<ProveError, RecordedRun>;

// --- constructors

const isModule = (u: unknown): boolean => u === true || typeof u === "string" || u instanceof URL;

/** The types of the options, except the loader's and that of the points. */
const proveRules: OptionRules<Omit<ProveOptions<object, unknown>, "loader" | "at">> = {
  fresh: must("a function that builds the components", (u) => typeof u === "function"),
  step: aFunction,
  onEpochEnd: ifGiven(aFunction),
  until: ifGiven(aFunction),
  cursor: ifGiven(aName),
  ...codecRules,
  steps: ifGiven(integer(2)),
  patience: ifGiven(must("a number of seconds above 0", (u) => typeof u === "number" && u > 0)),
  process: ifGiven(must("true, or the URL or path of a module", isModule)),
};

/** Checks the options of {@link proveResume}; a wrong one is a `TypeError`. */
function checkProveOptions<C extends object, A>(options: ProveOptions<C, A>): void {
  // Users may pass the exports of a module, with others among them.
  checkMisspelt("proveResume", options, { loader: true, at: true, ...proveRules }, ["progress"]);
  demandEach(proveRules, options);
  iterate(options.loader);
  demand("at", ifGiven(listOf(integer(0, (options.steps ?? defaultSteps) - 1))), options.at);
}

/** The default points to restore at, from the cursor after each step. */
function defaultPoints(cursors: readonly Cursor.Cursor[], steps: number): readonly number[] {
  const end = cursors.findIndex(({ epoch }, i) => i > 0 && epoch > (cursors[0]?.epoch ?? 0));
  const epoch = end < 0 ? [] : [Math.floor(end / 2), end];
  return [...new Set([0, 1, ...epoch, Math.floor(steps / 2), steps - 1])].filter((k) => k < steps)
    .toSorted((a, b) => a - b);
}

/** The points to restore at; too little data for them is a `TypeError`. */
function pointsOf(at: readonly number[] | undefined, { snapshots, cursors }: StraightRun): readonly number[] {
  const steps = snapshots.length - 1;
  const points = at ?? defaultPoints(cursors, steps);
  if (steps >= 2 && points.length > 0 && points.every((k) => k < steps)) return points;
  throw new TypeError(
    `Expected data for at least ${Math.max(2, ...points.map((k) => k + 1))} batches, and a point to restore at, ` +
      `found ${steps} batches and ${points.length} points`,
  );
}

// --- resumed runs

/** Resumes in this process, from a store in memory. */
function resumeHere<C extends object, A>(
  training: Training<C, A>,
  { snapshots, ids }: StraightRun,
  owner: TensorOwner,
): Resume {
  return (from, until, pinned, compare) => {
    const [store, recorder] = [memory(), recordAmbient(pinned)];
    return pipe(
      writeSnapshot(store)(snapshots[from]!),
      TE.flatMap((): TE.TaskEither<ProveError, ResumedRun> =>
        resumeRun(store, training, recorder, [from, until], compare ? ids.slice(from) : [], owner)
      ),
      TE.map((run) => ({ ...run, calls: recorder.calls() })),
    );
  };
}

/** Resumes in a new process, which loads the training from its module. */
function resumeElsewhere<C extends object, A>(
  options: ProveOptions<C, A>,
  { snapshots, ids }: StraightRun,
  module: string,
): Resume {
  const [cursor, patience] = [cursorName(options), options.patience ?? 120];
  return (from, until, pinned, compare) => {
    const task = { module, cursor, from, until, expected: compare ? ids.slice(from) : [], pinned };
    return resumeInNewProcess(task, snapshots[from]!, patience);
  };
}

/** Compares the run resumed at one point with the uninterrupted one: the number of states, or where and why they differ. */
function comparePoint(
  straight: StraightRun,
  resumed: Divergence["resumed"],
  resume: Resume,
): (from: number) => TE.TaskEither<ProveError, number> {
  const { snapshots, ids } = straight;
  return (from) => async () => {
    const run = await resume(from, snapshots.length - 1, [], true)();
    if (E.isLeft(run)) return run;
    const { ids: found, diverged } = run.right;
    const thrown = thrownIn(found);
    const isShort = diverged === undefined && thrown === undefined;
    if (isShort && found.length === ids.length - from) return E.right(found.length);
    const at = { from, step: from + found.length - (isShort ? 0 : 1), resumed };
    const ended = thrown === undefined ? "no more data" : `that it threw ${thrown}`;
    const divergence: Divergence = diverged === undefined
      ? { ...at, path: "", places: 1, expected: "a step", found: ended }
      : await divergenceOf(at, snapshots[at.step]!, diverged)();
    if (diverged !== undefined) release(diverged)();
    const cause = await diagnose(divergence, straight, (pinned) => resume(from, at.step, pinned, false))();
    return E.left(E.isLeft(cause) ? cause.left : cause.right);
  };
}

/** The proof from an uninterrupted run: resumed runs here, a cold start, and resumed runs in new processes. */
function proofFrom<C extends object, A>(
  options: ProveOptions<C, A>,
  module: string | undefined,
  straight: StraightRun,
  owner: TensorOwner,
): TE.TaskEither<ProveError, Proof> {
  const points = pointsOf(options.at, straight);
  const { ids, unlisted } = straight;
  const notResumable = (cause: "unlisted" | "nothing", evidence: readonly string[] = []): ProveError => {
    return { _tag: "NotResumable", cause, evidence };
  };
  const compare = (resumed: Divergence["resumed"], resume: Resume): TE.TaskEither<ProveError, number> =>
    pipe(
      points,
      TE.traverseSeqArray(comparePoint(straight, resumed, resume)),
      TE.map((counts) => counts.reduce((sum, count) => sum + count, 0)),
    );
  return pipe(
    compare("in this process", resumeHere(options, straight, owner)),
    TE.bindTo("here"),
    TE.filterOrElse(() => unlisted.length === 0, () => notResumable("unlisted", unlisted)),
    TE.bind("cold", (): TE.TaskEither<ProveError, number> => countColdDifferences(options, straight, owner)),
    TE.filterOrElse(({ cold }) => cold > 0, () => notResumable("nothing")),
    TE.bind(
      "elsewhere",
      () =>
        module === undefined ? TE.right(0) : compare("in a new process", resumeElsewhere(options, straight, module)),
    ),
    TE.map(({ here, elsewhere, cold }): Proof => ({
      _tag: "Proof",
      steps: ids.length - 1,
      at: points,
      ids,
      compared: here + elsewhere,
      processes: module === undefined ? 0 : points.length,
      cold,
    })),
  );
}

// --- combinators

/**
 * Proves that a training resumes exactly, or finds where and why it does not: one line in a test.
 *
 * It runs the training for some steps without interruption. Then it saves the state after 0, 1, … steps, restores it into fresh
 * components and continues, in this process and, with `process`, in a new one: every state must equal that of the uninterrupted run bit for
 * bit. A cold start from the same cursor must end differently. And each variable, optimizer or recurrent layer that a step mutates must
 * be held by a component.
 *
 * @param options The training as `train` takes it; `fresh`, which builds new components at each call; how many `steps` (12); after how many
 *   batches to restore (`at`); and whether to restore in a new `process` too.
 * @returns A task of the {@link Proof}. Its left is `NotResumable`, with the first step, component and element that differ, and the cause:
 *   `Math.random` outside `Rng.withRandom`, a clock, a captured variable, an object that no component holds, a step that is not awaited, or a
 *   kernel with nondeterministic results; `ProcessFailed` if a new process died or hung; or the error of saving, of loading, of the data or
 *   of a step of the uninterrupted run. A module that exports no training, or a point beyond the steps, is a `TypeError`.
 *
 * Memory: for each step of the uninterrupted run what it changes; one state of restored runs. Time: the uninterrupted run, and its rest
 * from each point once more.
 *
 * Laws: *same bits*, *no trace*.
 *
 * @example
 * ```ts
 * import { Loader, pipe, Rng } from "@dogear/dogear";
 * import { proveResume } from "@dogear/dogear/prove";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat());
 * const fresh = () => ({ rng: Rng.make(1), walk: 0, cursor: Loader.start(loader) });
 * const step = (state: ReturnType<typeof fresh>, batch: readonly number[]) => {
 *   const [stride, rng] = Rng.float(state.rng);
 *   return { ...state, rng, walk: state.walk + stride * batch.length };
 * };
 * const proof = await proveResume({ fresh, step, loader });
 * assert.deepEqual([proof.steps, proof.at], [12, [0, 1, 3, 6, 11]]);
 *
 * let calls = 0;
 * const counting: typeof step = (state) => ({ ...state, walk: state.walk + calls++ });
 * await assert.rejects(async () => await proveResume({ fresh, step: counting, loader }), /walk: expected 0, found 12.*a variable of the module/s);
 * ```
 */
export function proveResume<C extends object, A>(options: ProveOptions<C, A>): Awaitable<ProveError, Proof> {
  checkProveOptions(options);
  const { process, steps = defaultSteps } = options;
  const module = process === undefined ? undefined : moduleUrl(process);
  return awaitable(orDeviceFailed<ProveError, Proof>(async () => {
    if (Reflect.get(globalThis, inWorker) === true) {
      throw new TypeError(
        "Expected the module of a training to load without calling proveResume, found a call: " +
          "call it only if (import.meta.main), or in another module",
      );
    }
    const owner = tensorOwner();
    try {
      const straight = await runStraight(options, steps, owner)();
      if (E.isLeft(straight)) return straight;
      try {
        return await proofFrom(options, module, straight.right, owner)();
      } finally {
        for (const snapshot of straight.right.snapshots) release(snapshot)();
      }
    } finally {
      owner.close();
    }
  }));
}
