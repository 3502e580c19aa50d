import assert from "node:assert/strict";
import { appendFile, mkdir, readdir, readFile, readlink, rm, stat, truncate, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import * as t from "io-ts";
import { explain } from "../../lib/errors/explain.ts";
import { runOrThrow } from "../../lib/task.ts";
import type { DataFailed, LoaderError } from "../../lib/errors/errors.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { fromCsv } from "../../lib/data/csv.ts";
import { fromFolder } from "../../lib/data/folder.ts";
import { fromJsonLines, fromLines } from "../../lib/data/lines.ts";
import { fromNpy } from "../../lib/data/npy.ts";
import { fromParquet } from "../../lib/data/parquet.ts";
import * as data from "../../lib/data/mod.ts";
import * as main from "../../mod.ts";
import { needs } from "../support/portable.ts";
import { inFiles, npy, parquet, scratch } from "../support/sources.ts";

after(() => rm(scratch, { recursive: true, force: true }));

let files = 0;
const fresh = (): string => join(scratch, `data ${files++}`);

async function items<A>(loader: Loader.Loader<A>): Promise<readonly A[]> {
  const all: A[] = [];
  for await (const [item] of Loader.iterate(loader)) all.push(item);
  return all;
}

async function opened<A>(
  content: string | Uint8Array,
  open: (path: string) => TaskEither<DataFailed, Loader.Loader<A>>,
): Promise<readonly A[]> {
  const path = fresh();
  await writeFile(path, content);
  return await items(await runOrThrow(open(path)));
}

async function failure(task: TaskEither<DataFailed, unknown>): Promise<DataFailed> {
  const result = await task();
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a loader");
}

/** The `DataFailed` that an iteration rejects with. */
async function broken(loader: Loader.Loader<unknown>): Promise<DataFailed> {
  const error: Error = await items(loader).then(() => assert.fail("nothing failed"), (error) => error);
  const { cause } = error as { cause: LoaderError };
  assert.ok(cause._tag === "SourceFailed", String(error));
  const { cause: inner } = cause.cause as { cause: DataFailed };
  assert.equal(inner._tag, "DataFailed");
  return inner;
}

async function openFiles(): Promise<readonly string[]> {
  const links = await readdir("/proc/self/fd");
  const paths = await Promise.all(links.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
  return paths.filter((path) => path.startsWith(scratch));
}

const text = fc.array(fc.string({ unit: fc.constantFrom("a", "é", "𝄞", " ", ",", '"'), maxLength: 5 }), {
  maxLength: 9,
});

test("fromLines: any text comes back line by line, with and without a last line end, LF or CRLF, from either index", async () => {
  await fc.assert(
    fc.asyncProperty(text, fc.constantFrom("\n", "\r\n"), fc.boolean(), async (lines, end, closed) => {
      if (!closed && lines.at(-1) === "") return;
      const content = lines.map((line) => line + end).join("").slice(0, closed ? undefined : -end.length || undefined);
      for (const index of ["beside", "memory"] as const) {
        assert.deepStrictEqual(await opened(content, (path) => fromLines(path, { index })), lines);
      }
    }),
    { numRuns: 40 },
  );
  assert.deepStrictEqual(await opened("\uFEFFa\n\nb", fromLines), ["a", "", "b"]);
});

test("fromCsv: any fields come back by name, and a line end in quotation marks does not end a record", async () => {
  const field = fc.string({ unit: fc.constantFrom("a", "é", ",", '"', "\n", "\r\n", ";"), maxLength: 5 });
  const quoted = (value: string): string => /[",\r\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : value;
  await fc.assert(
    fc.asyncProperty(fc.array(fc.tuple(field, field), { maxLength: 9 }), async (rows) => {
      const content = [["x", "y,z"], ...rows].map((row) => `${row.map(quoted).join()}\n`).join("");
      assert.deepStrictEqual(await opened(content, fromCsv), rows.map(([x, y]) => ({ x, "y,z": y })));
    }),
    { numRuns: 40 },
  );
  const named = await opened("1;2\n3;4", (path) => fromCsv(path, { separator: ";", names: ["a", "b"] }));
  assert.deepStrictEqual(named, [{ a: "1", b: "2" }, { a: "3", b: "4" }]);
});

test("fromCsv: a field of many megabytes in quotation marks comes back", async () => {
  const field = `${"a".repeat(2 ** 23)}"${"b".repeat(2 ** 23)}`;
  const records = await opened(`x\n"${field.replaceAll('"', '""')}"\n`, fromCsv);
  assert.ok(records.length === 1 && records[0]?.["x"] === field);
});

test("data files: JSON Lines, npy, Parquet and folders give what was written", async () => {
  const codec = t.type({ i: t.number });
  const values: readonly { readonly i: number }[] = await opened(
    '{"i":1}\n{"i":2}\n',
    (path) => fromJsonLines(path, { codec }),
  );
  assert.deepStrictEqual(values, [{ i: 1 }, { i: 2 }]);
  const rows = await opened(npy("<f8", [2, 1, 3], Float64Array.of(1, 2, 3, 4, 5, -0)), fromNpy);
  assert.deepStrictEqual(rows, [Float64Array.of(1, 2, 3), Float64Array.of(4, 5, -0)]);
  assert.deepStrictEqual(await opened(npy("|u1", [3], Uint8Array.of(1, 2, 255)), fromNpy), [1, 2, 255]);
  assert.deepStrictEqual(await opened(npy("<i8", [2], BigInt64Array.of(-1n, 2n)), fromNpy), [-1n, 2n]);
  const table = await opened(parquet(7), fromParquet);
  assert.deepStrictEqual(table[6], { x: 6, name: "name 6" });
  assert.deepStrictEqual(
    await opened(parquet(4), (path) => fromParquet(path, { columns: ["x"], groups: 1 })),
    [0, 1, 2, 3].map((x) => ({ x })),
  );
  const folder = fresh();
  inFiles["folder"]![0](folder, 12);
  const found = await items(await runOrThrow(fromFolder(folder)));
  assert.deepStrictEqual(found.map(({ path }) => path), [
    "1",
    "11",
    "3",
    "5",
    "7",
    "9",
    ...["0", "10", "2", "4", "6", "8"].map((n) => `sub/${n}`),
  ]);
  assert.deepStrictEqual(
    found.map(({ bytes }) => new TextDecoder().decode(bytes)),
    found.map(({ path }) => path.replace("sub/", "")),
  );
  assert.equal((await items(await runOrThrow(fromFolder(folder, { endings: ["1"] })))).length, 2);
});

test("fromFolder: what systems leave in folders is no sample, and accents may be composed or not", async () => {
  const fingerprint = async (folder: string): Promise<unknown> => Loader.start(await fromFolder(folder));
  const [plain, visited] = [fresh(), fresh()];
  const droppings = [".DS_Store", "._a", "Thumbs.db", "thumbs.db", "desktop.ini", "Desktop.ini", ".nfs0001", ".fuse_hidden0001", "lost+found"];
  for (const [folder, accent] of [[plain, "é"], [visited, "e\u0301"]] as const) {
    await mkdir(join(folder, "sub"), { recursive: true });
    for (const name of [`${accent}.png`, "f.png", "sub/x.png", "nfs", "DS_Store", ".hidden"]) await writeFile(join(folder, name), name.normalize());
  }
  for (const name of droppings) for (const at of ["", "sub"]) await writeFile(join(visited, at, name), "left");
  for (const name of ["$RECYCLE.BIN", "System Volume Information", ".Trash-1000", "@eaDir", ".Spotlight-V100"]) {
    await mkdir(join(visited, name));
    await writeFile(join(visited, name, "x"), "left");
  }
  assert.deepEqual(await fingerprint(visited), await fingerprint(plain));
  const paths = async (folder: string) => (await items(await fromFolder(folder))).map(({ path }) => path.normalize());
  assert.deepEqual(await paths(visited), await paths(plain));
  assert.deepEqual(await paths(plain), [".hidden", "DS_Store", "f.png", "nfs", "sub/x.png", "é.png"]);
});

test("data files: what reads files is a function of the data entry, what is in memory or a stream is one of Loader, and none is both", () => {
  const sources = (entry: object): readonly string[] => Object.keys(entry).filter((name) => /^from[A-Z]/.test(name));
  assert.deepStrictEqual(sources(main), []);
  assert.deepStrictEqual(Object.keys(data), sources(data));
  assert.deepStrictEqual(sources(data).filter((name) => name in Loader), []);
  const path = fresh();
  for (const name of sources(data)) {
    const open = data[name as keyof typeof data] as (path: string) => TaskEither<DataFailed, unknown>;
    assert.doesNotThrow(() => open(path), `${name} takes a path`);
  }
  for (const name of sources(Loader)) {
    const make = Loader[name as "fromArray"] as (path: never) => unknown;
    assert.throws(() => make(path as never), { name: "TypeError" }, `${name} takes a path`);
  }
});

test("record index: a file with more lines than the index has positions is read exactly", async () => {
  const path = fresh();
  const count = 2 ** 19 + 70_000;
  await writeFile(path, Array.from({ length: count }, (_, i) => `${i}\n`).join(""));
  const lines = await runOrThrow(fromLines(path));
  assert.equal(Loader.length(lines), count);
  for (const i of [0, 1, 2 ** 19 - 1, 2 ** 19, 2 ** 19 + 1, count - 1]) {
    assert.equal(await Loader.at(i)(lines), String(i));
  }
  assert.ok((await stat(`${path}.index`)).size < 2 ** 22 + 1024);
});

test("record index: it is built once, depends only on the file, and is replaced when stale, damaged or of another sort", async () => {
  const path = fresh();
  await writeFile(path, "a\nb\nc\n");
  await utimes(path, 1e9, 1e9);
  const index = `${path}.index`;
  await runOrThrow(fromLines(path));
  const first = await readFile(index);
  const { mtimeMs } = await stat(index);
  await runOrThrow(fromLines(path));
  assert.equal((await stat(index)).mtimeMs, mtimeMs);
  for (
    const damaged of [
      first.subarray(0, -1),
      first.map((byte, i) => i === first.length - 3 ? byte ^ 1 : byte),
      Uint8Array.from([...first, 0]),
    ]
  ) {
    await writeFile(index, damaged);
    assert.deepStrictEqual(await items(await runOrThrow(fromLines(path))), ["a", "b", "c"]);
    assert.deepStrictEqual(await readFile(index), first);
  }
  await writeFile(path, "a\n\nbc\n");
  await utimes(path, 1e9, 1e9);
  assert.deepStrictEqual(
    await items(await runOrThrow(fromLines(path))),
    ["a", "", "bc"],
    "edited, with size and time as before",
  );
  await runOrThrow(fromCsv(path, { names: ["x"] }));
  assert.deepStrictEqual(await items(await runOrThrow(fromLines(path))), ["a", "", "bc"], "of records of another sort");
  await writeFile(index, "the user's own");
  await runOrThrow(fromLines(path));
  assert.equal(await readFile(index, "utf8"), "the user's own");
  assert.deepStrictEqual((await readdir(scratch)).filter((name) => /index\..+/.test(name)), []);
});

test("data files: nothing silent: a longer, shorter, edited or reordered file has another fingerprint", async () => {
  for (const [name, [write, open]] of Object.entries(inFiles)) {
    const path = fresh();
    write(path, 11);
    const loader = await runOrThrow(open(path));
    assert.equal(Loader.start(loader).fingerprint, Loader.start(await runOrThrow(open(path))).fingerprint);
    const other = fresh();
    write(other, 10);
    const problems = Loader.check(Loader.start(await runOrThrow(open(other))), Loader.start(loader));
    assert.deepStrictEqual(problems.map(({ path, expected, found }) => [path, expected !== found]), [["length", true], [
      "fingerprint",
      true,
    ]], name);
    if (name === "folder") continue;
    const bytes = await readFile(path);
    const edits = [
      bytes.map((byte, i) => i === bytes.length - (name === "parquet" ? 30 : 2) ? byte ^ 1 : byte),
      ...(name.endsWith("lines") ? [new TextEncoder().encode(`${bytes}`.split("\n").reverse().join("\n").trim())] : []),
    ];
    for (const edited of edits) {
      await writeFile(other, edited);
      const found = await open(other)();
      // An edit that makes the file malformed is an error when it is opened.
      if (found._tag === "Left") assert.equal(found.left._tag, "DataFailed");
      else assert.notEqual(Loader.start(found.right).fingerprint, Loader.start(loader).fingerprint, name);
    }
  }
});

test("data files: a file truncated, changed or removed while it is read rejects the iteration with expected and found", async () => {
  for (const [name, [write, open]] of Object.entries(inFiles)) {
    if (name === "folder") continue;
    const path = fresh();
    write(path, 11);
    const loader = await runOrThrow(open(path));
    await truncate(path, 8);
    const { problems: [problem] } = await broken(loader);
    assert.ok(problem!.expected !== problem!.found && problem!.kind === "length", name);
    await rm(path);
    assert.match((await broken(await runOrThrow(open(path)).catch(() => loader))).problems[0]!.found, /ENOENT/);
  }
  const path = fresh();
  await writeFile(path, Array.from({ length: 2 ** 20 }, () => "a\n").join(""));
  const lines = await runOrThrow(fromLines(path));
  await writeFile(path, "b".repeat(2 ** 21));
  assert.match((await broken(lines)).problems[0]!.found, /changed while it was read/);
  const folder = fresh();
  inFiles["folder"]![0](folder, 3);
  const some = await runOrThrow(fromFolder(folder));
  await appendFile(join(folder, "1"), "more");
  assert.deepStrictEqual((await broken(some)).problems, [{
    path: "1",
    kind: "length",
    expected: "1 bytes",
    found: "5",
  }]);
});

test("data files: a malformed file is an error with its position, with expected and found, and as a sentence", async () => {
  const of = async (
    content: string | Uint8Array,
    open: (path: string) => TaskEither<DataFailed, Loader.Loader<unknown>>,
  ): Promise<string> => {
    const path = fresh();
    await writeFile(path, content);
    const loader = await open(path)();
    return explain(loader._tag === "Left" ? loader.left : await broken(loader.right));
  };
  assert.match(
    await of('{"i":1}\n\n{"i":2}\n', fromJsonLines),
    /line 2: expected a JSON value, found an empty line/,
  );
  assert.match(await of("{]", fromJsonLines), /line 1: .*found "\{\]"/);
  assert.match(
    await of("[1]", (path) => fromJsonLines(path, { codec: t.type({ i: t.number }) })),
    /line 1: expected \{ i: number \}, found \[1\]/,
  );
  assert.match(await of(Uint8Array.of(0xff, 0x0a), fromLines), /text in UTF-8/);
  assert.match(await of("a,b\n1\n", fromCsv), /record 2: expected 2 fields, found 1 in "1"/);
  assert.match(await of('a\n"1\n', fromCsv), /a quotation mark that closes/);
  assert.match(await of('a\n1"2"\n', fromCsv), /quotation marks around whole fields/);
  // With line ends of "\r" alone the whole file would be one long header without samples.
  for (const content of ["a,b\r1,2\r3,4\r", "a\r1", "a,b\n1\r2,3\n", 'a,b\r"1",2', 'a,b\n"1",2\r3,4\n']) {
    assert.match(await of(content, fromCsv), /record [12]: .*\\n or \\r\\n at the end of a record/);
  }
  assert.match(await of('{"i":1}\n \t\n2', fromJsonLines), /line 2: .*found an empty line/);
  assert.match(await of("1\r2", fromJsonLines), /line 1: .*found "1\\r2"/);
  assert.match(await of("NUMPY", fromNpy), /\\x93NUMPY/);
  assert.match(await of(npy("<f16", [1], Uint8Array.of(0, 0)), fromNpy), /header: expected a dtype of .*found <f16/);
  // A name that every object inherits.
  assert.match(await of(npy("toString", [1], Float32Array.of(0)), fromNpy), /header: expected a dtype of .*found toString/);
  assert.match(await of(npy("<f4", [2], Float32Array.of(0)), fromNpy), /length: expected .* bytes for shape 2/);
  const good = parquet(7);
  assert.match(await of(good.subarray(0, -1), fromParquet), /footer: expected a Parquet footer/);
  assert.match(
    await of(good.map((byte, i) => i > good.length - 9 && i < good.length - 4 ? 255 : byte), fromParquet),
    /footer/,
  );
  assert.match(await of(new Uint8Array(3), fromParquet), /footer/);
  assert.match(
    await of(good.map((byte, i) => i >= 4 && i < 60 ? 0xee : byte), fromParquet),
    /row group 0: expected 3 rows/,
  );
  for (const open of [fromLines, fromJsonLines, fromCsv, fromNpy, fromParquet, fromFolder]) {
    assert.match(explain(await failure(open(fresh()))), /^There is no (file|folder) \//);
  }
  assert.throws(() => fromCsv("x", { separator: '"' }), { name: "TypeError", message: /one character/ });
});

test("fromCsv: repeated names are an error, because a field would be lost; a separator may be any character", async () => {
  const path = fresh();
  await writeFile(path, "a,b,a\n1,2,3\n");
  const { problems } = await failure(fromCsv(path, { index: "memory" }));
  assert.deepStrictEqual(problems, [
    { path: "record 1", kind: "format", expected: "names that differ", found: '"a" twice' },
  ]);
  assert.throws(() => fromCsv(path, { names: ["x", "y", "x"] }), /names that differ/);
  const wide = await opened('a𝄞b\n1𝄞"2"\n', (path) => fromCsv(path, { separator: "𝄞", index: "memory" }));
  assert.deepStrictEqual(wide, [{ a: "1", b: "2" }]);
});

test("data files: blank lines at the end of JSON Lines and CSV are not samples, for any blanks and line ends; those of a text are", async () => {
  const ends = [
    "",
    "\n",
    "\r\n",
    "\n\n",
    "\r\n\r\n",
    "\n \t\n",
    "\n   ",
    "\n\n \r\n\t",
    `\n${" ".repeat(9000)}\n\n`,
    "\n".repeat(9000),
  ];
  for (const end of ends) {
    assert.deepEqual(await opened(`{"i":1}\n{"i":2}${end}`, fromJsonLines), [{ i: 1 }, { i: 2 }]);
    assert.deepEqual(await opened(`a,b\n1,2\n3,"4 "${end}`, fromCsv), [{ a: "1", b: "2" }, { a: "3", b: "4 " }]);
    assert.deepEqual(await opened(`a\n1\n""${end}`, fromCsv), [{ a: "1" }, { a: "" }]);
    assert.deepEqual(await opened(`1,2${end}`, (path) => fromCsv(path, { names: ["a", "b"] })), [{ a: "1", b: "2" }]);
    assert.deepEqual(await opened(`a,b${end}`, fromCsv), []);
    for (const open of [fromJsonLines, fromCsv]) {
      for (const mark of ["", "\uFEFF"]) assert.deepEqual(await opened<unknown>(mark + end, open), []);
    }
  }
  // A tab is the separator here, so it makes a record.
  assert.deepEqual(await opened("a\tb\n1\t2\n\t\n\n", (path) => fromCsv(path, { separator: "\t" })), [
    { a: "1", b: "2" },
    { a: "", b: "" },
  ]);
  const lines = await opened("a\n\n \n", fromLines);
  assert.deepEqual(lines, ["a", "", " "]);
  // A shuffle, batches and a cursor count only the samples.
  const path = fresh();
  await writeFile(path, "1\n2\n3\n\n\n");
  const loader = pipe(await runOrThrow(fromJsonLines(path)), Loader.shuffle(1));
  assert.equal(Loader.length(loader), 3);
  assert.deepEqual((await items(loader)).toSorted(), [1, 2, 3]);
});

test("data files: a file with only a byte order mark is empty", async () => {
  for (const index of ["beside", "memory"] as const) {
    assert.deepStrictEqual(await opened("\uFEFF", (path) => fromLines(path, { index })), []);
    assert.deepStrictEqual(await opened("\uFEFF", (path) => fromCsv(path, { index })), []);
    assert.deepStrictEqual(await opened("\uFEFFabc", (path) => fromLines(path, { index })), ["abc"]);
  }
});

needs("/proc")("D17: file handle: a file is opened when it is read, and closed when the iteration ends, is left or fails", async () => {
  for (const [name, [write, open]] of Object.entries(inFiles)) {
    const path = fresh();
    write(path, 11);
    const loader = pipe(await runOrThrow(open(path)), Loader.batch(2), Loader.prefetch(2));
    assert.deepStrictEqual(await openFiles(), [], `${name}, opened`);
    for await (const _ of Loader.iterate(loader)) {
      const [one] = await openFiles();
      if (name !== "folder" && name !== "parquet") assert.ok(one === undefined || one === path);
      break;
    }
    assert.deepStrictEqual(await openFiles(), [], `${name}, left`);
    await items(pipe(loader, Loader.repeat(2)));
    assert.deepStrictEqual(await openFiles(), [], `${name}, ended`);
    const composed = Loader.zip([loader, pipe(loader, Loader.filter(() => true))]);
    for await (const _ of Loader.iterate(composed)) break;
    assert.deepStrictEqual(await openFiles(), [], `${name}, left above`);
    await assert.rejects(items(pipe(loader, Loader.map(() => assert.fail("no")))));
    assert.deepStrictEqual(await openFiles(), [], `${name}, failed`);
  }
});

test("fromBody: the lines do not depend on the chunks; a response that is not ok rejects; one that is left is cancelled", async () => {
  await fc.assert(
    fc.asyncProperty(text, fc.array(fc.nat(7)), async (lines, cuts) => {
      const bytes = new TextEncoder().encode(lines.map((line) => `${line}\n`).join(""));
      const body = Loader.fromBody(async function* () {
        let at = 0;
        for (const cut of cuts) yield bytes.subarray(at, at += cut);
        yield bytes.subarray(at);
      });
      assert.deepStrictEqual(await items(pipe(body, Loader.repeat(2))), [...lines, ...lines]);
    }),
    { numRuns: 30 },
  );
  await assert.rejects(
    items(Loader.fromBody(() => Promise.resolve(new Response("no", { status: 404 })))),
    /found status 404/,
  );
  await assert.rejects(items(Loader.fromBody(() => 5 as never)), /found 5/);
  let refused = 0;
  const stream = new ReadableStream<Uint8Array>({ cancel: () => void refused++ });
  await assert.rejects(items(Loader.fromBody(() => new Response(stream, { status: 500 }))), /found status 500/);
  assert.equal(refused, 1, "the body of a response that is not ok stays open");
  let cancelled = 0;
  const endless = Loader.fromBody(() =>
    new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new TextEncoder().encode("a\n")),
      cancel: () => void cancelled++,
    })
  );
  for await (const [line] of Loader.iterate(endless)) {
    assert.equal(line, "a");
    break;
  }
  assert.equal(cancelled, 1);
});
