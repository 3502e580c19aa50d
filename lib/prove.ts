/**
 * A proof that a training resumes: run straight, then restored at several points and run on, and compared after every step.
 *
 * Laws: *same bits*: a proof is given only if every restored run agrees with the uninterrupted one in every state, and a cold start does not;
 * *no trace*: watches are gone, tensors disposed, folders removed and processes over, however it ends.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { watch } from "./ambient.ts";
import type { Divergence, LoaderError, ProveError, StepFailed } from "./errors.ts";
import type { Cursor } from "./cursor.ts";
import { orDeviceFailed } from "./guard.ts";
import { iterate } from "./loader.ts";
import { memory } from "./memory.ts";
import { causeOf } from "./prove/cause.ts";
import { inChild } from "./prove/child.ts";
import { moduleOf, resumeInProcess } from "./prove/process.ts";
import { divergenceOf, thrownIn, type Trace, trace } from "./prove/trace.ts";
import { cursorName, type Training, walk } from "./prove/walk.ts";
import { checkMisspelt, type OptionNames } from "./option_names.ts";
import { aFunction, aName, demand, ifGiven, integer, listOf, must } from "./rules.ts";
import { writeSnapshot } from "./saving.ts";
import { checkCodecs } from "./codecs.ts";
import { captureState, diff, id, release, type Snapshot } from "./snapshot.ts";
import { tensorsIn, uses } from "./tfjs/used.ts";

// --- types

/** What {@link proveResume} needs: what `train` does, and the function that builds fresh components. */
export interface ProveOptions<C extends object, A> extends Training<C, A> {
  /**
   * How many batches to train on, at least 2; fewer if the data ends before. The state after each is held until the end.
   * @default 12
   */
  readonly steps?: number;
  /**
   * After how many batches to save and restore: numbers from 0 to below `steps`.
   * @default 0, 1, the middle of the first epoch and its end where they lie among the steps, half of the steps, and the last but one
   */
  readonly at?: readonly number[];
  /**
   * Whether to restore in new processes, too, one for each point: the address of the module that exports `fresh`, `step` and `loader` (and
   * `codecs`), by these names or as its default, such as `import.meta.resolve("./training.ts")`; or `true` for the script that this process
   * was started with, which must export them and call for the proof only `if (import.meta.main)`.
   * @default this process alone
   */
  readonly process?: true | string | URL;
  /**
   * Seconds without a step or any output after which a new process is killed.
   * @default 120
   */
  readonly patience?: number;
}

const proveNames = {
  fresh: true,
  step: true,
  loader: true,
  cursor: true,
  codecs: true,
  steps: true,
  at: true,
  process: true,
  patience: true,
} satisfies OptionNames<ProveOptions<object, unknown>>;

/** That a training resumes exactly, and what was done to see it. */
export interface Proof {
  readonly _tag: "Proof";
  /** How many batches it trained on. */
  readonly steps: number;
  /** After how many batches it was saved and restored. */
  readonly at: readonly number[];
  /** The ids of the states from the fresh one to the last. */
  readonly ids: readonly string[];
  /** How many states of restored runs were compared and found equal, in this process and in new ones. */
  readonly compared: number;
  /** How many runs were restored in a new process. */
  readonly processes: number;
  /** At how many places of the state a cold start at the same place of the data ends otherwise. */
  readonly cold: number;
}

/** The run that is never interrupted. */
interface Straight {
  readonly snapshots: readonly Snapshot<unknown>[];
  readonly ids: readonly string[];
  readonly cursors: readonly Cursor[];
  readonly unlisted: readonly string[];
  /** The first place at which the state changed after a step had ended. */
  readonly late: readonly string[];
}

// --- constructors

