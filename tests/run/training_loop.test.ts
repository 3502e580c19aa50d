/**
 * The law *same bits* for what happens between batches: ends of epochs, `until` and save points, for any loader and policy, broken off anywhere.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import process from "node:process";
import { after, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import fc from "fast-check";
import { newLocationState } from "../../lib/store/location.ts";
import {
  codecOf,
  explain,
  list,
  Loader,
  loadState,
  memory,
  pipe,
  resume,
  type Store,
  train,
  type TrainOptions,
  type TrainSavePolicy,
} from "../../mod.ts";
import { left } from "../support/laws.ts";
import { type Any, anyPipeline, type Both, putOverBoth, streamStep } from "../support/pipelines.ts";
import { needs } from "../support/portable.ts";
import { scratch } from "../support/sources.ts";
import { torture } from "../support/torture.ts";

after(() => rm(scratch, { recursive: true, force: true }));

/** A state that remembers each step and each end of an epoch. */
interface Logged {
  readonly batches: number;
  readonly log: readonly string[];
  readonly cursor: Loader.Cursor;
}

type Policy = Omit<TrainSavePolicy<Logged>, "to">;
type Options = Partial<Omit<TrainOptions<Logged, unknown>, "loader" | "save">>;

const most = 12;

function start(loader: Any): Logged {
  return { batches: 0, log: [], cursor: Loader.start(loader) };
}

/** A training that logs. `onCall` is called before each call of the user's functions, and may throw. */
function logging(onCall: () => void): Options & Pick<TrainOptions<Logged, unknown>, "step"> {
  return {
    step: (s, _, { epoch, batch }) => {
      onCall();
      return { ...s, batches: s.batches + 1, log: [...s.log, `${epoch}.${batch}`] };
    },
    onEpochEnd: (s, epoch) => {
      onCall();
      return { ...s, log: [...s.log, `end ${epoch}`] };
    },
    until: (s) => s.batches >= most,
  };
}

async function go(loader: Any, store: Store, save: Policy, onCall = (): void => {}, options: Options = {}) {
  const state = await resume(store)(start(loader));
  return await train({ loader, ...logging(onCall), save: { to: store, ...save }, ...options })(state)();
}

/** The states in a store by their number of batches. */
async function saved(store: Store, fresh: Logged): Promise<readonly (readonly [number, readonly string[]])[]> {
  const { entries } = await list(store);
  const states: (readonly [number, readonly string[]])[] = [];
  for (const { checkpoint } of entries) {
    const { batches, log } = await loadState(store, { checkpoint })(fresh);
    states.push([batches, log]);
  }
  return states;
}

const policies: fc.Arbitrary<Policy> = fc.oneof(
  fc.integer({ min: 1, max: 4 }).map((every) => ({ every })),
  fc.integer({ min: 1, max: 3 }).map((epochs) => ({ epochs })),
  fc.constant({}),
  fc.constant({ every: 2, epochs: 1 }),
);

test("same bits: broken off at any call, a training has the steps, ends of epochs, saved states and end of one that was not", async () => {
  await fc.assert(
    fc.asyncProperty(anyPipeline, policies, async ({ name, build }, policy) => {
      const store = memory();
      let calls = 0;
      const whole = await go(build(), store, policy, () => calls++);
      if (whole._tag === "Left") return assert.match(whole.left._tag, /CursorMismatch|SourceFailed/, name);
      const states = await saved(store, start(build()));
      for (let stop = 0; stop < calls; stop++) {
        const broken = memory();
        let call = 0;
        const failed = await go(build(), broken, policy, () => call++ === stop && assert.fail("broken off"));
        assert.equal(failed._tag === "Left" && failed.left._tag, "StepFailed");
        const resumed = await go(build(), broken, policy);
        const text = `${name}, ${JSON.stringify(policy)}, call ${stop}`;
        assert.deepEqual(resumed, whole, text);
        assert.deepEqual(await saved(broken, start(build())), states, text);
      }
    }),
    { numRuns: 20 * torture, includeErrorInReport: true },
  );
});

