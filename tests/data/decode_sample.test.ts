import assert from "node:assert/strict";
import { readdir, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import { type } from "arktype";
import * as t from "io-ts";
import * as v from "valibot";
import { z } from "zod";
import type { DataFailed } from "../../lib/errors/errors.ts";
import { explain } from "../../lib/errors/explain.ts";
import { runOrThrow } from "../../lib/task.ts";
import { fromCsv } from "../../lib/data/csv.ts";
import { fromJsonLines } from "../../lib/data/lines.ts";
import { fromParquet } from "../../lib/data/parquet.ts";
import * as Loader from "../../lib/loader/loader.ts";
import type { DataCodec, StandardSchema } from "../../lib/validation/mod.ts";
import { parquet, scratch } from "../support/sources.ts";

after(() => rm(scratch, { recursive: true, force: true }));

interface Review {
  readonly text: string;
  readonly stars: readonly number[];
}

/** A schema written by hand, with the issues that Effect 4 gives, and one whose validation is asynchronous. */
function byHand(vendor: string, later: boolean): StandardSchema<Review> {
  const issuesIn = ({ text, stars }: { readonly text?: unknown; readonly stars?: unknown }) => [
    ...(typeof text === "string" ? [] : [{ path: ["text"], message: text === undefined ? "Missing key" : "Expected string" }]),
    ...(Array.isArray(stars) ? stars : []).flatMap((star, i) =>
      typeof star === "number" ? [] : [{ path: [{ key: "stars" }, i], message: "Expected number" }]
    ),
  ];
  const validate = (value: unknown) => {
    const issues = issuesIn(value as object);
    return issues.length > 0 ? { issues } : { value: value as Review };
  };
  return { "~standard": { version: 1, vendor, validate: later ? (u) => Promise.resolve(validate(u)) : validate } };
}

const codecs: Readonly<Record<string, DataCodec<Review>>> = {
  "io-ts": t.type({ text: t.string, stars: t.array(t.number) }),
  "an io-ts intersection": t.intersection([t.type({ text: t.string }), t.type({ stars: t.array(t.number) })]),
  zod: z.object({ text: z.string(), stars: z.array(z.number()) }),
  valibot: v.object({ text: v.string(), stars: v.array(v.number()) }),
  // Its schemas are functions.
  arktype: type({ text: "string", stars: "number[]" }),
  effect: byHand("effect", false),
  "an asynchronous schema": byHand("own", true),
};

async function written(content: string): Promise<string> {
  const path = join(scratch, `reviews ${(await readdir(scratch)).length}`);
  await writeFile(path, content);
  return path;
}

/** The `DataFailed` of one sample. */
async function refused(loader: Loader.Loader<unknown>, i: number): Promise<DataFailed> {
  const error: Error = await Loader.at(i)(loader).then(() => assert.fail("it was accepted"), (error) => error);
  return ((error.cause as { readonly cause: Error }).cause as Error).cause as DataFailed;
}

const good = { text: "good", stars: [5, 4] };
const lines = [good, { text: "bad", stars: [1, "x"] }, { stars: [] }].map((one) => `${JSON.stringify(one)}\n`).join("");

for (const [name, codec] of Object.entries(codecs)) {
  test(`fromJsonLines: ${name} decodes, and every place that it rejects has its line, path, expected and found`, async () => {
    const loader = await runOrThrow(fromJsonLines(await written(lines), { codec, index: "memory" }));
    assert.deepStrictEqual(await Loader.at(0)(loader), good);
    const wrong = await refused(loader, 1);
    assert.deepStrictEqual(wrong.problems.map(({ path, kind }) => [path, kind]), [["line 2/stars/1", "format"]]);
    const [{ expected, found }] = wrong.problems as [DataFailed["problems"][0]];
    assert.match(expected, /number|a value of the (zod|valibot|arktype|effect|own) schema/);
    assert.match(found, /^"x"/);
    const missing = await refused(loader, 2);
    assert.deepStrictEqual(missing.problems.map(({ path }) => path), ["line 3/text"]);
    assert.match(missing.problems[0]!.found, /^no such field/);
  });
}

test("fromJsonLines: what a codec says is a sentence", async () => {
  const open = async (codec: DataCodec<unknown>): Promise<string> =>
    explain(await refused(await runOrThrow(fromJsonLines(await written(lines), { codec, index: "memory" })), 1));
  assert.match(await open(codecs["io-ts"]!), /^Cannot read .*, line 2\/stars\/1: expected number, found "x"\nRepair the file, or change the codec$/);
  assert.match(
    await open(codecs["zod"]!),
    /^Cannot read .*, line 2\/stars\/1: expected a value of the zod schema, found "x": Invalid input: expected number, received string\n/,
  );
  const own = new t.Type<unknown>("Own", t.unknown.is, (value) => t.failure(value, [], "too bad"), t.identity);
  assert.match(await open(own), /, line 2: expected a value of the codec, found an object: too bad\n/);
  const either = t.union([t.type({ stars: t.string }), t.type({ stars: t.number })]);
  assert.match(await open(either), /^Cannot read .*, line 2\/stars: expected string or number, found \[1, "x"\]\n/);
});

/** A schema with this `validate`. */
function validating(validate: () => unknown): DataCodec<unknown> {
  return { "~standard": { version: 1, vendor: "own", validate: validate as never } };
}

function thrown(): never {
  throw new Error("boom");
}

test("nothing silent: a codec that fails, or answers in no form of Standard Schema, is an error with file and line", async () => {
  const answers: readonly (readonly [answer: () => unknown, found: RegExp])[] = [
    [thrown, /: boom$/],
    [() => Promise.reject(new Error("later")), /: later$/],
    [() => Promise.reject(), /: undefined$/],
    ...[null, undefined, 5, "no", {}, { issues: [] }, { issues: null }, { issues: "x" }].map((answer) =>
      [() => answer, /an object: rejected without a reason$/] as const
    ),
    [() => ({ issues: [null] }), /an object: ./],
    [() => ({ issues: [{ message: Symbol("s"), path: [Symbol("p")] }] }), /: ./],
    [() => ({ issues: [{ message: "m", path: null }] }), /: m$/],
  ];
  const own = (decode: () => unknown): DataCodec<unknown> =>
    Object.assign(new t.Type("Own", t.unknown.is, t.success, t.identity), { decode });
  const codecs: readonly (readonly [DataCodec<unknown>, RegExp])[] = [
    ...answers.map(([answer, found]) => [validating(answer), found] as const),
    [own(thrown), /: boom$/],
    [own(() => undefined), /: ./],
    [own(() => Promise.resolve()), /: ./],
    [own(() => ({ _tag: "Left", left: [] })), /: rejected without a reason$/],
  ];
  const path = await written(lines);
  for (const [codec, found] of codecs) {
    const failed = await refused(await runOrThrow(fromJsonLines(path, { codec, index: "memory" })), 1);
    assert.equal(failed.location, path);
    assert.equal(failed.problems.length, 1);
    assert.match(failed.problems[0]!.path, /^line 2\b/);
    assert.match(failed.problems[0]!.expected, /^a value of (the own schema|Own)$/);
    assert.match(failed.problems[0]!.found, found);
  }
  const nothing = await runOrThrow(fromJsonLines(path, { codec: validating(() => ({ value: undefined })), index: "memory" }));
  assert.equal(await Loader.at(1)(nothing), undefined);
});

test("data files: no text of a file or a codec controls the terminal, adds a line or fills the screen", async () => {
  const hostile = `\x1b[2J\x9b\u202e\n${"x".repeat(100_000)}`;
  const issue = { message: hostile, path: [hostile] };
  const record = t.record(t.string, t.string);
  const own = new t.Type<unknown>(hostile, t.unknown.is, (value, context) => t.failure(value, context, hostile), t.identity);
  const path = await written(`${JSON.stringify({ [hostile]: 9 })}\n`);
  for (const codec of [validating(() => ({ issues: [issue] })), record, own]) {
    const { problems } = await refused(await runOrThrow(fromJsonLines(path, { codec, index: "memory" })), 0);
    for (const text of [problems[0]!.path, problems[0]!.expected, problems[0]!.found]) {
      assert.doesNotMatch(text, /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/u);
      assert.ok(text.length < 2000);
    }
  }
});

test("fromJsonLines, fromCsv: a schema that transforms gives its output", async () => {
  const stars = z.object({ stars: z.array(z.number()).transform((all) => all.length) });
  const loader = await runOrThrow(fromJsonLines(await written(lines), { codec: stars, index: "memory" }));
  assert.deepStrictEqual(await Loader.at(0)(loader), { stars: 2 });
  const codec = z.object({ id: z.coerce.number(), note: z.string() });
  const table = await runOrThrow(fromCsv(await written('id,note\n7,"a\nb"\nx,c\n'), { codec, index: "memory" }));
  assert.deepStrictEqual(await Loader.at(0)(table), { id: 7, note: "a\nb" });
  const { problems } = await refused(table, 1);
  assert.deepStrictEqual(problems.map(({ path }) => path), ["record 3/id"]);
  assert.match(problems[0]!.found, /^"x": Invalid input/);
});

test("fromParquet: a codec decodes every row, and what it rejects has its row, path, expected and found", async () => {
  const path = await written("");
  await writeFile(path, parquet(7));
  const codec = z.object({ x: z.number().max(4).transform(String), name: z.string() });
  const loader = await runOrThrow(fromParquet(path, { codec }));
  assert.deepStrictEqual(await Loader.at(4)(loader), { x: "4", name: "name 4" });
  const { location, problems } = await refused(loader, 5);
  assert.deepStrictEqual([location, problems.map(({ path }) => path)], [path, ["row 6/x"]]);
  assert.match(problems[0]!.found, /^5: Too big/);
  const some = await runOrThrow(fromParquet(path, { columns: ["x"], groups: 1, codec: t.type({ x: t.number }) }));
  assert.deepStrictEqual(await Loader.at(6)(some), { x: 6 });
});

test("fromJsonLines, fromCsv, fromParquet: a codec of a wrong form is a TypeError at the call, before the index is built", async () => {
  /** As a schema of zod 3. */
  class ZodObject {
    parse = (value: unknown): unknown => value;
    safeParse = (value: unknown): unknown => ({ success: true, data: value });
  }
  const validate = (value: unknown): unknown => ({ value });
  const wrong = [
    class Review {},
    (value: unknown) => value,
    new ZodObject(),
    { text: t.string },
    t.string.decode,
    null,
    "string",
    { "~standard": { version: 2, vendor: "later", validate } },
    { "~standard": { version: 1, vendor: "half" } },
    { "~standard": null },
  ];
  const path = await written("a\n1\n");
  for (const codec of wrong) {
    for (const open of [fromJsonLines, fromCsv, fromParquet]) {
      assert.throws(() => open(path, { codec: codec as never }), {
        name: "TypeError",
        message: /^Expected codec to be a codec of io-ts, such as .*, or a schema .*z\.object.*, found /,
      });
    }
  }
  await assert.rejects(stat(`${path}.index`), { code: "ENOENT" });
});
