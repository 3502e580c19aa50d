/**
 * `dogear index`.
 */
import assert from "node:assert/strict";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import { Loader, runOrThrow } from "../../mod.ts";
import { fromJsonLines } from "../../lib/data/mod.ts";
import { runCommand } from "../../lib/cli/run_command.ts";
import { dogear, json, place } from "../support/command_line.ts";

test("index: builds an index once and keeps it beside the file", async () => {
  const folder = place();
  await mkdir(folder);
  const [lines, csv] = [join(folder, "reviews.jsonl"), join(folder, "people.csv")];
  await writeFile(lines, Array.from({ length: 2000 }, (_, i) => `{"stars":${i % 5}}\n`).join(""));
  await writeFile(csv, 'name,says\nAda,"one\ntwo"\nBo,three\n');
  const first = await json("index", lines, csv);
  assert.deepEqual(first, {
    code: 0,
    value: {
      files: [
        { path: lines, records: 2000, bytes: 24_000, kept: true },
        { path: csv, records: 2, bytes: 33, kept: true },
      ],
    },
  });
  const built = await readFile(`${lines}.index`);
  const again = await dogear("index", lines);
  assert.match(again.text, /reviews\.jsonl +2000 +23\.4 KiB/);
  assert.deepEqual(await readFile(`${lines}.index`), built);
  assert.equal(Loader.length(await runOrThrow(fromJsonLines(lines))), 2000);
  const drawn: number[] = [];
  const screen = { width: 80, print: async () => {}, say: () => {}, paint: (_: unknown, word: string) => word };
  await rm(`${lines}.index`);
  await runCommand(["index", lines], {
    ...screen,
    draw: () => (progress) => void (progress && drawn.push(progress.bytes / progress.total)),
  });
  assert.equal(drawn.at(-1), 1);
});

test("index: an unreadable file is an error, an index that cannot be written a message", async () => {
  const folder = place();
  await mkdir(folder);
  assert.equal((await dogear("index")).code, 2);
  assert.match((await dogear("index", "s3://bucket/a.csv")).said, /^Expected a file, found the URL .*: download it\n/);
  const none = await dogear("index", join(folder, "none.txt"));
  assert.deepEqual([none.code, none.text], [2, ""]);
  assert.match(none.said, /^There is no file \/.*none\.txt$/);
  const path = join(folder, "a.txt");
  await writeFile(path, "a\nb");
  await writeFile(`${path}.index`, "somebody else's");
  const kept = await dogear("index", path);
  assert.equal(kept.code, 0);
  assert.match(kept.said, /a\.txt\.index could not be written/);
  assert.equal(await readFile(`${path}.index`, "utf8"), "somebody else's");
  await writeFile(join(folder, "b.csv"), 'a,"b\n');
  assert.match((await dogear("index", join(folder, "b.csv"))).said, /quotation mark/);
});
