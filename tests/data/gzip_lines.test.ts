import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { readdir, readlink, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import type { DataFailed } from "../../lib/errors/errors.ts";
import { explain } from "../../lib/errors/explain.ts";
import { runOrThrow } from "../../lib/task.ts";
import { fromCsv } from "../../lib/data/csv.ts";
import { fromJsonLines, fromLines } from "../../lib/data/lines.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { needs } from "../support/portable.ts";
import { scratch } from "../support/sources.ts";

after(() => rm(scratch, { recursive: true, force: true }));

let files = 0;

async function written(bytes: Uint8Array): Promise<string> {
  const path = join(scratch, `gzip ${files++}.gz`);
  await writeFile(path, bytes);
  return path;
}

async function items<A>(loader: Loader.Loader<A>): Promise<readonly A[]> {
  const all: A[] = [];
  for await (const [item] of Loader.iterate(loader)) all.push(item);
  return all;
}

/** The lines of a gzip file, or the `DataFailed` that reading it rejects with. */
async function read(bytes: Uint8Array): Promise<readonly string[] | DataFailed> {
  const loader = await runOrThrow(fromLines(await written(bytes), { index: "memory" }));
  return await items(loader).catch((error) => error.cause.cause.cause);
}

async function openFiles(): Promise<readonly string[]> {
  const links = await readdir("/proc/self/fd");
  const paths = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return paths.filter((path) => path.startsWith(scratch));
}

/** Lines that do not compress. */
const numbers = Array.from({ length: 1500 }, (_, i) => createHash("sha512").update(`${i}`).digest("base64"));
const manyChunks = gzipSync(numbers.join("\n"));
assert.ok(manyChunks.length > 65_536, "it must be more than one chunk");

test("fromLines, fromBody: gzip of any text, in any members and chunks, gives the lines of the text", async () => {
  const text = fc.string({ unit: fc.constantFrom("a", "é", "𝄞", " ", "\n", "\r\n", "\uFEFF"), maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(12), { maxLength: 4 }), fc.nat(30), async (text, cuts, size) => {
      const bytes = Buffer.from(text);
      const plain = await items(await runOrThrow(fromLines(await written(bytes), { index: "memory" })));
      let at = 0;
      const members = [...cuts.map((cut) => bytes.subarray(at, at += cut)), bytes.subarray(at)];
      const compressed = Buffer.concat(members.map((member) => gzipSync(member)));
      assert.deepStrictEqual(await read(compressed), plain);
      const body = Loader.fromBody(async function* () {
        for (let from = 0; from < compressed.length; from += size + 1) yield compressed.subarray(from, from + size + 1);
      });
      assert.deepStrictEqual(await items(pipe(body, Loader.repeat(2))), [...plain, ...plain]);
    }),
    { numRuns: 40 },
  );
  assert.deepStrictEqual(await read(manyChunks), numbers);
  assert.deepStrictEqual(await items(Loader.fromBody(() => new Response(new Uint8Array(manyChunks)))), numbers);
});

test("fromLines: a gzip file cut at any byte rejects the iteration, with the position", async () => {
  const whole = gzipSync("one\ntwo\nthree\n");
  for (let size = 2; size < whole.length; size++) {
    for (const before of [Buffer.alloc(0), gzipSync("zero\n")]) {
      const found = await read(Buffer.concat([before, whole.subarray(0, size)]));
      assert.ok("_tag" in found, `cut at ${size}`);
      const [{ path, kind, found: what }] = found.problems as [DataFailed["problems"][0]];
      assert.match(path, /^lines from [1-5]$/);
      assert.equal(kind, "format");
      assert.equal(what, `unexpected end of file in gzip data, up to byte ${before.length + size}`);
    }
  }
  const late = await read(manyChunks.subarray(0, -1));
  assert.ok("_tag" in late);
  assert.match(explain(late), /lines from \d{3,}: expected text in UTF-8, whole, .*up to byte \d{5,}\n/);
});

