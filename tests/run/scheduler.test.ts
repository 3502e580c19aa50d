/**
 * The scheduler of background saves, without any save.
 */
import * as E from "fp-ts/lib/Either.js";
import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Job, type Scheduler, scheduler, type WhenBusy } from "../../lib/run/scheduler.ts";
import { torture } from "../support/torture.ts";

/** Jobs that end when the test says so. */
interface Bench {
  readonly jobs: Scheduler<string, number>;
  /** Submits job `n`. */
  readonly submit: (n: number) => Promise<E.Either<string, void>>;
  /** Ends the running job, with an error if one is given. */
  readonly end: (error?: string) => Promise<void>;
  readonly started: readonly number[];
  readonly released: readonly number[];
}

function bench(whenBusy: WhenBusy, onDone?: (n: number) => void): Bench {
  const [started, released]: [number[], number[]] = [[], []];
  let finish: ((outcome: E.Either<string, number>) => void) | undefined;
  let running = -1;
  const jobs = scheduler<string, number>(whenBusy, onDone);
  const job = (n: number): Job<string, number> => ({
    run: () => {
      started.push(running = n);
      return new Promise((resolve) => finish = resolve);
    },
    release: () => void released.push(n),
  });
  return {
    jobs,
    started,
    released,
    submit: (n) => jobs.submit(() => E.right(job(n))),
    end: async (error) => {
      await turn();
      finish?.(error === undefined ? E.right(running) : E.left(error));
      await turn();
    },
  };
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

test("scheduler: wait runs every job, in order, one at a time", async () => {
  const { jobs, submit, end, started, released } = bench("wait");
  const submitted = [0, 1, 2].map(submit);
  for (const n of [0, 1, 2]) {
    await turn();
    assert.deepEqual(started, [0, 1, 2].slice(0, n + 1));
    assert.ok(jobs.busy());
    await end();
  }
  assert.deepEqual(await Promise.all(submitted), [0, 1, 2].map(() => E.right(undefined)));
  assert.deepEqual(await jobs.drain(), E.right([0, 1, 2]));
  assert.deepEqual(await jobs.drain(), E.right([]));
  assert.deepEqual(released, [0, 1, 2]);
  assert.ok(!jobs.busy());
});

test("scheduler: skip does not prepare a job while another one runs", async () => {
  const { jobs, submit, end, released } = bench("skip");
  await submit(0);
  assert.deepEqual(await jobs.submit(() => assert.fail("prepared")), E.right(undefined));
  await end();
  await submit(2);
  await end();
  assert.deepEqual(await jobs.drain(), E.right([0, 2]));
  assert.deepEqual(released, [0, 2]);
});

test("scheduler: latest runs the newest of the jobs that came while another one ran, and releases the others", async () => {
  const { jobs, submit, end, started, released } = bench("latest");
  for (const n of [0, 1, 2]) await submit(n);
  assert.deepEqual([started, released], [[0], [1]]);
  await end();
  await end();
  assert.deepEqual(await jobs.drain(), E.right([0, 2]));
  assert.deepEqual(released, [1, 0, 2]);
});

test("scheduler: a failed preparation is given to the caller, and no job runs", async () => {
  const { jobs } = bench("wait");
  assert.deepEqual(await jobs.submit(() => E.left("prepare")), E.left("prepare"));
  assert.deepEqual(await jobs.drain(), E.right([]));
});

test("scheduler: an error comes from the next submit, whose job does not run, or from drain, once", async () => {
  const { jobs, submit, end, started, released } = bench("wait");
  await submit(0);
  await end("first");
  assert.deepEqual(await submit(1), E.left("first"));
  assert.deepEqual([started, released], [[0], [0, 1]]);
  await submit(2);
  await end("second");
  assert.deepEqual(await jobs.drain(), E.left("second"));
  assert.deepEqual(await jobs.drain(), E.right([]));
});

test("scheduler: drains that wait all get the error that one caller takes", async () => {
  const { jobs, submit, end } = bench("wait");
  await submit(0);
  const next = submit(1);
  const drains = [jobs.drain(), jobs.drain()];
  await end("failed");
  assert.deepEqual(await next, E.left("failed"));
  assert.deepEqual(await Promise.all(drains), [E.left("failed"), E.left("failed")]);
  assert.deepEqual(await jobs.drain(), E.right([]));
});

test("scheduler: what onDone throws comes out once, before lefts, and the result is kept", async () => {
  const cause = new Error("callback");
  const { jobs, submit, end, released } = bench("latest", (n) => {
    if (n === 0) throw cause;
  });
  await submit(0);
  await end();
  await assert.rejects(submit(1), (thrown) => thrown === cause);
  assert.deepEqual(released, [0, 1]);
  await submit(2);
  await end();
  assert.deepEqual(await jobs.drain(), E.right([0, 2]));
});

test("scheduler: with any jobs at any pace, each is released once, and each result or error is taken once", () =>
  fc.assert(
    fc.asyncProperty(
      fc.constantFrom<WhenBusy>("wait", "skip", "latest"),
      fc.array(fc.record({ fails: fc.boolean(), jobTurns: fc.nat(3), pause: fc.nat(3), drains: fc.boolean() })),
      async (whenBusy, plan) => {
        const jobs = scheduler<number, number>(whenBusy);
        const [ran, released, prepared, taken]: [number[], number[], number[], number[]] = [[], [], [], []];
        const take = (outcome: E.Either<number, readonly number[]>): void =>
          void taken.push(...E.isLeft(outcome) ? [outcome.left] : outcome.right);
        const submits: Promise<unknown>[] = [];
        for (const [n, { fails, jobTurns, pause, drains }] of plan.entries()) {
          const job: Job<number, number> = {
            run: async () => {
              ran.push(n);
              for (let i = 0; i < jobTurns; i++) await turn();
              return fails ? E.left(n) : E.right(n);
            },
            release: () => void released.push(n),
          };
          const submitted = jobs.submit(() => (prepared.push(n), E.right(job)));
          submits.push(submitted.then((result) => E.isLeft(result) && take(result)));
          for (let i = 0; i < pause; i++) await turn();
          if (drains) take(await jobs.drain());
        }
        await Promise.all(submits);
        for (let before = -1; before < taken.length;) {
          before = taken.length;
          take(await jobs.drain());
        }
        assert.deepEqual(released.toSorted((a, b) => a - b), prepared);
        assert.deepEqual([...new Set(taken)].toSorted((a, b) => a - b), ran);
      },
    ),
    { numRuns: 200 * torture },
  ));