needs("POSIX signals")("same bits: stopped by a signal at any call, too", async () => {
  // A signal that is delivered after the training has ended must not end this process.
  const ignore = (): void => {};
  process.on("SIGUSR2", ignore);
  await fc.assert(
    fc.asyncProperty(
      anyPipeline,
      policies,
      fc.array(fc.nat(6), { maxLength: 4 }),
      async ({ name, build }, policy, stops) => {
        const whole = await go(build(), memory(), policy);
        if (whole._tag === "Left") return;
        const store = memory();
        for (const stop of stops) {
          let call = 0;
          await go(build(), store, policy, () => call++ === stop && void process.kill(process.pid, "SIGUSR2"), {
            stopOn: ["SIGUSR2"],
          });
        }
        assert.deepEqual(await go(build(), store, policy), whole, `${name}, ${stops}`);
      },
    ),
    { numRuns: 20 * torture, includeErrorInReport: true },
  );
  await new Promise((resolve) => setTimeout(resolve, 500));
  process.off("SIGUSR2", ignore);
});

test("onEpochEnd: a stream, whose length only reading shows, has the epochs of an array of its items", async () => {
  const chains = fc.tuple(fc.integer({ min: 1, max: 7 }), fc.array(streamStep, { minLength: 1, maxLength: 5 }));
  await fc.assert(
    fc.asyncProperty(chains, async ([length, steps]) => {
      const xs = Array.from({ length }, (_, i) => i);
      const sources: Both = [Loader.fromArray(xs), Loader.fromIterable(() => xs)];
      const [array, stream] = steps.reduce((both, one) => putOverBoth(one)(both), sources);
      const [ofArray, ofStream] = [await go(array, memory(), {}), await go(stream, memory(), {})];
      if (ofArray._tag === "Left" || ofStream._tag === "Left") return assert.equal(ofArray._tag, ofStream._tag);
      // Nothing reads past a limit of steps, so that an end right there is not seen in the first epoch of a stream.
      const isUnseen = ofStream.right.cursor.length === null && ofArray.right.log.at(-1) === "end 0";
      const expected = isUnseen ? ofArray.right.log.slice(0, ofStream.right.log.length) : ofArray.right.log;
      assert.deepEqual(ofStream.right.log, expected, steps.map(({ name }) => name).join(" | "));
    }),
    { numRuns: 100 * torture, includeErrorInReport: true },
  );
});

test("onEpochEnd: comes after the last batch of each pass, and isEpochEnd says the same of the cursors", async () => {
  const items = fc.integer({ min: 1, max: 9 });
  await fc.assert(
    fc.asyncProperty(items, items, fc.nat(2), fc.boolean(), async (length, size, rank, dropLast) => {
      const pass = pipe(
        Loader.fromArray(Array.from({ length }, (_, i) => i)),
        Loader.shuffle(3),
        Loader.shard({ rank, world: 3 }),
        Loader.batch(size, { dropLast }),
      );
      const each = Loader.length(pass)!;
      const loader = pipe(pass, Loader.repeat(3));
      assert.equal(Loader.batchesPerEpoch(loader), each);
      const expected = [0, 1, 2].flatMap((epoch) => [
        ...Array.from({ length: each }, (_, batch) => `${epoch}.${batch}`),
        `end ${epoch}`,
      ]);
      const done = await go(loader, memory(), {}, () => {}, { until: () => false });
      assert.deepEqual(done._tag === "Right" && done.right.log, each === 0 ? [] : expected);
      let count = 0;
      for await (const [, cursor] of Loader.iterate(loader)) {
        assert.equal(Loader.isEpochEnd(loader)(cursor), ++count % each === 0);
        assert.deepEqual(Loader.progressAt(loader)(cursor).done, count);
      }
      assert.equal(Loader.isEpochEnd(loader)(Loader.start(loader)), false);
    }),
    { numRuns: 60 * torture },
  );
});

const five = Loader.fromArray([1, 2, 3, 4, 5]);

/** What a training over a loader logs. */
async function logOf(loader: Any): Promise<string> {
  const done = await go(loader, memory(), {});
  return done._tag === "Right" ? done.right.log.join(" ") : explain(done.left);
}

