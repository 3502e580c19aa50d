/**
 * Laws *old or new* and *same bits* for a whole run: killed at any moment, it resumes from its newest checkpoint and ends with the bits of an
 * uninterrupted run. Also all other ends of a training: signals, steps and data that fail, other data, the end of the data.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import fc from "fast-check";
import {
  directory,
  explain,
  list,
  Loader,
  type LoadError,
  memory,
  pipe,
  readSnapshot,
  resume,
  runOrThrow,
  type Saved,
  type SavePolicy,
  type Signal,
  type Store,
  train,
  type TrainError,
  type TrainOptions,
} from "../../mod.ts";
import { here, run, start, there } from "../support/children.ts";
import type { Said } from "../programs/line.ts";
import { has, needs } from "../support/portable.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-kill-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

function parse(lines: readonly string[]): readonly Said[] {
  return lines.map((line) => JSON.parse(line));
}

/** Runs the program `line.ts` to its end. */
async function line(...args: readonly string[]): Promise<readonly Said[]> {
  return parse(await run(here, "line.ts", args));
}

async function stepsSaved(store: Store): Promise<readonly (number | null)[]> {
  const { entries, damaged } = await runOrThrow(list(store));
  assert.deepEqual(damaged, []);
  return entries.map(({ step }) => step);
}

// --- killed

/** Starts the program in a runtime and kills it shortly after some lines. Returns its output. */
async function killed(runtime: typeof here, args: readonly string[], lines: number): Promise<readonly Said[]> {
  let seen = 0;
  const child = start(runtime, "line.ts", args, {
    onLine: () => {
      if (seen++ === lines) setTimeout(() => child.kill("SIGKILL"), Math.random() * 15);
    },
  });
  const { signal, code, lines: output, errors } = await child.ended;
  assert.equal(signal, "SIGKILL", `${runtime} ended by itself with ${code}:\n${errors}`);
  // The kill may have cut off the last line.
  return parse(output.filter((line) => line.endsWith("}}")));
}

test("old or new, same bits: a run that saves every step and is killed at any moment ends with the same bits", async () => {
  const kills = Math.min(15, 3 * torture);
  const steps = 100 + 20 * kills;
  const path = place();
  const store = directory(path);
  const args = [`store=${path}`, "keep=2", "every=1", "pause=2", "resume", `train=${steps}`, "show"];
  let [reached, isFresh] = [0, true];
  for (let kill = 0; kill < kills; kill++) {
    // The last one not before something was saved.
    const lines = (kill < kills - 1 ? 0 : 8) + Math.floor(Math.random() * 25);
    const said = await killed(kill % 2 === 0 ? here : there, args, lines);
    assert.deepEqual(said[0]?.resumed, { step: reached, fresh: isFresh });
    const reported = said.findLast(({ saved }) => saved)?.saved?.step ?? reached;
    const entries = (await runOrThrow(list(store))).entries;
    const newest = entries.at(-1)?.step ?? 0;
    assert.ok(newest >= reported, `step ${reported} was saved, and ${newest} is the newest`);
    if (entries.length > 0) (await runOrThrow(readSnapshot(store)))[Symbol.dispose]();
    [reached, isFresh] = [newest, entries.length === 0];
  }
  assert.ok(0 < reached && reached < steps);
  const resumed = parse(await run(kills % 2 === 0 ? here : there, "line.ts", args)).at(-1);
  const [whole, shorter] = [await line(`until=${steps}`, "show"), await line(`until=${steps - reached}`, "show")];
  assert.deepEqual(resumed, whole.at(-1));
  assert.notEqual(resumed?.shown?.learned, shorter.at(-1)?.shown?.learned);
  assert.deepEqual(await stepsSaved(store), [steps - 1, steps]);
  assert.deepEqual((await readdir(join(path, "checkpoints"))).filter((name) => name.startsWith(".")), []);
});

test("save.every: counts from the start of the data, so a kill does not change the steps that are saved", async () => {
  const path = place();
  const args = [`store=${path}`, "every=7", "pause=1", "resume", "train=60"];
  for (const lines of [12, 25, 9]) await killed(here, args, lines);
  await run(there, "line.ts", args);
  assert.deepEqual(await stepsSaved(directory(path)), [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]);
});

// --- a run in this process

interface Sum {
  readonly w: tf.Variable;
  readonly cursor: Loader.Cursor;
  readonly step: number;
}

