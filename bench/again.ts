/**
 * A repeated save of a model against its first save. 95 % of the model, a frozen base, has not changed in between; only its head trains.
 *
 *     bun run bench again
 *
 * @module
 */
import { directory, runOrThrow, type Saved, saveState } from "@dogear/dogear";
import type * as tf from "@tensorflow/tfjs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { compare } from "./rounds.ts";
import { denseModel, inFolder, mebi, useBackend } from "./scene.ts";

await useBackend("cpu");
await inFolder(async (folder) => {
  const layers = 100;
  const model = denseModel(512 * mebi, layers, 95);
  const head = model.layers.slice(95).flatMap((layer) => layer.weights.map((weight) => weight.read() as tf.Variable));
  const values = [1, 2].map((by) => head.map((weight) => weight.add(by)));
  let turn = 0;
  const change = (): void => {
    turn++;
    head.forEach((weight, i) => weight.assign(values[turn % 2]?.[i] ?? weight));
  };
  let store = directory(join(folder, "0"));
  let saved: Saved | undefined;
  const save = async (): Promise<void> => {
    saved = await runOrThrow(saveState(store)({ model }));
  };
  await compare(
    {
      name: "save again with 5 % changed",
      before: async () => {
        store = directory(join(folder, String(turn)));
        await save();
        change();
      },
      run: save,
      after: () => rm(store.location, { recursive: true }),
    },
    {
      name: "the first save",
      before: () => store = directory(join(folder, `first ${turn}`)),
      run: save,
      after: () => rm(store.location, { recursive: true }),
    },
  );
  store = directory(join(folder, "last"));
  await save();
  change();
  await save();
  process.stdout.write(`bytes written of all: ${((saved?.bytesWritten ?? 0) / (saved?.bytesTotal ?? 1)).toFixed(4)}\n`);
});