/** Disposes of what fresh components and their runs leave, but for what `fresh` gives again each time, or did not make. */
function ownership(): {
  readonly built: (state: object) => void;
  readonly ended: (state: object) => void;
  readonly close: () => void;
} {
  const mark = tf.scalar(0);
  mark.dispose();
  const shared = new Set<tf.Tensor>();
  let owned: ReadonlySet<tf.Tensor> = new Set();
  const dispose = (): void => {
    for (const tensor of owned) if (tensor.id > mark.id && !shared.has(tensor) && !tensor.isDisposed) tensor.dispose();
  };
  return {
    built: (state) => {
      const now = tensorsIn(state);
      for (const tensor of now) if (owned.has(tensor)) shared.add(tensor);
      dispose();
      owned = now;
    },
    ended: (state) => owned = new Set([...owned, ...tensorsIn(state)]),
    close: dispose,
  };
}

/** The points at which to restore, from the places in the data after each step. */
function pointsOf(cursors: readonly Cursor[], steps: number): readonly number[] {
  const end = cursors.findIndex(({ epoch }, i) => i > 0 && epoch > (cursors[0]?.epoch ?? 0));
  const epoch = end < 0 ? [] : [Math.floor(end / 2), end];
  return [...new Set([0, 1, ...epoch, Math.floor(steps / 2), steps - 1])].filter((k) => k < steps)
    .toSorted((a, b) => a - b);
}

// --- the runs

/** A turn of the event loop, after which what a step did not await shows. */
function turn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

function runStraight<C extends object, A>(
  training: Training<C, A>,
  steps: number,
  { built, ended }: ReturnType<typeof ownership>,
): TaskEither<LoaderError | StepFailed, Straight> {
  const capture = (state: C): Snapshot<unknown> => captureState(state, { codecs: training.codecs ?? {} } as never);
  return async () => {
    const [snapshots, ids, cursors, unlisted, late] = [[], [], [], [], []] as [
      Snapshot<unknown>[],
      string[],
      Cursor[],
      string[],
      string[],
    ];
    const used = uses();
    const visit = async (state: C): Promise<boolean> => {
      ended(state);
      const snapshot = capture(state);
      snapshots.push(snapshot);
      unlisted.push(...used.changed(new Set(snapshot.hold.arrays.map(({ identity }) => identity))));
      cursors.push((state as Record<string, Cursor>)[cursorName(training)]!);
      await turn();
      const after = capture(state);
      late.push(...(await diff(snapshot, after)()).slice(0, 1).map(({ path }) => path));
      release(after)();
      ids.push(await id(snapshot)());
      return true;
    };
    let done = false;
    try {
      const fresh = await training.fresh();
      built(fresh);
      await visit(fresh);
      const step = (state: C, batch: A): Promise<C> => used.during(async () => await training.step(state, batch));
      const plain = { during: async <B>(run: () => B | PromiseLike<B>): Promise<B> => await run() };
      const walked = await walk<C, A>({ ...training, step }, plain, [0, steps], visit)(fresh)();
      if (E.isLeft(walked)) return walked;
      done = true;
      return E.right({ snapshots, ids, cursors, unlisted: [...new Set(unlisted)], late: late.slice(0, 1) });
    } finally {
      if (!done) { for (const snapshot of snapshots) release(snapshot)(); }
    }
  };
}

/** At how many places beside its cursor a run ends otherwise that starts afresh in the middle of the data. */
function coldPlaces<C extends object, A>(
  training: Training<C, A>,
  { snapshots, cursors }: Straight,
  { built, ended }: ReturnType<typeof ownership>,
): TaskEither<LoaderError, number> {
  const name = cursorName(training);
  return async () => {
    const steps = snapshots.length - 1;
    const from = Math.max(1, Math.floor(steps / 2));
    const fresh = await training.fresh();
    built(fresh);
    const state = { ...fresh, [name]: cursors[from] };
    const walked = await walk<C, A>(training, watch(), [from, steps], () => Promise.resolve(true))(state)();
    if (E.isLeft(walked)) return walked.left._tag === "StepFailed" ? E.right(1) : E.left(walked.left);
    ended(walked.right);
    const end = captureState(walked.right, { codecs: training.codecs ?? {} } as never);
    const places = await diff(snapshots[steps]!, end)();
    release(end)();
    return E.right(places.filter(({ path }) => path !== name && !path.startsWith(`${name}/`)).length);
  };
}

