/**
 * A training that logs with `jsonLines` and `tensorBoard`: `curves.ts <kind> <pace> <folder>...`, once in each folder. It prints `step <n>` after each batch, and waits
 * `pace` milliseconds, so that it can be killed in between. At its end it prints `run` and the name of each run.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { dirname, join } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import {
  directory,
  fit,
  fitDataset,
  list,
  Loader,
  loadState,
  pipe,
  resume,
  Retention,
  Rng,
  runOrThrow,
  saveState,
  type Store,
  train,
} from "../../mod.ts";
import { jsonLines, tensorBoard, type Tracker } from "../../lib/trackers/mod.ts";

await tf.setBackend("cpu");
const [kind = "", pace = "0", ...folders] = process.argv.slice(2);

async function passed(step: number): Promise<void> {
  process.stdout.write(`step ${step}\n`);
  await setTimeout(Number(pace));
}

const loader = pipe(
  Loader.fromArray(Array.from({ length: 22 }, (_, i) => i)),
  Loader.shuffle(7),
  Loader.batch(4),
  Loader.repeat(6),
);
const fresh = () => ({ sum: 0, ends: 0, rate: 1, rng: Rng.make(5), step: 0, cursor: Loader.start(loader) });
type State = ReturnType<typeof fresh>;

async function stepped(state: State, batch: readonly number[]): Promise<State> {
  const [drawn, rng] = Rng.float(state.rng);
  const sum = state.sum * 0.99 + state.rate * drawn + (batch[0] ?? 0);
  await passed(state.step + 1);
  return { ...state, sum, rng, step: state.step + 1 };
}

const metrics = ({ sum, ends, step }: State): Record<string, number> => ({
  sum,
  ends,
  ...(step % 5 === 0 && { rare: NaN }),
});

/** Where a training saves, and where it logs. */
interface Place {
  readonly store: Store;
  readonly path: string;
}

function trackersAt(path: string): readonly Tracker[] {
  return [jsonLines(path), tensorBoard(join(dirname(path), "tensorboard"))];
}

function trained({ store, path }: Place, until = Infinity) {
  return train<State, number[]>({
    loader,
    step: stepped,
    onEpochEnd: (state) => ({ ...state, ends: state.ends + 1 }),
    until: ({ step }) => step >= until,
    metrics,
    trackers: trackersAt(path),
    save: { to: store, every: 4, epochs: 1 },
  });
}

/** Trains for 20 batches, then begins a fork at the state after 12; killed, it resumes the fork. */
async function forked(place: Place): Promise<void> {
  const { store } = place;
  const before = (await list(store)).entries;
  const hasForked = new Set(before.map(({ run }) => run)).size > 1;
  if (!hasForked) await trained(place, 20)(await resume(store)(fresh()));
  const from = (await list(store)).entries.find(({ step }) => step === 12)!;
  const state = hasForked
    ? await resume(store)(fresh())
    : { ...await loadState(store, { checkpoint: from.checkpoint })(fresh()), rate: 2 };
  await trained(place)(state);
}

async function byHand({ store, path }: Place): Promise<void> {
  let state = await resume(store)(fresh());
  const [log, curves] = [jsonLines(path), tensorBoard(join(dirname(path), "tensorboard"))];
  await Promise.all([log.start({ step: state.step }), curves.start({ step: state.step })]);
  for await (const [batch, cursor] of Loader.from(state.cursor)(loader)) {
    state = { ...await stepped(state, batch), cursor };
    for (const one of [log, curves]) {
      one.log({ sum: state.sum }, state.step);
      if (state.step % 6 === 0) one.histogram("batch", batch, state.step);
    }
    if (state.step % 4 !== 0) continue;
    await Promise.all([log.flush(), curves.flush()]);
    await saveState(store)(state);
  }
  await Promise.all([log.close(), curves.close()]);
}

const xs = Array.from({ length: 20 }, (_, i) => [Math.sin(i), Math.cos(i)]);
const ys = xs.map(([a = 0]) => [3 * a]);

function model(): tf.LayersModel {
  const kernelInitializer = tf.initializers.glorotUniform({ seed: 1 });
  const network = tf.sequential({
    layers: [
      tf.layers.dropout({ rate: 0.2, inputShape: [2] }),
      tf.layers.dense({ units: 1, kernelInitializer }),
    ],
  });
  network.compile({ optimizer: tf.train.adam(0.01), loss: "meanSquaredError", metrics: ["mae"] });
  return network;
}

async function fitted({ store, path }: Place): Promise<void> {
  let batches = 0;
  const own = { to: store, every: 2, seed: 3, trackers: trackersAt(path) };
  const callbacks = { onBatchEnd: () => passed(++batches) };
  const data = (): tf.data.Dataset<tf.TensorContainer> =>
    tf.data.zip({ xs: tf.data.array(xs), ys: tf.data.array(ys) }).batch(5) as tf.data.Dataset<tf.TensorContainer>;
  await runOrThrow(
    kind === "fit"
      ? fit(own)(model(), tf.tensor2d(xs), tf.tensor2d(ys), {
        epochs: 8,
        batchSize: 4,
        validationSplit: 0.2,
        callbacks,
        verbose: 0,
      })
      : fitDataset({ ...own, logEvery: 3 })(model(), data(), {
        epochs: 8,
        validationData: data() as never,
        callbacks,
        verbose: 0,
      }),
  );
}

for (const folder of folders) {
  const store = directory(folder, kind === "fork" ? {} : { keep: Retention.latest(2) });
  const place: Place = { store, path: join(folder, "log.jsonl") };
  if (kind === "fork") await forked(place);
  else if (kind === "by hand") await byHand(place);
  else if (kind === "train" || kind === "beside") await trained(place)(await resume(store)(fresh()));
  else await fitted(place);
  process.stdout.write(`run ${(await list(store)).entries.at(-1)?.run}\n`);
}