const length = 23;
const numbers = pipe(
  Loader.fromArray(Array.from({ length: 10 }, (_, i) => i + 1)),
  Loader.shuffle(1),
  Loader.batch(2),
  Loader.repeat(),
  Loader.take(length),
);

function fresh(): Sum {
  return { w: tf.tidy(() => tf.variable(tf.scalar(1))), cursor: Loader.start(numbers), step: 0 };
}

/** A step whose result depends on the order of batches. It changes the variable in place. */
function add(state: Sum, batch: readonly number[]): Sum {
  tf.tidy(() => state.w.assign(batch.reduce((w, x) => w.mul(0.75).add(x), state.w as tf.Scalar)));
  return { ...state, step: state.step + 1 };
}

function valueOf({ w }: Sum): number {
  return w.dataSync()[0]!;
}

/** Trains from the newest checkpoint of the store, or afresh, with new components. */
function go(
  store: Store,
  options: Partial<Omit<TrainOptions<Sum, number[]>, "save">> & { readonly save?: Partial<SavePolicy<Sum>> } = {},
): Promise<Either<LoadError | TrainError, Sum>> {
  const { save, ...others } = options;
  return pipe(
    resume(store)(fresh()),
    TE.flatMap(train<Sum, number[]>({ loader: numbers, step: add, save: { to: store, ...save }, ...others })),
  )();
}

function right<A>(result: Either<LoadError | TrainError, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(explain(result.left));
}

function left(result: Either<LoadError | TrainError, unknown>): LoadError | TrainError {
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

const uninterrupted = valueOf(right(await go(memory())));

/** Signals to stop on. */
const stopOn: readonly Signal[] = has("POSIX signals") ? ["SIGTERM", "SIGUSR2"] : ["SIGINT", "SIGHUP"];

/** The number of signal listeners. */
function listening(): number {
  return stopOn.reduce((sum, signal) => sum + process.listenerCount(signal), 0);
}

test("StepFailed: a step that throws saves nothing, and the next run resumes from the last save with the same bits", async () => {
  for (const asynchronous of [false, true]) {
    for (const [every, fails] of [[1, 0], [1, 4], [3, 7], [3, 9], [50, 5]] as const) {
      const store = memory();
      const cause = new Error("no more");
      let count = 0;
      const failing = (state: Sum, batch: readonly number[]): Sum | Promise<Sum> => {
        const next = add(state, batch);
        if (count++ !== fails) return next;
        if (asynchronous) return Promise.reject(cause);
        throw cause;
      };
      const failed = left(await go(store, { step: failing, save: { every }, stopOn }));
      assert.deepEqual(failed, { _tag: "StepFailed", cause, at: fails });
      const before = Array.from({ length: 1 + Math.floor(fails / every) }, (_, i) => every * i);
      assert.deepEqual(await stepsSaved(store), before);
      assert.equal(valueOf(right(await go(store, { save: { every } }))), uninterrupted);
      assert.equal(listening(), 0);
    }
  }
});

test("SourceFailed: data that throws is reported with its position, and the next run resumes with the same bits", async () => {
  for (const fails of [0, 1, 7, 22]) {
    const store = memory();
    const cause = new Error("no such file");
    let count = 0;
    const loader = pipe(
      numbers,
      Loader.map((batch) => {
        if (count++ === fails) throw cause;
        return batch;
      }),
    );
    const failed = left(await go(store, { loader, save: { every: 2 } }));
    assert.deepEqual(failed, { _tag: "SourceFailed", cause, epoch: Math.floor(fails / 5), position: fails % 5 * 2 });
    assert.deepEqual((await stepsSaved(store)).at(-1), fails - fails % 2);
    assert.equal(valueOf(right(await go(store, { save: { every: 2 } }))), uninterrupted);
  }
});

test("StoreFailed: a save that fails ends the training, and the next run resumes with the same bits", async () => {
  for (const fails of [0, 1, 4]) {
    const store = memory();
    let count = 0;
    const full = { _tag: "StoreFailed", operation: "write", path: "it", code: "ENOSPC", message: "full" } as const;
    const broken: Store = { ...store, begin: () => count++ === fails ? Promise.resolve(E.left(full)) : store.begin() };
    assert.deepEqual(left(await go(broken, { save: { every: 5 } })), full);
    assert.equal((await stepsSaved(store)).length, fails);
    assert.equal(valueOf(right(await go(store, { save: { every: 5 } }))), uninterrupted);
  }
});

test("same bits: a run that breaks off at any step, any number of times, saves at the same steps and ends the same", async () => {
  const breaks = fc.array(fc.nat({ max: length }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 9 }), breaks, async (every, afters) => {
      const store = memory();
      for (const after of afters) {
        let count = 0;
        const step = (state: Sum, batch: readonly number[]): Sum => {
          if (count++ === after) throw new Error("killed");
          return add(state, batch);
        };
        await go(store, { step, save: { every } });
      }
      assert.equal(valueOf(right(await go(store, { save: { every } }))), uninterrupted);
      const multiples = Array.from({ length: 1 + Math.floor(length / every) }, (_, i) => every * i);
      assert.deepEqual(await stepsSaved(store), [...new Set([...multiples, length])]);
    }),
    { numRuns: 20 * torture },
  );
});