test("onEpochEnd: of batches that span epochs, of limits of steps, of a loader that was combined", async () => {
  assert.equal(
    await logOf(pipe(five, Loader.repeat(2), Loader.batch(3))),
    "0.0 0.1 end 0 1.0 1.1 end 1",
  );
  assert.equal(
    await logOf(pipe(Loader.fromArray([1, 2]), Loader.repeat(4), Loader.batch(7))),
    "0.0 end 0 end 1 end 2 3.0 end 3",
  );
  const batches = pipe(five, Loader.batch(2), Loader.repeat());
  assert.equal(await logOf(pipe(batches, Loader.take(4))), "0.0 0.1 0.2 end 0 1.0");
  assert.equal(await logOf(pipe(batches, Loader.take(6))), "0.0 0.1 0.2 end 0 1.0 1.1 1.2 end 1");
  assert.equal(
    await logOf(pipe(five, Loader.batch(2), Loader.take(2), Loader.repeat(2))),
    "0.0 0.1 end 0 1.0 1.1 end 1",
  );
  const both = Loader.concat([pipe(Loader.fromArray([1]), Loader.repeat(2)), Loader.fromArray([2])]);
  assert.equal(await logOf(pipe(both, Loader.repeat(2))), "0.0 0.1 0.2 end 0 1.0 1.1 1.2 end 1");
  assert.equal(await logOf(pipe(five, Loader.take(2))), "0.0 0.1 end 0");
  const share = (rank: number, evenBatches: boolean) => Loader.shard({ rank, world: 3, evenBatches });
  // Each rank's items are 0, 3, 6, 9 and so on, from its own number on.
  assert.equal(await logOf(pipe(five, Loader.repeat(2), share(2, false))), "0.0 end 0 1.0 1.1 end 1");
  assert.equal(await logOf(pipe(five, Loader.repeat(2), share(1, false))), "0.0 0.1 end 0 1.0 end 1");
  assert.equal(await logOf(pipe(five, Loader.repeat(2), share(2, true))), "0.0 end 0 1.0 1.1 1.2 end 1");
  assert.equal(await logOf(pipe(five, share(2, true), Loader.repeat(2))), "0.0 0.1 end 0 1.0 1.1 end 1");
  const skipped = pipe(Loader.fromIterable(() => [1]), Loader.repeat(4), Loader.skip(2));
  assert.equal(await logOf(skipped), "2.0 end 2 3.0 end 3");
  assert.equal(await logOf(Loader.fromIterable(() => [])), "");
});

test("at: counts batches as the loader now has them, whatever batch size the cursor was made with", async () => {
  const cursors: Loader.Cursor[] = [];
  for await (const [, cursor] of Loader.iterate(pipe(five, Loader.batch(4)))) cursors.push(cursor);
  const log = async (loader: Any): Promise<string> => {
    const done = await train({ loader, ...logging(() => {}) })({ ...start(loader), cursor: cursors[0]! });
    return done.log.join(" ");
  };
  assert.equal(await log(pipe(five, Loader.batch(2), Loader.repeat(2))), "0.2 end 0 1.0 1.1 1.2 end 1");
  assert.equal(await log(pipe(five, Loader.batch(2, { dropLast: true }), Loader.repeat(2))), "1.0 1.1 end 1");
});

test("isEpochEnd: a stream's is null until its length is known; a cursor on other data is a TypeError", async () => {
  const stream = pipe(Loader.fromIterable(() => [1, 2]), Loader.repeat(2));
  const ends: unknown[] = [];
  for await (const [, cursor] of Loader.iterate(stream)) ends.push(Loader.isEpochEnd(stream)(cursor));
  assert.deepEqual(ends, [null, null, false, true]);
  assert.deepEqual([Loader.batchesPerEpoch(stream), Loader.progressAt(stream)(Loader.start(stream)).total], [
    null,
    null,
  ]);
  assert.equal(Loader.batchesPerEpoch(Loader.zip([pipe(five, Loader.repeat())])), Infinity);
  for (const ask of [Loader.isEpochEnd(five), Loader.progressAt(five)]) {
    assert.throws(
      () => ask(Loader.start(stream)),
      /^TypeError: Expected the cursor of Loader\.\w+ to be a cursor on the loader's data/,
    );
  }
});

