/**
 * Runs jobs one at a time, in the background, and gives each error to a caller once.
 *
 * A job that is submitted while another one runs waits for it, is skipped, or replaces the job that waits. Results and errors are collected
 * until a caller takes them: the next submit takes the first error, a drain takes the first error or all results.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import type { IO } from "fp-ts/lib/IO.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";

// --- types

/** What happens to a job that is submitted while another one runs. */
export type WhenBusy = "wait" | "skip" | "latest";

/** A piece of work, and what it holds until it has run or has been dropped. */
export interface Job<Failure, A> {
  readonly run: TaskEither<Failure, A>;
  readonly release: IO<void>;
}

/** Runs jobs one at a time. */
export interface Scheduler<Failure, A> {
  /**
   * Prepares a job at once, unless it is skipped, and resolves when it has started or waits as the latest one. The left is the error of
   * `prepare`, or of an earlier job; then this job does not run.
   */
  readonly submit: (prepare: IO<Either<Failure, Job<Failure, A>>>) => Promise<Either<Failure, void>>;
  /** Whether a job runs. */
  readonly busy: IO<boolean>;
  /** Resolves when no job runs or waits, with the results since the last drain or the first error among them. Concurrent drains get one error. */
  readonly drain: TaskEither<Failure, readonly A[]>;
}

/** An error that no caller has taken yet: a job's left, or what the caller's own `onDone` threw. */
type Untaken<Failure> = { readonly left: Failure } | { readonly thrown: unknown };

/** Collects results and errors until they are taken. */
interface Outcomes<Failure, A> {
  readonly add: (outcome: Either<Failure, A>) => void;
  /** Adds an exception, unless one is there already. */
  readonly addThrown: (cause: unknown) => void;
  /** Takes the first error; an exception is thrown, and comes before lefts. Drains that wait get the same error. */
  readonly takeError: () => Either<Failure, void>;
  /** Begins a drain. The function that it returns ends the drain: it takes an error or all results. */
  readonly beginDrain: () => () => Either<Failure, readonly A[]>;
}

// --- constructors

function raise<Failure>(error: Untaken<Failure>): Either<Failure, never> {
  if ("thrown" in error) throw error.thrown;
  return E.left(error.left);
}

function outcomesOf<Failure, A>(): Outcomes<Failure, A> {
  const untaken: Either<Failure, A>[] = [];
  const drains = new Set<(error: Untaken<Failure>) => void>();
  let thrown: { readonly thrown: unknown } | undefined;
  const firstError = (): Untaken<Failure> | undefined => {
    const exception = thrown;
    thrown = undefined;
    if (exception !== undefined) return exception;
    const i = untaken.findIndex(E.isLeft);
    return i < 0 ? undefined : untaken.splice(i, 1)[0] as E.Left<Failure>;
  };
  const takeError = (): Either<Failure, void> => {
    const error = firstError();
    if (error === undefined) return E.right(undefined);
    for (const give of drains) give(error);
    return raise(error);
  };
  return {
    add: (outcome) => void untaken.push(outcome),
    addThrown: (cause) => void (thrown ??= { thrown: cause }),
    takeError,
    beginDrain: () => {
      let given: Untaken<Failure> | undefined;
      const give = (error: Untaken<Failure>): void => void (given ??= error);
      drains.add(give);
      return () => {
        drains.delete(give);
        if (given !== undefined) return raise(given);
        const failed = takeError();
        if (E.isLeft(failed)) return failed;
        return E.right(untaken.splice(0).flatMap((outcome) => E.isRight(outcome) ? [outcome.right] : []));
      };
    },
  };
}

/**
 * A scheduler without jobs.
 *
 * @param whenBusy What happens to a job that is submitted while another one runs.
 * @param onDone Receives each result. What it throws comes out of the next submit or drain.
 */
export function scheduler<Failure, A>(
  whenBusy: WhenBusy,
  onDone: (result: A) => void = () => {},
): Scheduler<Failure, A> {
  const outcomes = outcomesOf<Failure, A>();
  /** Resolves when all jobs that wait their turn have started. */
  let queue: Promise<unknown> = Promise.resolve();
  let running: Promise<void> | undefined;
  let latest: Job<Failure, A> | undefined;

  const runJob = async ({ run, release }: Job<Failure, A>): Promise<void> => {
    const outcome = await run().finally(release);
    outcomes.add(outcome);
    try {
      if (E.isRight(outcome)) onDone(outcome.right);
    } catch (cause) {
      outcomes.addThrown(cause);
    }
    const next = latest;
    running = latest = undefined;
    if (next !== undefined) running = runJob(next);
  };

  /** Starts a job if no earlier one has failed, and releases it otherwise. */
  const start = (job: Job<Failure, A>): Either<Failure, void> => {
    let failed: Either<Failure, void> | undefined;
    try {
      failed = outcomes.takeError();
      if (E.isRight(failed)) running = runJob(job);
      return failed;
    } finally {
      if (failed === undefined || E.isLeft(failed)) job.release();
    }
  };

  const idle = async (): Promise<void> => {
    while (running !== undefined) await running;
  };

  /** Starts a job after those that were submitted before. */
  const startInTurn = async (job: Job<Failure, A>): Promise<Either<Failure, void>> => {
    const started = queue.then(idle).then(() => start(job));
    queue = started.catch(() => {});
    return await started;
  };

  return {
    submit: async (prepare) => {
      const wasBusy = running !== undefined;
      if (wasBusy && whenBusy === "skip") return outcomes.takeError();
      const job = prepare();
      if (E.isLeft(job)) return job;
      if (whenBusy === "wait") return await startInTurn(job.right);
      if (!wasBusy) return start(job.right);
      latest?.release();
      latest = job.right;
      return outcomes.takeError();
    },
    busy: () => running !== undefined,
    drain: async () => {
      const end = outcomes.beginDrain();
      await queue;
      await idle();
      return end();
    },
  };
}
