/**
 * A save of a model with its Adam state against tfjs's own `model.save` with a handler that writes its two files, and no more: no fsync, no
 * checksum, no rename. It also saves less: of Adam it leaves out what decides the next bits.
 *
 *     bun run bench model_save
 *
 * @module
 */
import { directory, runOrThrow, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { Buffer } from "node:buffer";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { compare } from "./rounds.ts";
import { denseModel, inFolder, mebi, useBackend } from "./scene.ts";

await useBackend("cpu");
await inFolder(async (folder) => {
  const model = denseModel(100 * mebi, 20);
  model.compile({ optimizer: "adam", loss: "meanSquaredError" });
  const [x, y] = [model.inputs, model.outputs].map(([one]) => tf.zeros([1, one?.shape[1] ?? 1]));
  const train = async (): Promise<void> => void await model.trainOnBatch(x as tf.Tensor, y as tf.Tensor);
  const handler = tf.io.withSaveHandler(async ({ weightData, ...rest }) => {
    await writeFile(join(folder, "weights.bin"), Buffer.from(weightData as ArrayBuffer));
    await writeFile(join(folder, "model.json"), JSON.stringify(rest));
    return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: "JSON" } };
  });
  const store = directory(join(folder, "run"));
  await compare(
    {
      name: "save a model of 100 MiB and its Adam state, durably",
      before: train,
      run: async () => void await runOrThrow(saveState(store)({ model })),
      after: () => rm(store.location, { recursive: true }),
    },
    {
      name: "model.save",
      before: train,
      run: async () => void await model.save(handler, { includeOptimizer: true }),
    },
  );
});