test("save.epochs: counts whole epochs from the start of the data; the first state is saved once, whatever follows", async () => {
  const loader = pipe(five, Loader.batch(2), Loader.repeat(3));
  const until = (): boolean => false;
  const store = memory();
  await go(loader, store, { epochs: 2 }, () => {}, { until });
  const batches = async (): Promise<readonly number[]> => (await saved(store, start(loader))).map(([count]) => count);
  assert.deepEqual(await batches(), [0, 6, 9]);
  await go(loader, store, { epochs: 2 }, () => {}, { until });
  assert.deepEqual(await batches(), [0, 6, 9]);
  const stopped = memory();
  const never = await go(loader, stopped, {}, () => assert.fail("a step"), { until: () => true });
  assert.equal(never._tag, "Right");
  assert.deepEqual((await list(stopped)).entries.map(({ step }) => step), [0]);
});

test("until: ends as if the data had ended, and a finished run that is run again ends at once", async () => {
  const loader = pipe(five, Loader.repeat());
  const store = memory();
  const until = (s: Logged): boolean => s.batches === 7;
  const done = await go(loader, store, {}, () => {}, { until });
  assert.equal(done._tag === "Right" && done.right.batches, 7);
  assert.deepEqual(await go(loader, store, {}, () => assert.fail("a step after the end"), { until }), done);
  assert.deepEqual((await saved(store, start(loader))).map(([batches]) => batches), [0, 7]);
});

test("one line of history: a second training in a process does not mix with the first", async () => {
  const loader = pipe(five, Loader.batch(2));
  const store = memory();
  const until = (): boolean => false;
  const fresh = train({ loader, ...logging(() => {}), until, save: { to: store, every: 1 } });
  const [first, second] = await Promise.allSettled([fresh(start(loader))(), fresh(start(loader))()]);
  assert.equal(first.status, "fulfilled");
  assert.match(
    String(second.status === "rejected" && second.reason),
    /TypeError: Another train of this process saves to memory/,
  );
  const steps = async (): Promise<readonly (number | null)[]> => (await list(store)).entries.map(({ step }) => step);
  assert.deepEqual(await steps(), [0, 1, 2, 3]);
  const again = await fresh(start(loader))();
  assert.deepEqual(again, { _tag: "Left", left: { _tag: "StepWentBack", step: 0, parent: 3, parentStep: 3 } });
  assert.deepEqual(await steps(), [0, 1, 2, 3]);
  const fork = { loader, ...logging(() => {}), until, save: { to: store, fork: true } };
  assert.equal((await train(fork)(start(loader))())._tag, "Right");
  assert.deepEqual(await steps(), [0, 1, 2, 3, 0, 3]);
  assert.equal(new Set((await list(store)).entries.map(({ run }) => run)).size, 2);
});

test("one line of history: what failed before its first save after a batch can be trained again from the start", async () => {
  const loader = pipe(five, Loader.batch(2));
  const store = memory();
  const state = await resume(store)(start(loader));
  const attempt = (most: number) => {
    const onCall = (): void => assert.ok(most-- > 0, "a bug");
    return train({ loader, ...logging(onCall), until: () => false, save: { to: store } })(state)();
  };
  assert.equal(left(await attempt(1))._tag, "StepFailed");
  const done = await attempt(9);
  assert.equal(done._tag === "Right" && done.right.batches, 3);
  assert.equal(left(await attempt(9))._tag, "StepWentBack");
});

test("nothing silent: a step or an end of an epoch that loses a component is StepFailed, and what cannot be resumed is not begun", async () => {
  const loader = pipe(five, Loader.batch(5));
  const fresh = { rng: 1, cursor: Loader.start(loader) };
  const lossy = (({ cursor }: typeof fresh) => ({ cursor })) as unknown as (s: typeof fresh) => typeof fresh;
  const whole = (s: typeof fresh): typeof fresh => s;
  for (const [step, onEpochEnd, by] of [[lossy, whole, "the step"], [whole, lossy, "onEpochEnd"]] as const) {
    const failed = await train({ loader, step, onEpochEnd })(fresh)();
    assert.match(
      explain(left(failed)),
      new RegExp(`Expected ${by} to return the component "rng" too: return \\{ \\.\\.\\.state, … \\}`),
    );
  }
  const instance = { cursor: Loader.start(loader), seen: new Map([["a", 1]]) };
  const began = resume(memory())(instance as unknown as typeof fresh)();
  await assert.rejects(began, { name: "TypeError", message: /seen/ });
  const types = [codecOf("Map", Map<string, number>, (map) => [...map], (entries) => new Map(entries))];
  assert.equal(await resume(memory(), { types })(instance), instance);
});

