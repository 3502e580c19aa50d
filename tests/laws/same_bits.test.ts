/**
 * The law *same bits*: uninterrupted == resumed != cold-started, for every optimizer and every sort of run, saved at any step.
 * With it *no trace* and *immutable* over whole runs.
 *
 * With torture 1 a run is saved at its start, at its end and at one step between them. For *same bits* it has one backend in Bun and the other
 * in Deno; for each of the other laws, one backend in one of them. From torture 2 on each law has every run on both backends in both runtimes;
 * from torture 10 on a run is saved at four steps or more between its ends.
 *
 * @module
 */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import { captureState, diff, id, release, restoreInto, restoreState, type Snapshot } from "../../mod.ts";
import { exact, idOf, right } from "../support/laws.ts";
import { advance, type Run, runs, total } from "../programs/runs.ts";
import { isTriedHere, torture } from "../support/torture.ts";

const { dense } = tf.layers;

const stride = Math.max(10, Math.floor(total / torture));

/** Where the n-th run is saved: at its start, at its end, and every so many steps, other ones than those of the run before. */
function savesOf(n: number): readonly number[] {
  return Array.from({ length: total + 1 }, (_, k) => k)
    .filter((k) => k === 0 || k === total || k % stride === (7 * n) % stride);
}

// --- what runs leave and are compared by

/** Runs a thunk, then disposes of the variables and tensors that it made. */
async function alone<A>(thunk: () => Promise<A>): Promise<A> {
  const registered = (): Record<string, tf.Variable> =>
    (tf.engine() as unknown as { state: { registeredVariables: Record<string, tf.Variable> } }).state
      .registeredVariables;
  const before = new Set(Object.values(registered()));
  tf.engine().startScope();
  try {
    return await thunk();
  } finally {
    tf.engine().endScope();
    for (const variable of Object.values(registered())) if (!before.has(variable)) variable.dispose();
  }
}

/** What its models and variables show at the end of a run, seen without any snapshot. */
function seen(state: object): string {
  return tf.tidy(() =>
    exact(
      Object.values(learned(state)).map((part) => {
        if (part instanceof tf.Variable) return part;
        const input = part.inputs[0]!.shape.map((size) => size ?? 1);
        return [part.getWeights(), part.predict(tf.linspace(-1, 1, tf.util.sizeFromShape(input)).reshape(input))];
      }),
    )
  );
}

/** A run's snapshots after 0, 1, 2, ... steps, until they are disposed of. */
interface Recording extends Disposable {
  readonly after: readonly Snapshot<unknown>[];
  readonly end: Snapshot<unknown>;
  readonly seen: string;
}

/** Records a run; one that ended in numbers that are none would prove nothing. */
async function record(run: Run): Promise<Recording> {
  const start = run.make();
  const after = [captureState(start)];
  const end = await advance(run, start, total, (state) => after.push(captureState(state)));
  const weights = Object.values(learned(end)).flatMap((part) =>
    part instanceof tf.Variable ? [part] : part.weights.map((weight) => weight.read())
  );
  assert(weights.every((weight) => weight.dataSync().every(Number.isFinite)), "the run ends with finite weights");
  const letGo = (): void => after.forEach((snapshot) => release(snapshot)());
  return { after, end: after[total]!, seen: seen(end), [Symbol.dispose]: letGo };
}

/** What a run is for: its models and variables. */
function learned(state: object): Record<string, tf.LayersModel | tf.Variable> {
  return Object.fromEntries(
    Object.entries(state).filter(([, part]) => part instanceof tf.LayersModel || part instanceof tf.Variable),
  );
}

async function assertSame(state: object, expected: Snapshot<unknown>, what: string): Promise<void> {
  using found = captureState(state);
  if (await id(found)() === await id(expected)()) return;
  assert.fail(`${what}: ${JSON.stringify(await diff(expected, found)(), null, 2)}`);
}

/** Takes a run restored after step k on to its end, which must be the uninterrupted one's. */
async function assertResumes(run: Run, k: number, restored: object, whole: Recording, way: string): Promise<object> {
  const state = await advance(run, restored as ReturnType<Run["make"]>, total - k);
  await assertSame(state, whole.end, `after step ${k}, ${way}`);
  assert.equal(seen(state), whole.seen, `after step ${k}, ${way}`);
  return state;
}

// --- laws

