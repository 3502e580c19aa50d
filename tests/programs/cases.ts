/**
 * The cases of resuming a loader: four set-ups by three places, over 64 samples in batches of 4.
 *
 *     cases.ts save <folder>             trains up to each place, in stores of their own, and saves there
 *     cases.ts resume <folder> <place>   resumes there, and prints what is left of each set-up
 *
 * To resume, it calls only `resume` and `Loader.from`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { join } from "node:path";
import process from "node:process";
import { directory, Loader, pipe, resume, Rng, runOrThrow, saveState, type Store } from "../../mod.ts";

/** A batch, and the cursor after it. */
export type Item = readonly [batch: readonly number[], cursor: Loader.Cursor];

const samples = Array.from({ length: 64 }, (_, i) => 1000 + i);

/** The samples in an order that a generator of the user's own draws for each epoch. */
function* drawn(epoch: number): Generator<number> {
  const left = [...samples];
  let rng = Rng.fork(`epoch ${epoch}`)(Rng.make(3));
  while (left.length > 0) {
    const [i, next] = Rng.int(0, left.length - 1)(rng);
    rng = next;
    yield* left.splice(i, 1);
  }
}

const whole = (loader: Loader.Loader<number>): Loader.Loader<number[]> =>
  pipe(loader, Loader.batch(4), Loader.repeat(4));

const later = async (i: number): Promise<number> => {
  await new Promise((resolve) => setTimeout(resolve, i % 2));
  return 1000 + i;
};

/** The set-ups; each call is a new start, as in a new process. */
export const loaders: Readonly<Record<string, () => Loader.Loader<number[]>>> = {
  array: () => whole(pipe(Loader.fromArray(samples), Loader.shuffle(7))),
  indexed: () => whole(pipe(Loader.fromIndexed({ length: 64, at: later, fingerprint: "v1" }), Loader.shuffle("7"))),
  stream: () => whole(Loader.fromIterable(drawn)),
  dataset: () => whole(Loader.fromDataset<number>(tf.data.array(samples).shuffle(64, "7"))),
};

/** The places, each by how many batches lie before it. */
export const places: Readonly<Record<string, number>> = {
  "start of epoch 2": 32,
  "batch 5 of epoch 1": 21,
  "batch 5 of epoch 0": 5,
};

function storeOf(folder: string, name: string, place: string): Store {
  return directory(join(folder, `${name}, ${place}`));
}

async function save(folder: string): Promise<void> {
  for (const [name, build] of Object.entries(loaders)) {
    for (const [place, batches] of Object.entries(places)) {
      let step = 0;
      for await (const [, cursor] of Loader.iterate(build())) {
        if (++step < batches) continue;
        await runOrThrow(saveState(storeOf(folder, name, place))({ cursor, step }));
        break;
      }
    }
  }
}

async function resumeAt(folder: string, place: string): Promise<void> {
  for (const [name, build] of Object.entries(loaders)) {
    const batches = build();
    const fresh = { cursor: Loader.start(batches), step: 0 };
    const state = await runOrThrow(resume(storeOf(folder, name, place))(fresh));
    const left: Item[] = [];
    for await (const item of Loader.from(state.cursor)(batches)) left.push(item);
    process.stdout.write(`${JSON.stringify({ name, step: state.step, left })}\n`);
  }
}

if (import.meta.main) {
  const [command = "", folder = "", place = ""] = process.argv.slice(2);
  await (command === "save" ? save(folder) : resumeAt(folder, place));
}
