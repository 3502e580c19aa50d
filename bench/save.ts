/**
 * A save (checksums, fsync of files and folders, rename) against the same bytes in plain writes of 8 MiB and one fsync, from C.
 *
 *     bun run bench save
 *
 * @module
 */
import { directory, runOrThrow, saveState } from "@dogear/dogear";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { compare } from "./rounds.ts";
import { inFolder, mebi, plainWrites, useBackend, variables } from "./scene.ts";

await useBackend("cpu");
await inFolder(async (folder) => {
  const [plain, write] = [join(folder, "bytes"), plainWrites(folder)];
  for (const [bytes, count] of [[512 * mebi, 200], [107 * mebi, 20_000]] as const) {
    const weights = variables(bytes, count);
    // Two sets of values in turn, made in advance: an unchanged tensor would not be written.
    const values = [weights.map((weight) => weight.add(1)), weights.map((weight) => weight.add(2))];
    const store = directory(join(folder, `run ${count}`));
    let step = 0;
    await compare(
      {
        name: `save ${bytes / mebi} MiB in ${count} tensors`,
        before: () => weights.forEach((weight, i) => weight.assign(values[step % 2]?.[i] ?? weight)),
        run: async () => void await runOrThrow(saveState(store)({ weights, step: step++ })),
        after: () => rm(store.location, { recursive: true }),
      },
      { name: "plain writes and one fsync", run: () => write(plain, bytes), after: () => rm(plain) },
    );
    [weights, ...values].flat().forEach((value) => value.dispose());
  }
});