for (const [b, backend] of ["cpu", "wasm"].entries()) {
  const law = (title: string, body: () => Promise<void>): void => {
    test(`${title}, ${backend}`, async () => {
      await tf.setBackend(backend);
      await alone(body);
    });
  };

  for (const [n, [name, run]] of Object.entries(runs).entries()) {
    describe(name, () => {
      if (!isTriedHere(n + b)) return;

      law("same bits: uninterrupted is resumed", async () => {
        using recording = await record(run);
        for (const k of savesOf(n)) {
          const snapshot = recording.after[k]!;
          await alone(async () => {
            const restored = right(restoreInto(run.make())(snapshot)());
            await assertResumes(run, k, restored, recording, "restored into live components");
          });
          await alone(async () => {
            await assertResumes(
              run,
              k,
              right(restoreState(snapshot)) as object,
              recording,
              "restored from itself alone",
            );
          });
        }
      });

      if (torture === 1 && Math.floor(n / 2) % 2 !== b) return;

      law("same bits: cold is another run, whichever part is cold", async () => {
        using recording = await record(run);
        const k = 22;
        const end = await idOf(learned(right(restoreState(recording.end)) as object));
        const parts = Object.entries(run.make()).filter(([, part]) => typeof part !== "number").map(([part]) => part);
        const models = Object.keys(learned(run.make()));
        for (const cold of [parts, models, ...parts.filter((part) => !models.includes(part)).map((part) => [part])]) {
          const fresh = run.make() as object as Record<string, unknown>;
          const mixed = { ...right(restoreState(recording.after[k]!)) as object } as Record<string, unknown>;
          for (const part of cold) mixed[part] = fresh[part];
          const state = await advance(run, mixed as object as ReturnType<Run["make"]>, total - k);
          assert.notEqual(await idOf(learned(state)), end, `cold: ${cold}`);
        }
      });

      law("no trace: capturing after each step changes nothing", async () => {
        let last = captureState({});
        const capture = (state: object): void => {
          release(last)();
          const before = tf.memory();
          release(captureState(state))();
          assert.deepEqual(tf.memory(), before);
          last = captureState(state);
          assert.equal(tf.memory().numTensors, before.numTensors);
        };
        const memory =
          (): readonly number[] => [tf.memory().numTensors, tf.memory().numDataBuffers, tf.memory().numBytes];
        const before = memory();
        const never = await advance(run, run.make(), total);
        const between = memory();
        const each = await advance(run, run.make(), total, capture);
        release(last)();
        assert.deepEqual(memory().map((n, i) => n - between[i]!), between.map((n, i) => n - before[i]!));
        using end = captureState(never);
        await assertSame(each, end, "captured after each step");
      });

      law("immutable: snapshots outlive what is trained, restored or disposed", async () => {
        using recording = await record(run);
        const digests = await Promise.all(recording.after.map((snapshot) => id(snapshot)()));
        assert.equal(new Set(digests).size, total + 1);
        const k = 18;
        const snapshot = recording.after[k]!;
        const [a, b] = [right(restoreState(snapshot)), right(restoreState(snapshot))] as [object, object];
        const trained = await assertResumes(run, k, a, recording, "restored");
        await assertSame(b, snapshot, "restored twice, one of them trained");
        await assertResumes(run, k, b, recording, "restored twice");
        const back = right(restoreInto(trained)(snapshot)());
        await assertResumes(run, k, back, recording, "restored into components that had trained to the end");
        tf.disposeVariables();
        assert.deepEqual(await Promise.all(recording.after.map((snapshot) => id(snapshot)())), digests);
        await assertResumes(run, k, right(restoreState(snapshot)) as object, recording, "after tf.disposeVariables()");
      });
    });
  }
}

test("round trip: a sequential model is built when it was, where that matters to frozen weights", async () => {
  await tf.setBackend("cpu");
  const make = ([frozen, used]: readonly [boolean, boolean]): { readonly model: tf.Sequential } => {
    const model = tf.sequential({ layers: [dense({ units: 2, inputShape: [2] }), dense({ units: 1 })] });
    model.layers[0]!.trainable = !frozen;
    if (used) model.predict(tf.ones([1, 2]));
    return { model };
  };
  const flags = ({ model }: ReturnType<typeof make>): readonly boolean[] => {
    model.predict(tf.ones([1, 2]));
    return model.weights.map((weight) => weight.trainable);
  };
  const ways = [[false, false], [false, true], [true, false], [true, true]] as const;
  await alone(async () => {
    const state = make([false, false]);
    const unused = await idOf(state);
    state.model.predict(tf.ones([1, 2]));
    assert.equal(await idOf(state), unused, "built or not, where nothing is frozen");
    for (const saved of ways.map(make)) {
      using snapshot = captureState(saved);
      const fresh = right(restoreState(snapshot));
      const into = ways.map((way) => right(restoreInto(make(way))(snapshot)()));
      for (const restored of [fresh, ...into]) await assertSame(restored, snapshot, "restored");
      for (const restored of [fresh, ...into]) assert.deepEqual(flags(restored), flags(saved));
    }
  });
});
