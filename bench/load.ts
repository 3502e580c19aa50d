/**
 * A load of 512 MiB into a live model, with every byte checked, against only reading the same file. With and without the file in the page
 * cache.
 *
 *     bun run bench load
 *
 * @module
 */
import { directory, loadState, runOrThrow, saveState } from "@dogear/dogear";
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { compare } from "./rounds.ts";
import { denseModel, inFolder, mebi, useBackend } from "./scene.ts";

await inFolder(async (folder) => {
  for (const backend of ["cpu", "wasm"] as const) {
    await useBackend(backend);
    const state = { model: denseModel(512 * mebi, 100) };
    const store = directory(join(folder, backend));
    const file = join((await runOrThrow(saveState(store)(state))).location, "model.safetensors");
    const caches: Readonly<Record<string, () => unknown>> = {
      // Both start with the same files in the cache.
      warm: () => readFile(file),
      cold: () => execFileSync("dd", [`if=${file}`, "iflag=nocache", "count=0", "status=none"]),
    };
    for (const [cache, before] of Object.entries(caches)) {
      await compare(
        {
          name: `${backend}, ${cache}: load 512 MiB into a live model`,
          before,
          run: async () => void await runOrThrow(loadState(store)(state)),
        },
        { name: "read the file", before, run: async () => void await readFile(file) },
      );
    }
    state.model.dispose();
  }
});