test("fromLines: a gzip file with any bit flipped gives the same lines or rejects the iteration", async () => {
  const text = ["one", "two", "three"];
  const whole = gzipSync(`${text.join("\n")}\n`);
  let refused = 0;
  // The first two bytes say that it is gzip.
  for (let bit = 16; bit < 8 * whole.length; bit++) {
    const found = await read(whole.map((byte, i) => i === bit >> 3 ? byte ^ 1 << bit % 8 : byte));
    if ("_tag" in found) refused++;
    else assert.deepStrictEqual(found, text, `bit ${bit}`);
  }
  // Time, system and level of compression in the header change nothing.
  assert.ok(refused > 8 * (whole.length - 10));
  const damaged = await read(manyChunks.map((byte, i) => i === 66_000 ? byte ^ 0x55 : byte));
  assert.ok("_tag" in damaged);
  assert.match(damaged.problems[0]!.found, /in gzip data, up to byte \d{5,}$/);
});

test("fromLines: gzip of nothing is empty; bytes after its end, and other bytes than UTF-8, are errors", async () => {
  assert.deepStrictEqual(await read(gzipSync("")), []);
  assert.deepStrictEqual(await read(new Uint8Array(0)), []);
  for (const [after, problem] of [[Buffer.alloc(512), /bytes after the end/], [Buffer.from("b\n"), /header check/]] as const) {
    const more = await read(Buffer.concat([gzipSync("a\n"), after, gzipSync("b\n")]));
    assert.ok("_tag" in more);
    assert.match(more.problems[0]!.found, problem);
  }
  const other = await read(gzipSync(Uint8Array.of(0x61, 0x0a, 0xff, 0x0a)));
  assert.ok("_tag" in other && other.problems[0]!.expected.startsWith("text in UTF-8"));
});

test("fromJsonLines: a gzip file is a stream: blank lines at its end are no samples, and a resume parses none of the lines before it", async () => {
  for (const end of ["", "\n", "\r\n\r\n", "\n \t\n\n"]) {
    const path = await written(gzipSync(`{"i":1}\n{"i":2}${end}`));
    const loader = await runOrThrow(fromJsonLines(path));
    assert.deepStrictEqual(await items(pipe(loader, Loader.repeat(2))), [{ i: 1 }, { i: 2 }, { i: 1 }, { i: 2 }]);
    assert.equal(Loader.length(loader), null);
    assert.throws(() => pipe(loader, Loader.shuffle(1)), { name: "TypeError", message: /found a stream/ });
  }
  const path = await written(gzipSync('1\nno JSON\n\n{"id":12345678901234567890}\n5\n'));
  const loader = await runOrThrow(fromJsonLines(path));
  assert.equal(await Loader.at(4)(loader), 5);
  for (const [i, problem] of [[1, /line 2: .*found "no JSON"/], [2, /line 3: .*found an empty line/], [3, /line 4\/id: /]] as const) {
    const error = await Loader.at(i)(loader).then(() => assert.fail("it was read"), (error) => error);
    assert.match(explain(error.cause.cause.cause), problem);
  }
  assert.deepStrictEqual((await readdir(scratch)).filter((name) => /^gzip.*index/.test(name)), []);
});

needs("/proc")("fromLines: a gzip file is open only while it is read; one that is cut or changed meanwhile rejects the iteration", async () => {
  const path = await written(manyChunks);
  const loader = await runOrThrow(fromLines(path));
  for await (const [line] of Loader.iterate(loader)) {
    assert.equal(line, numbers[0]);
    const open = await openFiles();
    assert.ok(open.length === 0 || open[0] === path);
    break;
  }
  assert.deepStrictEqual(await openFiles(), []);
  await truncate(path, 70_000);
  const error = await items(loader).then(() => assert.fail("nothing failed"), (error) => error);
  assert.match(explain(error.cause.cause.cause), /expected \d+ bytes in a file of \d+, found \d+: it was truncated/);
  assert.deepStrictEqual(await openFiles(), []);
});

test("fromLines: gzip of a text that differs anywhere has another fingerprint; a CSV file that is gzip is an error with the remedy", async () => {
  const start = async (text: string) => Loader.start(await runOrThrow(fromLines(await written(gzipSync(text)))));
  const cursor = await start(numbers.join("\n"));
  assert.deepStrictEqual(Loader.check(await start(numbers.join("\n")), cursor), []);
  const other = await start(numbers.with(700, "0").join("\n"));
  assert.deepStrictEqual(Loader.check(other, cursor).map(({ path }) => path), ["fingerprint"]);
  const table = await fromCsv(await written(gzipSync("a,b\n1,2\n")))();
  assert.ok(table._tag === "Left");
  assert.match(explain(table.left), /expected text, which can be indexed, found gzip\nDecompress it/);
});