test("save.every: counts from the start of the data also after resuming from a checkpoint at another step", async () => {
  const stream = pipe(Loader.fromIterable(() => [2, 3, 5, 7]), Loader.batch(2), Loader.repeat(), Loader.take(length));
  for (const loader of [numbers, stream]) {
    for (const begin of [1, 5, 9]) {
      const store = memory();
      const save = { to: store, every: 4 };
      const start = { ...fresh(), cursor: Loader.start(loader) };
      const shorter = pipe(loader, Loader.take(begin));
      right(await train<Sum, number[]>({ loader: shorter, step: add, save: { to: store } })(start)());
      const loaded = await runOrThrow(resume(store)(start));
      right(await train<Sum, number[]>({ loader, step: add, save })(loaded)());
      assert.deepEqual(await stepsSaved(store), [
        0,
        begin,
        ...[4, 8, 12, 16, 20].filter((step) => step > begin),
        length,
      ]);
    }
  }
});

test("end of the data: saves once, and resuming a finished run neither trains nor saves", async () => {
  for (const save of [{}, { every: length }, { seconds: 1000 }]) {
    const store = memory();
    assert.equal(valueOf(right(await go(store, { save }))), uninterrupted);
    assert.deepEqual(await stepsSaved(store), [0, length]);
    assert.equal(
      valueOf(right(await go(store, { save, step: () => assert.fail("a step after the end") }))),
      uninterrupted,
    );
    assert.deepEqual(await stepsSaved(store), [0, length]);
  }
});

test("save.seconds: saves when this time has passed since the last save, and not before", async () => {
  const store = memory();
  const [times, seconds] = [[] as number[], 0.06];
  const step = async (state: Sum, batch: readonly number[]): Promise<Sum> => {
    await new Promise((resolve) => setTimeout(resolve, 10));
    return add(state, batch);
  };
  const began = performance.now();
  const metrics = (): Record<string, number> => (times.push((performance.now() - began) / 1000), {});
  assert.equal(valueOf(right(await go(store, { step, save: { seconds, metrics } }))), uninterrupted);
  const ofTime = times.slice(0, -1);
  assert.ok(ofTime.length > 2);
  ofTime.slice(1).forEach((time, i) => assert.ok(time - ofTime[i]! >= seconds * 0.9, `${ofTime}`));
  assert.equal((await stepsSaved(store)).at(-1), length);
});

test("train: changes only the component cursor, and calls onSaved after every save", async () => {
  const store = memory();
  const cursor = Loader.start(numbers);
  const seen: object[] = [];
  const saved: Saved[] = [];
  const state = { place: cursor, other: cursor, list: [0] };
  const done = right(
    await train<typeof state, number[], "place">({
      loader: numbers,
      step: (state) => (seen.push(state), { ...state, list: [...state.list, 1] }),
      cursor: "place",
      save: {
        to: store,
        every: 10,
        metrics: ({ list }) => ({ length: list.length }),
        onSaved: (one) => saved.push(one),
      },
    })(state)(),
  );
  assert.equal(seen[0], state);
  assert.deepEqual(Object.keys(done), ["place", "other", "list"]);
  assert.equal(done.other, cursor);
  assert.deepEqual([done.place.epoch, done.place.position], [4, 6]);
  assert.deepEqual(saved.map(({ metrics }) => metrics), [{}, { length: 11 }, { length: 21 }, { length: 24 }]);
  assert.deepEqual(state, { place: cursor, other: cursor, list: [0] });
});

