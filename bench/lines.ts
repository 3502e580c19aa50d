/**
 * JSON Lines of any size. Building the index against reading the file into one buffer, with and without the file in the page cache. Resuming
 * at 0, 50 and 99 % of a shuffled epoch, with an existing index, against reading 32 lines at known positions.
 *
 *     bun bench/lines.ts          (DOGEAR_BENCH_MIB=2048 by default)
 *
 * @module
 */
import { Loader, pipe, runOrThrow, skip } from "@dogear/dogear";
import { fromJsonLines } from "@dogear/dogear/data";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { compare } from "./rounds.ts";

const total = Number(process.env["DOGEAR_BENCH_MIB"] ?? 2048) * 2 ** 20;
const folder = await mkdtemp(join(process.env["DOGEAR_BENCH_FOLDER"] ?? tmpdir(), "dogear-bench-"));
const path = join(folder, "data.jsonl");
try {
  const line = (i: number): string => `${JSON.stringify({ i, text: "a fair word ".repeat(8 + i % 24) })}\n`;
  const block = Buffer.from(Array.from({ length: 20_000 }, (_, i) => line(i)).join(""));
  const file = await open(path, "w");
  for (let written = 0; written < total; written += block.length) await file.write(block);
  await file.sync(); // what is not on the disk yet stays in the cache
  await file.close();

  const read = async (): Promise<void> => {
    const file = await open(path, "r");
    const into = new Uint8Array(2 ** 22);
    while ((await file.read(into, 0, into.length)).bytesRead > 0);
    await file.close();
  };
  const caches: Readonly<Record<string, () => unknown>> = {
    warm: read,
    cold: () => execFileSync("dd", [`if=${path}`, "iflag=nocache", "count=0", "status=none"]),
  };
  for (const [cache, before] of Object.entries(caches)) {
    const index = (): Promise<unknown> => runOrThrow(fromJsonLines(path, { index: "memory" }));
    await compare(
      { name: `${cache}: index ${total / 2 ** 20} MiB`, before, run: index },
      { name: "read them", before, run: read },
    );
  }
  await runOrThrow(fromJsonLines(path));
  const count = Loader.length(await runOrThrow(fromJsonLines(path)))!;
  const resume = async (share: number): Promise<void> => {
    const data = await runOrThrow(fromJsonLines(path));
    const batches = pipe(data, Loader.shuffle(7), Loader.batch(32));
    const cursor = Loader.start(pipe(batches, skip(Math.floor(share * count / 32))));
    for await (const [batch] of Loader.from(cursor)(batches)) if (batch.length > 0) return;
  };
  const table = async (): Promise<void> => {
    const file = await open(path, "r");
    const into = Buffer.alloc(512);
    for (let i = 0; i < 32; i++) await file.read(into, 0, 512, Math.floor(i * (total - 512) / 31));
    await file.close();
  };
  for (const share of [0, 0.5, 0.99]) {
    await compare(
      { name: `open and resume at ${100 * share} % of ${count} lines`, run: () => resume(share) },
      { name: "open and read 32 places", run: table },
      15,
    );
  }
} finally {
  await rm(folder, { recursive: true, force: true });
}