test("one line of history: of two processes that found no checkpoint and train at once, one trains to the end", async () => {
  const base = memory();
  const results = await Promise.all([1, 2].map(async () => {
    // As another process would have it.
    const own = newLocationState();
    const store = { ...base, place: () => own };
    const state = await resume(store)(start(five));
    return await train({ loader: five, step: (s) => s, save: { to: store, every: 1 } })(state)();
  }));
  const tags = results.map((result) => result._tag === "Left" ? result.left._tag : "trained");
  assert.deepEqual(tags.toSorted(), ["Overtaken", "trained"]);
  assert.equal(new Set((await list(base)).entries.map(({ run }) => run)).size, 1);
});

test("StepFailed: says which function threw; what until and onEpochEnd return is checked", async () => {
  const thrown = new Error("mine");
  const fail = (): never => {
    throw thrown;
  };
  const failures: readonly (readonly [Options, object])[] = [
    [{ step: fail }, { at: 0 }],
    [{ onEpochEnd: fail }, { at: 5, by: "onEpochEnd", epoch: 0 }],
    [{ until: ({ batches }) => batches > 6 && fail() }, { at: 7, by: "until", epoch: 1 }],
  ];
  for (const [options, about] of failures) {
    const store = memory();
    const failed = await go(pipe(five, Loader.repeat()), store, { every: 5 }, () => {}, options);
    assert.deepEqual(failed, { _tag: "Left", left: { _tag: "StepFailed", cause: thrown, ...about } });
    const states = await saved(store, start(five));
    assert.ok(states.every(([batches, log]) => batches < 5 || log.includes("end 0")), "a half epoch was saved");
  }
  for (
    const [options, message] of [
      [{ onEpochEnd: () => undefined }, /Expected onEpochEnd to return the next state, found undefined/],
      [{ until: () => Promise.resolve(false) }, /Expected until to return true or false, found .*: compute/],
    ] as const
  ) {
    const failed = await go(five, memory(), {}, () => {}, options as never);
    assert.match(failed._tag === "Left" ? explain(failed.left) : "", message);
  }
});

test("metrics: label the checkpoints, unless save.metrics does; the state before the first batch has none", async () => {
  const [store, own] = [memory(), memory()];
  const metrics = ({ batches }: Logged): Record<string, number> => ({ batches });
  await go(five, store, {}, () => {}, { metrics });
  assert.deepEqual((await list(store)).entries.map(({ metrics }) => metrics), [{}, { batches: 5 }]);
  await go(five, own, { metrics: () => ({ own: 1 }) }, () => {}, { metrics });
  assert.deepEqual((await list(own)).entries.map(({ metrics }) => metrics), [{}, { own: 1 }]);
});

test("metrics: with onEpochEnd, a checkpoint inside an epoch has only those that have changed since the last one", async () => {
  const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.repeat(3));
  const start = { loss: 9, val: 0, cursor: Loader.start(loader) };
  const labels = async (stops: readonly number[], measures = true, fresh: typeof start | { loss?: number } = start) => {
    const store = memory();
    let steps = 0;
    for (const stop of [...stops, Infinity]) {
      const state = await resume(store)(fresh as typeof start);
      await train({
        loader,
        step: (s: typeof start) => ({ ...s, loss: 1 / ++steps }),
        ...(measures && { onEpochEnd: (s: typeof start, epoch: number) => ({ ...s, val: epoch + 0.5 }) }),
        until: () => steps >= stop,
        metrics: ({ loss, val }) => ({ loss: Number(loss.toFixed(2)), val }),
        save: { to: store, every: 1 },
      })(state);
    }
    return (await list(store)).entries.map(({ metrics: { loss, val } }) => `${loss} ${val}`);
  };
  const none = "undefined";
  const first = [`${none} ${none}`, `1 ${none}`, `0.5 ${none}`, "0.33 0.5"];
  const rest = [`0.25 ${none}`, `0.2 ${none}`, "0.17 1.5", `0.14 ${none}`, `0.13 ${none}`, "0.11 2.5"];
  const whole = [...first, ...rest];
  assert.deepEqual(await labels([]), whole);
  for (const stops of [[1], [2], [3], [4], [5], [6], [2, 4, 5, 8]]) {
    assert.deepEqual(await labels(stops), whole, `${stops}`);
  }
  // Where metrics throw for the fresh state, because only a step gives the loss, the first epoch has all.
  assert.deepEqual(
    await labels([], true, { cursor: start.cursor, val: 0 } as never),
    whole.map((label, i) => i === 1 || i === 2 ? label.replace("undefined", "0") : label),
  );
  // Without onEpochEnd, each state has all.
  assert.deepEqual((await labels([4], false)).slice(1, 6), ["1 0", "0.5 0", "0.33 0", "0.25 0", "0.2 0"]);
});