test("train: a state without a cursor, and invalid counts and seconds, are a TypeError", async () => {
  const step = (state: object): object => state;
  for (const state of [{}, { cursor: null }, { cursor: { ...Loader.start(numbers), epoch: -1 } }]) {
    await assert.rejects(
      train({ loader: numbers, step })(state as never)(),
      /TypeError|Expected the component "cursor" to be a cursor/,
    );
  }
  for (const every of [0, -1, 1.5, NaN, Infinity]) {
    assert.throws(() => train({ loader: numbers, step, save: { to: memory(), every } }), TypeError);
  }
  for (const seconds of [0, -1, NaN]) {
    assert.throws(() => train({ loader: numbers, step, save: { to: memory(), seconds } }), TypeError);
  }
});

test("nothing silent: a cursor on other data is an error of load and of train that names both", async () => {
  const store = memory();
  right(await go(store, { loader: pipe(numbers, Loader.take(7)) }));
  const others: readonly Loader.Loader<number>[] = [
    pipe(Loader.fromArray([1, 2, 3]), Loader.shuffle(1)),
    pipe(Loader.fromArray(Array.from({ length: 10 }, (_, i) => i + 2)), Loader.shuffle(1)),
    pipe(Loader.fromArray(Array.from({ length: 10 }, (_, i) => i + 1)), Loader.shuffle(2)),
    Loader.fromArray(Array.from({ length: 10 }, (_, i) => i + 1)),
    Loader.fromIterable(() => Array.from({ length: 10 }, (_, i) => i + 1)),
  ];
  const saved = right(await go(store, { loader: pipe(numbers, Loader.take(7)) }));
  assert.deepEqual(await stepsSaved(store), [0, saved.step]);
  for (const other of others) {
    const live = fresh();
    const refused = left(await resume(store)({ ...live, cursor: Loader.start(other) })());
    assert(refused._tag === "Mismatch");
    assert.ok(refused.problems.every(({ path }) => path.startsWith("cursor/")));
    if (refused.problems.every(({ kind }) => kind === "data" || kind === "length")) {
      assert.match(explain(refused), /Give the loader the same data as before, or begin with the new data: .*cursor/);
    }
    const fingerprint = refused.problems.find(({ path }) => path === "cursor/fingerprint");
    assert.deepEqual(
      [fingerprint?.expected, fingerprint?.found],
      [saved.cursor.fingerprint, Loader.start(other).fingerprint].map((text) => JSON.stringify(text)),
    );
    assert.equal(valueOf(live), 1);

    const trained = await train<{ readonly cursor: Loader.Cursor }, number>({
      loader: other,
      step: () => assert.fail("a step on other data"),
      save: { to: store, every: 1 },
    })({ cursor: saved.cursor })();
    assert.equal(left(trained)._tag, "CursorMismatch");
    assert.match(
      explain(left(trained)),
      /differs from the data that this run was trained on\.\n {2}(.* in the cursor, .* in your data|the content of the data differs)\n/,
    );
  }
  assert.equal((await runOrThrow(list(store))).entries.length, 2);
});

test("background saves: a slow store delays only the next save, and no save is lost", async () => {
  const inner = memory();
  const events: string[] = [];
  const store: Store = {
    ...inner,
    begin: async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      events.push("written");
      return await inner.begin();
    },
  };
  const step = (
    state: Sum,
    batch: readonly number[],
  ): Sum => (events.push(`step ${state.step + 1}`), add(state, batch));
  assert.equal(valueOf(right(await go(store, { step, save: { every: 4 } }))), uninterrupted);
  assert.deepEqual(events.slice(0, 10), [
    ...Array.from({ length: 4 }, (_, i) => `step ${i + 1}`),
    "written",
    ...Array.from({ length: 4 }, (_, i) => `step ${i + 5}`),
    "written",
  ]);
  assert.deepEqual(await stepsSaved(inner), [0, 4, 8, 12, 16, 20, 23]);
});

test("background saves: a save that is due during another is skipped or replaced, as the option says; the last state is always saved", async () => {
  for (const whenBusy of ["skip", "latest"] as const) {
    const inner = memory();
    let opens = (): void => {};
    const gate = new Promise<void>((resolve) => opens = resolve);
    const store: Store = { ...inner, begin: () => gate.then(() => inner.begin()) };
    const step = (state: Sum, batch: readonly number[]): Sum => {
      // The first save is in flight until after the last step.
      if (state.step === length - 1) setTimeout(opens, 5);
      return add(state, batch);
    };
    assert.equal(valueOf(right(await go(store, { step, save: { every: 2, whenBusy } }))), uninterrupted);
    assert.deepEqual(await stepsSaved(inner), [0, length], whenBusy);
  }
});

