/**
 * A save of a model with its Adam state against tfjs's own `model.save` with a handler that writes its two files: once without fsync, once with
 * an fsync of each file, so that they survive a loss of power. Neither has checksums or a rename. Both save less: tfjs omits the part of Adam's
 * state that decides the bits of the next step.
 *
 *     bun run bench model_save
 *
 * @module
 */
import { directory, runOrThrow, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { Buffer } from "node:buffer";
import { open, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compare } from "./rounds.ts";
import { denseModel, inFolder, mebi, useBackend } from "./scene.ts";

async function synced(path: string): Promise<void> {
  const file = await open(path, "r+");
  await file.sync();
  await file.close();
}

await useBackend("cpu");
await inFolder(async (folder) => {
  const model = denseModel(100 * mebi, 20);
  model.compile({ optimizer: "adam", loss: "meanSquaredError" });
  const [x, y] = [model.inputs, model.outputs].map(([one]) => tf.zeros([1, one?.shape[1] ?? 1]));
  const train = async (): Promise<void> => void await model.trainOnBatch(x as tf.Tensor, y as tf.Tensor);
  const handler = (flush: boolean): tf.io.IOHandler =>
    tf.io.withSaveHandler(async ({ weightData, ...rest }) => {
      const files = { "weights.bin": Buffer.from(weightData as ArrayBuffer), "model.json": JSON.stringify(rest) };
      for (const [name, content] of Object.entries(files)) {
        const path = join(folder, name);
        await writeFile(path, content);
        if (flush) await synced(path);
      }
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
    });
  const store = directory(join(folder, "run"));
  for (const flush of [false, true]) {
    await compare(
      {
        name: "save a model of 100 MiB and its Adam state, durably",
        before: train,
        run: async () => void await runOrThrow(saveState(store)({ model })),
        after: () => rm(store.location, { recursive: true }),
      },
      {
        name: flush ? "model.save with fsync" : "model.save",
        before: train,
        run: async () => void await model.save(handler(flush), { includeOptimizer: true }),
        // Otherwise the system would write these files to disk during the next save.
        after: () => Promise.all(["weights.bin", "model.json"].map((name) => rm(join(folder, name)))),
      },
    );
  }
});