needs("POSIX signals")("metrics: a signal inside an epoch labels like a save that is due there", async () => {
  const loader = pipe(Loader.fromArray([1, 2]), Loader.repeat(2));
  const store = memory();
  let isDelivered = false;
  process.once("SIGUSR2", () => void (isDelivered = true));
  const options = {
    loader,
    step: async (
      s: { val: number; cursor: Loader.Cursor },
      _: number,
      { epoch, batch }: { epoch: number; batch: number },
    ) => {
      if (epoch === 1 && batch === 0) {
        process.kill(process.pid, "SIGUSR2");
        while (!isDelivered) await new Promise((resolve) => setTimeout(resolve, 1));
      }
      return s;
    },
    onEpochEnd: (s: { val: number; cursor: Loader.Cursor }) => ({ ...s, val: 1 }),
    metrics: ({ val }: { val: number }) => ({ val }),
    stopOn: ["SIGUSR2"],
    save: { to: store, epochs: 1 },
  } as const;
  const stopped = await train(options)({ val: 0, cursor: Loader.start(loader) })();
  assert.equal(stopped._tag === "Left" && stopped.left._tag, "Stopped");
  assert.deepEqual((await list(store)).entries.map(({ metrics }) => metrics), [{}, { val: 1 }, {}]);
});

test("no trace: an item that was read ahead for the end of an epoch is disposed when a run breaks off", async () => {
  const before = tf.memory().numTensors;
  const stream = (): Loader.Loader<tf.Tensor> => Loader.fromDataset(tf.data.array([1, 2, 3]).batch(1) as never);
  for (const stop of [1, 2, 3]) {
    const options: TrainOptions<Logged, tf.Tensor> = {
      loader: stream(),
      step: (s, x) => {
        tf.dispose(x);
        return { ...s, batches: s.batches + 1 };
      },
      onEpochEnd: (s) => s,
      until: (s) => s.batches === stop,
    };
    await train(options)(start(stream()));
    assert.equal(tf.memory().numTensors, before, `${stop}`);
  }
});

test("no trace: in the first epoch of a stream, a map is called only for the batches that are trained on", async () => {
  const before = tf.memory().numTensors;
  const stream = pipe(Loader.fromIterable(() => [1, 2, 3, 4]), Loader.batch(1));
  for (const source of [stream, pipe(stream, Loader.filter((xs) => xs.length > 0)), Loader.zip([stream])]) {
    for (const stop of [1, 2, 3]) {
      let calls = 0;
      const loader: Loader.Loader<tf.Tensor> = pipe(source as Any, Loader.map(() => (calls++, tf.scalar(1))));
      const logged = logging(() => {});
      const step: TrainOptions<Logged, tf.Tensor>["step"] = (s, x, at) => {
        x.dispose();
        return logged.step(s, x, at);
      };
      await train({ ...logged, loader, step, until: (s) => s.batches === stop } as TrainOptions<Logged, tf.Tensor>)(
        start(loader),
      );
      assert.deepEqual([tf.memory().numTensors, calls], [before, stop]);
    }
  }
});

test("SourceFailed: the step before a batch whose map fails is saved, of a stream as of an array", async () => {
  for (const source of [Loader.fromArray([1, 2, 3]), Loader.fromIterable(() => [1, 2, 3])]) {
    const loader = pipe(source, Loader.map((x) => x < 3 ? x : assert.fail("no third")));
    const store = memory();
    const failed = await go(loader, store, { every: 1 });
    assert.equal(failed._tag === "Left" && failed.left._tag, "SourceFailed");
    assert.deepEqual((await saved(store, start(loader))).map(([batches]) => batches), [0, 1, 2]);
  }
});