test("no trace: train leaks no tensor and holds no buffer, for each way to end", async () => {
  const state = fresh();
  const before = [tf.memory(), tf.backend().numDataIds()];
  const ends: readonly Partial<TrainOptions<Sum, number[]>>[] = [
    {},
    { step: (state, batch) => state.step === 5 ? assert.fail("enough") : add(state, batch) },
    { loader: pipe(numbers, Loader.map((batch) => batch[0] === 4 ? assert.fail("enough") : batch)) },
  ];
  for (const end of ends) {
    await train<Sum, number[]>({ loader: numbers, step: add, save: { to: memory(), every: 1 }, ...end })(state)();
    assert.deepEqual([tf.memory(), tf.backend().numDataIds()], before);
  }
});

// --- stopped

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  needs("POSIX signals")(
    `${signal}, also twice at once: saves, returns Stopped with the checkpoint, and does not end the process; the resumed run has the same bits`,
    async () => {
      const path = place();
      const args = [`store=${path}`, "every=1000", "pause=2", "resume", "train=150", "show"];
      const child = start(here, "line.ts", args, {
        onLine: (text) => {
          if (JSON.parse(text).step?.step !== 20) return;
          child.kill(signal);
          setTimeout(() => child.kill(signal), 5);
        },
      });
      const { code, lines, errors } = await child.ended;
      assert.equal(code, 0, errors);
      const said = parse(lines);
      const stopped = said.find(({ stopped }) => stopped)?.stopped;
      const step = said.findLast(({ step }) => step)?.step?.step ?? 0;
      assert.ok(20 <= step && step < 150);
      assert.deepEqual(stopped, { signal, checkpoint: 1, step });
      assert.deepEqual(await stepsSaved(directory(path)), [0, step]);
      const resumed = parse(await run(there, "line.ts", args));
      assert.deepEqual(resumed[0]?.resumed, { step, fresh: false });
      assert.deepEqual(resumed.at(-1), (await line("until=150", "show")).at(-1));
    },
  );
}

needs("POSIX signals")(
  "signals: without a store, a signal stops the training after the current step, and the listeners are removed",
  async () => {
    // Neither the steps nor the data yield, so the loop itself must let the signal be delivered.
    const loader = pipe(numbers, Loader.repeat(1000));
    const step = (state: Sum, batch: readonly number[]): Sum => {
      if (state.step === 5) process.kill(process.pid, "SIGUSR2");
      return add(state, batch);
    };
    const stopped = await train<Sum, number[]>({ loader, step, stopOn })(fresh())();
    assert.deepEqual(left(stopped), { _tag: "Stopped", signal: "SIGUSR2" });
    assert.equal(listening(), 0);
  },
);

for (const [first, second] of [["SIGINT", "SIGINT"], ["SIGTERM", "SIGINT"]] as const) {
  needs("POSIX signals")(
    `signals: a second one has its usual effect: ${first}, then ${second}, end a training whose step hangs`,
    async () => {
      const child = start(here, "hangs.ts", [place(), "SIGINT", "SIGTERM"], {
        onLine: (text) => {
          if (text !== "2") return;
          child.kill(first);
          // The first one has been delivered by then. Other tests show that it does not end the process.
          setTimeout(() => child.kill(second), 500);
        },
      });
      const { code, signal, lines } = await child.ended;
      assert.deepEqual([code, signal, lines], [null, second, ["1", "2"]]);
    },
  );
}

test("runOrThrow: the exception of a step is in the chain of causes, and is printed with its own line", async () => {
  for (const runtime of [here, there]) {
    const { code, errors } = await start(runtime, "throws.ts", []).ended;
    assert.equal(code, 1);
    assert.match(errors, /The training step failed.*RangeError: mine/s, runtime);
    assert.match(errors, /at .*myOwnLine.*throws\.ts:5/, runtime);
  }
  const thrown = new Error("mine");
  const failed = { _tag: "StepFailed", cause: thrown, at: 3 } as const;
  await assert.rejects(
    runOrThrow(TE.left(failed)),
    (error: Error) => error.cause === failed && failed.cause === thrown,
  );
});
