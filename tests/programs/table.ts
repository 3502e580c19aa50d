/**
 * The cases of resuming a loader, as a table: every source, by places in the data, by numbers of ranks before and after.
 *
 *     bun tests/programs/table.ts
 *
 * Each is saved in this process and resumed in a new one of the other runtime, over 64 samples in batches of 4; a cell is exact
 * if the ranks' batches, put in turn, are what is left of the order that one rank sees without interruption. Of 12 such
 * cells of one rank, Accelerate 1.15 has 3.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Loader, pipe, runOrThrow } from "../../mod.ts";
import { bun, deno, isBun } from "../gate/runtimes.ts";
import { inFiles, inMemory, scratch } from "../support/sources.ts";

/** What one rank sees: batches of samples as text. */
type Ranks = (rank: number, world: number) => Loader.Loader<readonly string[]>;

interface Case {
  readonly source: string;
  readonly place: string;
  readonly from: number;
  readonly to: number;
  readonly cursor: Loader.Cursor;
}

const places = { "start of epoch 2": 32, "in epoch 1": 24, "in epoch 0": 8 } as const;
const changes = [[1, 1], [2, 2], [4, 4], [1, 4], [2, 1], [4, 2], [4, 8]] as const;
const epochs = 3;

const plain = (x: unknown): string => JSON.stringify(x, (_, v) => ArrayBuffer.isView(v) ? [...v as Uint8Array] : v);

async function ranksOf(source: string, folder: string): Promise<Ranks> {
  const [, open] = inFiles[source] ?? [];
  const build = async (): Promise<Loader.Loader<unknown>> =>
    open === undefined ? inMemory[source]!(64) : await runOrThrow(open(join(folder, source)));
  const one = await build();
  return (rank, world) => {
    // Each run of a data set needs one of its own.
    const data = open === undefined ? inMemory[source]!(64) : one;
    const mixed = data.source._tag === "Indexed"
      ? pipe(data, Loader.shuffle(7))
      : source === "dataset"
      ? data
      : pipe(data, Loader.shuffleWindow(24, 7));
    return pipe(
      mixed,
      Loader.map(plain),
      Loader.batch(4),
      Loader.shard({ rank, world }),
      Loader.prefetch(2),
      Loader.repeat(epochs),
    );
  };
}

async function listed(
  loader: AsyncIterable<readonly [readonly string[], Loader.Cursor]>,
): Promise<readonly (readonly string[])[]> {
  const batches: (readonly string[])[] = [];
  for await (const [batch] of loader) batches.push(batch);
  return batches;
}

const ids = (world: number): readonly number[] => Array.from({ length: world }, (_, rank) => rank);

async function save(folder: string): Promise<readonly Case[]> {
  const cases: Case[] = [];
  for (const source of [...Object.keys(inMemory), ...Object.keys(inFiles)]) {
    inFiles[source]?.[0](join(folder, source), 64);
    const ranks = await ranksOf(source, folder);
    for (const [from, to] of changes) {
      for (const [place, batches] of Object.entries(places)) {
        const cursors: Loader.Cursor[] = [];
        for (const rank of ids(from)) {
          let left = batches / from;
          for await (const [, cursor] of Loader.iterate(ranks(rank, from))) {
            if (--left === 0) {
              cursors.push(cursor);
              break;
            }
          }
        }
        cursors.forEach((cursor) => assert.deepEqual({ ...cursor, mark: 0 }, { ...cursors[0], mark: 0 }));
        cases.push({ source, place, from, to, cursor: cursors[0]! });
      }
    }
  }
  return cases;
}

async function resume(folder: string, cases: readonly Case[]): Promise<void> {
  for (const { source, place, from, to, cursor } of cases) {
    const ranks = await ranksOf(source, folder);
    const order = (await listed(Loader.iterate(ranks(0, 1)))).flat();
    const left = await Promise.all(ids(to).map((rank) => listed(Loader.from(cursor)(ranks(rank, to)))));
    const turns = left[0]!.flatMap((_, k) => left.flatMap((batches) => batches[k] ?? [])).flat();
    const exact = plain(turns) === plain(order.slice(4 * places[place as keyof typeof places]));
    process.stdout.write(`${JSON.stringify({ source, place, from, to, exact })}\n`);
  }
}

const [folder = "", cases = ""] = process.argv.slice(2);
try {
  if (folder !== "") await resume(folder, JSON.parse(await readFile(cases, "utf8")));
  else {
    const file = join(scratch, "cases.json");
    await writeFile(file, JSON.stringify(await save(scratch)));
    const program = isBun ? [deno(), "run", "--allow-all", "--no-check"] : [bun()];
    const args = [...program.slice(1), fileURLToPath(import.meta.url), scratch, file];
    const { status, stdout, stderr } = spawnSync(program[0]!, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
    assert.equal(status, 0, stderr);
    const results: readonly (Omit<Case, "cursor"> & { exact: boolean })[] = stdout.trim().split("\n")
      .filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
    const names = Object.keys(places);
    process.stdout.write(`${["source", "ranks", ...names].map((name) => name.padEnd(16)).join(" ")}\n`);
    for (const source of new Set(results.map(({ source }) => source))) {
      for (const [from, to] of changes) {
        const cells = names.map((name) =>
          results.find((r) => r.source === source && r.place === name && r.from === from && r.to === to)
        );
        const row = [source, `${from} then ${to}`, ...cells.map((cell) => cell?.exact === true ? "exact" : "WRONG")];
        process.stdout.write(`${row.map((name) => name.padEnd(16)).join(" ").trimEnd()}\n`);
      }
    }
    process.stdout.write(`${results.filter(({ exact }) => exact).length} of ${results.length} exact\n`);
  }
} finally {
  await rm(scratch, { recursive: true, force: true });
}
