import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import * as t from "io-ts";
import { explain } from "../../lib/errors/explain.ts";
import { runOrThrow } from "../../lib/task.ts";
import { type LargeInteger, parseWithBigints } from "../../lib/data/json_value.ts";
import { fromJsonLines } from "../../lib/data/lines.ts";
import * as Loader from "../../lib/loader/loader.ts";
import { scratch } from "../support/sources.ts";

after(() => rm(scratch, { recursive: true, force: true }));

test("parseWithBigints: any JSON value is that of JSON.parse, if no integer in it is large", () => {
  fc.assert(
    fc.property(fc.json({ maxDepth: 4 }), (text) => {
      let hasLarge = false;
      const value = JSON.parse(text, (_, inner) => {
        // From 1e21 on numbers are written with an exponent.
        if (typeof inner === "number") hasLarge ||= Math.abs(inner) >= 2 ** 53 && Math.abs(inner) < 1e21;
        return inner;
      });
      fc.pre(!hasLarge);
      assert.deepStrictEqual(parseWithBigints(text), { value, large: [] });
    }),
    { numRuns: 300 },
  );
  const texts = [
    "9007199254740991",
    "-9007199254740991",
    "0.12345678901234567890",
    "12345678901234567890.5",
    "1e300",
    "12345678901234567890e0",
    "1E+20",
    '"12345678901234567890"',
    '"\\\\"',
    String.raw`["\"12345678901234567890, \\", {"12345678901234567890": "-12345678901234567890"}]`,
    '{"__proto__":[1234567890123456.5]}',
  ];
  for (const text of texts) {
    assert.deepStrictEqual(parseWithBigints(text), { value: JSON.parse(text), large: [] }, text);
  }
  for (const text of ["01234567890123456789", "--12345678901234567890", "12345678901234567890,", "{", ""]) {
    assert.throws(() => parseWithBigints(text), SyntaxError);
  }
});

test("parseWithBigints: every integer beyond 2^53 - 1 has all its digits, wherever it is, with its path", () => {
  const key = fc.string({ unit: fc.constantFrom("a", '"', "\\", "9007199254740993", "é", "\n") });
  const tree = fc.letrec<{ tree: unknown }>((tie) => ({
    tree: fc.oneof(
      { depthSize: "small" },
      fc.bigInt({ min: -(10n ** 30n), max: 10n ** 30n }),
      key,
      fc.integer(),
      fc.constantFrom(null, true, 0.5),
      fc.array(tie("tree"), { maxLength: 3 }),
      fc.dictionary(key, tie("tree"), { maxKeys: 3 }),
    ),
  })).tree;
  const isLarge = (n: bigint): boolean => n > 9007199254740991n || n < -9007199254740991n;
  /** JSON of a tree, what it is read as, and the large integers in it. */
  const write = (value: unknown, path: readonly string[]): [string, unknown, LargeInteger[]] => {
    if (typeof value === "bigint") {
      return isLarge(value) ? [`${value}`, value, [{ path, integer: value }]] : [`${value}`, Number(value), []];
    }
    if (typeof value !== "object" || value === null) return [JSON.stringify(value), value, []];
    const parts = Object.entries(value).map(([name, one]) => [name, ...write(one, [...path, name])] as const);
    const large = parts.flatMap(([, , , some]) => some);
    return Array.isArray(value)
      ? [`[${parts.map(([, text]) => text).join(" ,")}]`, parts.map(([, , read]) => read), large]
      : [
        `{${parts.map(([name, text]) => `${JSON.stringify(name)}: ${text}`).join()}}`,
        Object.fromEntries(parts.map(([name, , read]) => [name, read])),
        large,
      ];
  };
  fc.assert(
    fc.property(tree, (value) => {
      const [text, expected, large] = write(value, []);
      assert.deepEqual(parseWithBigints(text), { value: expected, large });
    }),
    { numRuns: 500 },
  );
});

test("parseWithBigints: a string of megabytes, all of escapes, does not hide a large integer", () => {
  const text = JSON.stringify({ s: '"\\\n'.repeat(2 ** 19) });
  const { large } = parseWithBigints(`[${text},12345678901234567890]`);
  assert.deepStrictEqual(large, [{ path: ["1"], integer: 12345678901234567890n }]);
});

test("fromJsonLines: an integer beyond 2^53 - 1 is refused with its line and path, or is what largeIntegers says", async () => {
  const path = join(scratch, "ids.jsonl");
  await writeFile(path, '{"id":9007199254740991}\n{"ids":[1,9007199254740993,-12345678901234567890]}\n{"id":1e20}\n');
  const open = (largeIntegers?: "refuse" | "bigint" | "round") =>
    runOrThrow(fromJsonLines(path, { index: "memory", ...(largeIntegers === undefined ? {} : { largeIntegers }) }));
  for (const loader of [await open(), await open("refuse")]) {
    assert.deepStrictEqual(await Loader.at(0)(loader), { id: 9007199254740991 });
    assert.deepStrictEqual(await Loader.at(2)(loader), { id: 1e20 });
    const error = await Loader.at(1)(loader).then(() => assert.fail("it was accepted"), (error) => error);
    assert.match(
      explain(error.cause.cause.cause),
      /\n {2}line 2\/ids\/1: expected an integer of .*found 9007199254740993\n {2}line 2\/ids\/2: .*found -12345678901234567890\nRead such integers as bigints, \{ largeIntegers: "bigint" \}/,
    );
  }
  assert.deepStrictEqual(await Loader.at(1)(await open("bigint")), {
    ids: [1, 9007199254740993n, -12345678901234567890n],
  });
  assert.deepStrictEqual(await Loader.at(1)(await open("round")), { ids: [1, 9007199254740992, -12345678901234567000] });
  const codec = t.type({ ids: t.array(t.union([t.number, t.bigint])) });
  const decoded = await runOrThrow(fromJsonLines(path, { index: "memory", largeIntegers: "bigint", codec }));
  assert.deepStrictEqual((await Loader.at(1)(decoded)).ids[1], 9007199254740993n);
  for (const wrong of ["number", true, 5]) {
    assert.throws(() => fromJsonLines(path, { largeIntegers: wrong as never }), {
      name: "TypeError",
      message: /^Expected largeIntegers to be "refuse" or "bigint" or "round", found /,
    });
  }
});