// --- combinators

/** A run that was resumed from a point, and where it went another way. */
type Resume = (from: number, until: number, pinned: Parameters<typeof watch>[0], compare: boolean) => TaskEither<
  ProveError,
  Trace & { readonly calls: ReturnType<ReturnType<typeof watch>["calls"]> }
>;

/** Compares a run resumed from a point with the one that was never interrupted: how many states agree, or why it does not resume. */
function compared(
  { snapshots, ids, unlisted, late }: Straight,
  resumed: Divergence["resumed"],
  resume: Resume,
): (from: number) => TaskEither<ProveError, number> {
  return (from) => async () => {
    const run = await resume(from, snapshots.length - 1, [], true)();
    if (E.isLeft(run)) return run;
    const { ids: found, diverged } = run.right;
    const thrown = thrownIn(found);
    if (diverged === undefined && thrown === undefined && found.length === ids.length - from) {
      return E.right(found.length);
    }
    const at = { from, step: from + found.length - (diverged === undefined && thrown === undefined ? 0 : 1), resumed };
    const divergence = diverged === undefined
      ? {
        ...at,
        path: "",
        places: 1,
        expected: "a step",
        found: thrown === undefined ? "no more data" : `that it threw ${thrown}`,
      }
      : await divergenceOf(at, snapshots[at.step]!, diverged)();
    if (diverged !== undefined) release(diverged)();
    const cause = await causeOf({ divergence, unlisted, late }, (pinned) => resume(from, at.step, pinned, false))();
    return E.left(E.isLeft(cause) ? cause.left : cause.right);
  };
}

/**
 * Proves that a training resumes exactly, or says where it does not and why: one line in a test.
 *
 * It trains straight on for some steps. Then it saves the state after 0, 1, … of them into a store, restores it from there into fresh
 * components and trains on, in this process and, with `process`, in a new one; every state must be that of the straight run, bit for bit.
 * A cold start at the same place of the data must end otherwise. And whatever variable, optimizer or recurrent layer a step changes must
 * be held by a component.
 *
 * @param options The training, as `train` takes it; `fresh`, which builds its components anew each time it is called; how many `steps` (12),
 *   restored `at` which, and whether in a new `process`.
 * @returns A task of the {@link Proof}. Its left is `NotResumable`, with the first step, component and element that differ and the cause:
 *   `Math.random` outside of `Rng.withRandom`, a clock, a captured variable, what is not listed, a step that is not awaited, a kernel that does
 *   not repeat itself; `ProcessFailed` if a new process died or hung; or what saving, loading, the data or a step of the straight run failed
 *   with. A module that exports no training, or a point beyond the steps, is a `TypeError`.
 *
 * Memory: the snapshots of the straight run, that is for each step what it changes; of restored runs, one state at a time. Time: the
 * straight run, and the rest of it from each point, once more.
 *
 * Laws: *same bits*, *no trace*.
 *
 * @example
 * ```ts
 * import { Loader, pipe, proveResume, Rng, runOrThrow } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4, 5, 6]), Loader.shuffle(7), Loader.batch(2), Loader.repeat());
 * const fresh = () => ({ rng: Rng.make(1), walk: 0, cursor: Loader.start(loader) });
 * const step = (state: ReturnType<typeof fresh>, batch: readonly number[]) => {
 *   const [stride, rng] = Rng.float(state.rng);
 *   return { ...state, rng, walk: state.walk + stride * batch.length };
 * };
 * const proof = await runOrThrow(proveResume({ fresh, step, loader }));
 * assert.deepEqual([proof.steps, proof.at], [12, [0, 1, 3, 6, 11]]);
 *
 * let calls = 0;
 * const counting: typeof step = (state) => ({ ...state, walk: state.walk + calls++ });
 * await assert.rejects(runOrThrow(proveResume({ fresh, step: counting, loader })), /walk: expected 0, found 12.*a variable of the module/s);
 * ```
 */
