/**
 * A store of 10,000 checkpoints: the time and memory to find the newest, list all, plan retention and save. The extra time of a save, compared
 * with an empty folder, is given as a multiple of the time of one `readdir` of the large folder.
 *
 *     bun bench/catalogue.ts     (DOGEAR_BENCH_CHECKPOINTS=10000 by default)
 *
 * @module
 */
import {
  directory,
  list,
  plan,
  readSnapshot,
  resume,
  Retention,
  runOrThrow,
  saveState,
  type Store,
} from "@dogear/dogear";
import { link, mkdir, mkdtemp, readdir, readFile, rm, rmdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { crc32 } from "node:zlib";
import { Buffer } from "node:buffer";
import { checkpointStatuses } from "../lib/cli/checkpoint_status.ts";

import { compare, median } from "./rounds.ts";

const count = Number(process.env["DOGEAR_BENCH_CHECKPOINTS"] ?? 10_000);
const folder = await mkdtemp(join(process.env["DOGEAR_BENCH_FOLDER"] ?? tmpdir(), "dogear-bench-"));

/** The manifest of the same checkpoint saved at another step. */
function at(step: number, manifest: string): string {
  const body = manifest.slice(manifest.indexOf('"manifest":') + 11, -2).replace('"step":0', `"step":${step}`);
  const digest = crc32(Buffer.from(body)).toString(16).padStart(8, "0");
  return `{"format":"dogear/1","crc32":"${digest}","manifest":${body}}\n`;
}

/** Prints the time of a piece of work, and how far it raises the memory of the process at most. */
async function measured(name: string, work: () => Promise<unknown>): Promise<void> {
  Reflect.get(globalThis, "gc")?.();
  const before = process.memoryUsage().rss;
  let most = before;
  const timer = setInterval(() => most = Math.max(most, process.memoryUsage().rss), 10);
  const begun = performance.now();
  await work();
  const took = performance.now() - begun;
  clearInterval(timer);
  process.stdout.write(
    `${name}: ${took.toFixed(0)} ms, ${((most - before) / 2 ** 20).toFixed(1)} MiB more memory at most\n`,
  );
}

/** Prints how much longer a save takes in the large folder than in an empty one, as a multiple of the time to list the large one. */
async function added(name: string, large: Store, small: Store, rounds = 41): Promise<void> {
  const timed = async (work: () => Promise<unknown>): Promise<number> => {
    const begun = performance.now();
    await work();
    return performance.now() - begun;
  };
  const [listings, larges, smalls]: [number[], number[], number[]] = [[], [], []];
  for (let round = 0; round < rounds; round++) {
    const times = [
      await timed(() => readdir(join(large.location, "checkpoints"))),
      await timed(() => runOrThrow(saveState(large)({ step: count }))),
      await timed(() => runOrThrow(saveState(small)({ step: count }))),
    ];
    // The first saves read what later ones remember.
    if (round > 0) [listings, larges, smalls].forEach((all, i) => all.push(times[i] ?? NaN));
  }
  const [listing, inLarge, inSmall] = [median(listings), median(larges), median(smalls)];
  process.stdout.write(
    `${name}: ${inLarge.toFixed(1)} ms beside ${count} checkpoints, ${inSmall.toFixed(1)} ms alone; ` +
      `it adds ${((inLarge - inSmall) / listing).toFixed(2)} readdirs of ${listing.toFixed(1)} ms (${
        rounds - 1
      } rounds)\n`,
  );
}

try {
  let state = { weights: Float32Array.from({ length: 1000 }, (_, i) => i), step: 0 };
  const path = join(folder, "run");
  const checkpoints = join(path, "checkpoints");
  const { location } = await runOrThrow(saveState(directory(path), { metrics: { loss: 0.5 } })(state));
  const manifest = await readFile(join(location, "snapshot.json"), "utf8");
  for (let n = 1; n < count; n++) {
    const own = join(checkpoints, `checkpoint_${n}`);
    await mkdir(join(own, "state"), { recursive: true });
    await link(join(location, "state", "weights.safetensors"), join(own, "state", "weights.safetensors"));
    await writeFile(join(own, "snapshot.json"), at(n, manifest));
  }
  state = await runOrThrow(resume(directory(path))(state));
  const newest = (): Promise<unknown> => runOrThrow(readSnapshot(directory(path)));
  const names = { name: `the names in the folder of ${count}`, run: () => readdir(checkpoints) };
  await compare(
    {
      name: "the newest checkpoint, read whole, of a folder that was changed just now",
      run: async () => {
        await mkdir(join(checkpoints, "changed"));
        await rmdir(join(checkpoints, "changed"));
        await newest();
      },
    },
    names,
    21,
  );
  // A folder that has not changed for two seconds is listed only once.
  await new Promise((done) => setTimeout(done, 2_500));
  await compare({ name: "the newest checkpoint, read whole", run: newest }, names, 21);
  const numbers = Array.from({ length: count }, (_, n) => count - 1 - n);
  const all = async (): Promise<void> => {
    for await (const _ of checkpointStatuses(directory(path), numbers, false)) { /* nothing is kept */ }
  };
  await measured("ls", all);
  await measured("ls again", all);
  await compare({ name: "ls", run: all }, names);
  const store = (): ReturnType<typeof directory> => directory(path);
  await measured("list", () => runOrThrow(list(store())));
  const policy = Retention.any(Retention.latest(10), Retention.every(100), Retention.best(5, "loss", "min"));
  await measured("plan", () => runOrThrow(plan(store())(policy)));
  await compare({ name: "plan", run: () => runOrThrow(plan(store())(policy)) }, names);
  const keeping = directory(path, { keep: Retention.latest(2 * count) });
  await measured("the first save of a process, with a policy", () => runOrThrow(saveState(keeping)(state)));
  await compare(
    { name: "a later save, with a policy", run: () => runOrThrow(saveState(keeping)(state)) },
    { name: "a save without one", run: () => runOrThrow(saveState(directory(path))(state)) },
    21,
  );
  await added("a save", directory(path), directory(join(folder, "empty")));
  // In a separate run: the first save with this policy would remove all other checkpoints of its run.
  await runOrThrow(saveState(directory(path), { fork: true })(state));
  const keep = Retention.latest(3);
  await added(
    "a save with Retention.latest(3)",
    directory(path, { keep }),
    directory(join(folder, "keeping"), { keep }),
  );
} finally {
  await rm(folder, { recursive: true, force: true });
}
