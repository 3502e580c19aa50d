/**
 * Runs jobs one at a time, in the background, and gives each error to a caller once.
 *
 * A job that is submitted while another one runs waits for it, is skipped, or replaces the job that waits. Results and errors are collected
 * until a caller takes them: the next submit takes the first error, a drain takes the first error or all results.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
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
  readonly submit: (prepare: IO<E.Either<Failure, Job<Failure, A>>>) => Promise<E.Either<Failure, void>>;
  /** Whether a job runs. */
  readonly busy: IO<boolean>;
  /** Resolves when no job runs or waits, with the results since the last drain or the first error among them. Concurrent drains get one error. */
  readonly drain: TaskEither<Failure, readonly A[]>;
}

/** Gives an error to a caller: returns a job's left, or throws what the caller's own `onDone` threw. */
type Raise<Failure> = IO<E.Either<Failure, never>>;

// --- constructors

/** Collects results and errors until they are taken. */
function outcomes<Failure, A>() {
  const [results, lefts, drains]: [A[], Raise<Failure>[], Set<(error: Raise<Failure>) => void>] = [[], [], new Set()];
  let thrown: Raise<Failure> | undefined;
  /** Takes the first error. An exception comes before lefts. Drains that wait get the same error. */
  const takeError = (): E.Either<Failure, void> => {
    const error = thrown ?? lefts.shift();
    thrown = undefined;
    if (error === undefined) return E.right(undefined);
    for (const give of drains) give(error);
    return error();
  };
  return {
    takeError,
    /** Adds the outcome of a job, and what `onDone` throws for its result, unless an exception waits already. */
    add: (outcome: E.Either<Failure, A>, onDone: (result: A) => void): void => {
      if (E.isLeft(outcome)) return void lefts.push(() => outcome);
      results.push(outcome.right);
      try {
        onDone(outcome.right);
      } catch (cause) {
        thrown ??= () => {
          throw cause;
        };
      }
    },
    /** Begins a drain. The function that it returns ends the drain: it takes an error or all results. */
    beginDrain: (): IO<E.Either<Failure, readonly A[]>> => {
      let given: Raise<Failure> | undefined;
      const give = (error: Raise<Failure>): void => void (given ??= error);
      drains.add(give);
      return () => {
        drains.delete(give);
        return pipe((given ?? takeError)(), E.map(() => results.splice(0)));
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
  const { takeError, add, beginDrain } = outcomes<Failure, A>();
  /** Resolves when all jobs that wait their turn have started. */
  let queue: Promise<unknown> = Promise.resolve();
  let running: Promise<void> | undefined;
  let latest: Job<Failure, A> | undefined;

  const runJob = async ({ run, release }: Job<Failure, A>): Promise<void> => {
    add(await run().finally(release), onDone);
    const next = latest;
    latest = undefined;
    running = next && runJob(next);
  };

  /** Starts a job if no earlier one has failed, and releases it otherwise. */
  const start = (job: Job<Failure, A>): E.Either<Failure, void> => {
    let isStarted = false;
    try {
      const failed = takeError();
      if (E.isRight(failed)) [running, isStarted] = [runJob(job), true];
      return failed;
    } finally {
      if (!isStarted) job.release();
    }
  };

  const idle = async (): Promise<void> => {
    while (running !== undefined) await running;
  };

  return {
    submit: async (prepare) => {
      const wasBusy = running !== undefined;
      if (wasBusy && whenBusy === "skip") return takeError();
      const job = prepare();
      if (E.isLeft(job)) return job;
      if (whenBusy === "wait") {
        const started = queue.then(idle).then(() => start(job.right));
        queue = started.catch(() => {});
        return await started;
      }
      if (!wasBusy) return start(job.right);
      latest?.release();
      latest = job.right;
      return takeError();
    },
    busy: () => running !== undefined,
    drain: async () => {
      const end = beginDrain();
      await queue;
      await idle();
      return end();
    },
  };
}