export function proveResume<C extends object, A>(options: ProveOptions<C, A>): TaskEither<ProveError, Proof> {
  // It may be the exports of a module, with more than these.
  checkMisspelt("proveResume", options, proveNames);
  const { fresh, step, loader, cursor, codecs, steps = 12, at, patience = 120 } = options;
  demand("fresh", must("a function that builds the components", (value) => typeof value === "function"), fresh);
  demand("step", aFunction, step);
  iterate(loader);
  demand("cursor", ifGiven(aName), cursor);
  checkCodecs(codecs);
  demand("steps", integer(2), steps);
  demand("patience", must("a number of seconds above 0", (u) => typeof u === "number" && u > 0), patience);
  const address = must(
    "true, or the address of a module",
    (u) => u === true || typeof u === "string" || u instanceof URL,
  );
  demand("process", ifGiven(address), options.process);
  if (at !== undefined) demand("at", listOf(integer(0, steps - 1)), at);
  const module = options.process === undefined ? undefined : moduleOf(options.process);
  const training = { fresh, step, loader, ...(cursor !== undefined && { cursor }), ...(codecs && { codecs }) };

  return orDeviceFailed<ProveError, Proof>(async () => {
    if (Reflect.get(globalThis, inChild) === true) {
      throw new TypeError(
        "Expected the module of a training to be loaded, found that it calls for a proof as it is: " +
          "call proveResume only if (import.meta.main), or in another module",
      );
    }
    const owner = ownership();
    const ran = await runStraight<C, A>(training, steps, owner)();
    if (E.isLeft(ran)) {
      owner.close();
      return ran;
    }
    const straight = ran.right;
    const { snapshots, ids, cursors, unlisted } = straight;
    const reached = snapshots.length - 1;
    try {
      const points = at ?? pointsOf(cursors, reached);
      if (reached < 2 || points.length === 0 || points.some((k) => k >= reached)) {
        throw new TypeError(
          `Expected data for at least ${
            Math.max(2, ...points.map((k) => k + 1))
          } batches, and a point to restore at, ` +
            `found ${reached} batches and ${points.length} points`,
        );
      }
      const here: Resume = (from, until, pinned, compare) => async () => {
        const [store, watching] = [memory(), watch(pinned)];
        const saved = await writeSnapshot(store)(snapshots[from]!)();
        if (E.isLeft(saved)) return saved;
        const expected = compare ? ids.slice(from) : [];
        const traced = await trace<C, A>(store, training, watching, [from, until], expected, owner)();
        return E.isLeft(traced) ? traced : E.right({ ...traced.right, calls: watching.calls() });
      };
      const there: Resume = (from, until, pinned = [], compare) =>
        resumeInProcess(
          {
            module: module ?? "",
            ...(cursor !== undefined && { cursor }),
            from,
            until,
            expected: compare ? ids.slice(from) : [],
            pinned,
          },
          snapshots[from]!,
          patience,
        );
      let count = 0;
      const prove = async (place: Divergence["resumed"], resume: Resume): Promise<ProveError | undefined> => {
        for (const from of points) {
          const agreeing = await compared(straight, place, resume)(from)();
          if (E.isLeft(agreeing)) return agreeing.left;
          count += agreeing.right;
        }
        return undefined;
      };
      const differs = await prove("in this process", here);
      if (differs !== undefined) return E.left(differs);
      if (unlisted.length > 0) return E.left({ _tag: "NotResumable", cause: "unlisted", evidence: unlisted });
      const cold = await coldPlaces<C, A>(training, straight, owner)();
      if (E.isLeft(cold)) return cold;
      if (cold.right === 0) return E.left({ _tag: "NotResumable", cause: "nothing", evidence: [] });
      const elsewhere = module === undefined ? undefined : await prove("in a new process", there);
      if (elsewhere !== undefined) return E.left(elsewhere);
      const processes = module === undefined ? 0 : points.length;
      return E.right({ _tag: "Proof", steps: reached, at: points, ids, compared: count, processes, cold: cold.right });
    } finally {
      for (const snapshot of snapshots) release(snapshot)();
      owner.close();
    }
  });
}
