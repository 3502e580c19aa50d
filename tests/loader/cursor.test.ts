import assert from "node:assert/strict";
import { test } from "node:test";
import { isDeepStrictEqual } from "node:util";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import { check, codec, type Cursor, cursorOf, cursorSeed } from "../../lib/loader/cursor.ts";
import * as Loader from "../../lib/loader/loader.ts";

const anyCursor: fc.Arbitrary<Cursor> = fc.record({
  seed: fc.option(fc.oneof(fc.maxSafeInteger(), fc.bigInt(), fc.string({ unit: "binary" })).map(cursorSeed)),
  epoch: fc.maxSafeNat(),
  position: fc.nat(),
  length: fc.option(fc.maxSafeNat()),
  fingerprint: fc.string(),
}).map((fields) => cursorOf({ ...fields, position: Math.min(fields.position, fields.length ?? Infinity) }));

const cursor: Cursor = cursorOf({ seed: 7, epoch: 1, position: 2, length: 10, fingerprint: "array:10" });

test("round trip: a cursor is frozen plain data that JSON and the codec restore", () => {
  fc.assert(fc.property(anyCursor, (cursor) => {
    assert.ok(Object.isFrozen(cursor) && codec.is(cursor));
    const decoded = codec.decode(JSON.parse(JSON.stringify(codec.encode(cursor))));
    assert.deepStrictEqual(decoded, E.right(cursor));
    assert.ok(E.isRight(decoded) && Object.isFrozen(decoded.right) && decoded.right !== cursor);
    assert.ok(typeof cursor.seed !== "object" || Object.isFrozen(cursor.seed));
  }));
});

test("canonical: equal seeds have the same form, different seeds different ones", () => {
  assert.deepStrictEqual([7, 7n, -0, 0n].map(cursorSeed), [7, 7, 0, 0]);
  assert.deepStrictEqual([2n ** 53n, -(2n ** 64n)].map(cursorSeed), [
    { bigint: "9007199254740992" },
    { bigint: "-18446744073709551616" },
  ]);
  assert.equal(cursorSeed("7"), "7");
  assert.throws(() => cursorSeed(1.5), TypeError);
});

test("nothing silent: the codec rejects impossible cursors, with a message for each fault", () => {
  const bad: readonly (readonly [unknown, readonly RegExp[]])[] = [
    [null, [/a plain object, found null/]],
    [[cursor], [/a plain object/]],
    [{ ...cursor, _tag: "Rng" }, [/Cursor._tag/]],
    [{ ...cursor, version: 2 }, [/Cursor.version to be 1, the version this release reads, found 2/]],
    [{ ...cursor, seed: 1.5 }, [/Cursor.seed .*found 1.5/]],
    [{ ...cursor, seed: -0 }, [/found -0/]],
    [{ ...cursor, seed: { bigint: "7" } }, [/Cursor.seed.bigint .*beyond 2\^53, found "7"/]],
    [{ ...cursor, seed: { bigint: "007199254740992000" } }, [/Cursor.seed.bigint/]],
    [{ ...cursor, epoch: -1 }, [/Cursor.epoch .*found -1/]],
    [{ ...cursor, position: 11 }, [/Cursor.position to be an integer from 0 to 10, found 11/]],
    [{ ...cursor, length: Infinity }, [/Cursor.length .*found Infinity/]],
    [{ ...cursor, fingerprint: 5 }, [/Cursor.fingerprint/]],
    [{ ...cursor, more: 1 }, [/no field "more"/]],
    [{ ...cursor, epoch: "1", position: NaN }, [/Cursor.epoch/, /Cursor.position/]],
  ];
  for (const [value, messages] of bad) {
    assert.ok(!codec.is(value));
    const decoded = codec.decode(value);
    assert.ok(E.isLeft(decoded));
    assert.equal(decoded.left.length, messages.length);
    decoded.left.forEach(({ message }, i) => assert.match(message ?? "", messages[i]!));
  }
  const { epoch: _, ...missing } = cursor;
  assert.ok(!codec.is(missing));
});

test("nothing silent: the sentences about a union name its values, or the fault inside the one that fits", () => {
  const sentences = (value: unknown): readonly (string | undefined)[] => {
    const decoded = codec.decode(value);
    return E.isLeft(decoded) ? decoded.left.map(({ message }) => message) : [];
  };
  assert.deepStrictEqual(sentences({ ...cursor, seed: true }), [
    "Expected Cursor.seed to be a safe integer, a string, null, or { bigint } with the digits of a larger integer, found true",
  ]);
  assert.deepStrictEqual(sentences({ ...cursor, mark: [1, [null, -1]] }), [
    "Expected Cursor.mark[1][1] to be an integer from 0, null, or a list of these, found -1",
  ]);
  assert.deepStrictEqual(sentences({ ...cursor, seed: { bigint: 5, more: 1 } }), [
    "Expected Cursor.seed.bigint to be the decimal digits of an integer beyond 2^53, found 5",
    'Expected no field "more" in Cursor.seed',
  ]);
  assert.deepStrictEqual(sentences({ ...cursor, mark: undefined }).length, 1);
  assert.ok(codec.is({ ...cursor, mark: [1, [null, 2]] }));
});

test("nothing silent: check lists every difference of the data with both sides, and ignores positions", () => {
  fc.assert(fc.property(anyCursor, fc.nat(), (cursor, epoch) => {
    assert.deepStrictEqual(check({ ...cursor, epoch, position: 0 }, cursor), []);
  }));
  const live = cursorOf({ ...cursor, seed: { bigint: "9007199254740992" }, length: 11, fingerprint: "array:11" });
  assert.deepStrictEqual(check(live, cursor), [
    { path: "seed", kind: "value", expected: "7", found: '{"bigint":"9007199254740992"}', saved: "expected" },
    { path: "length", kind: "length", expected: "10", found: "11", saved: "expected" },
    { path: "fingerprint", kind: "data", expected: '"array:10"', found: '"array:11"', saved: "expected" },
  ]);
  assert.deepStrictEqual(check(cursor, { ...cursor, version: 2 } as never).map(({ path }) => path), ["version"]);
  assert.deepStrictEqual(check({ ...cursor, length: null }, cursor), []);
  assert.deepStrictEqual(check(cursor, { ...cursor, seed: "7" }).map(({ path }) => path), ["seed"]);
});

// --- fingerprints

const print = (loader: Loader.Loader<unknown>): string => Loader.start(loader).fingerprint;
const ofArray = (xs: ArrayLike<unknown>): string => print(Loader.fromArray(xs));

test("fingerprint: same bits: golden fingerprints, never to be regenerated", () => {
  const samples = [
    { x: [0.1, -0, NaN], y: "é\ud800" },
    Float32Array.of(0.1, -0),
    5n,
    null,
    undefined,
    true,
    new Date(0),
  ];
  assert.equal(ofArray(samples), "array:7:a019d06bde5de7e47ae62e150c64c24b");
  assert.equal(
    print(pipe(Loader.fromArray(samples), Loader.shuffle("a b"))),
    `${ofArray(samples)} feistel-ab/1:string:a b`,
  );
  assert.equal(print(Loader.fromIndexed({ length: 3, at: (i) => i, fingerprint: "v2" })), "indexed:3:v2");
  assert.equal(print(Loader.fromIterable(() => [1])), "iterable");
  assert.equal(print(Loader.fromIterable(() => [1], { fingerprint: "a" })), "iterable:a");
  assert.equal(print(Loader.fromDataset({ iterator: () => Promise.reject() })), "dataset");
});

test("fingerprint: it covers the source and its shuffle, not map, batch, shard, take, skip or repeat", () => {
  const data = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.shuffle(1));
  const piped = pipe(
    data,
    Loader.map(String),
    Loader.batch(2),
    Loader.shard({ rank: 0, world: 2 }),
    Loader.repeat(2),
    Loader.take(3),
    Loader.skip(1),
  );
  assert.equal(print(piped), print(data));
  const shuffles = [Loader.shuffle(1), Loader.shuffle(2), Loader.shuffle("1"), Loader.shuffle(2n ** 64n + 1n)];
  const parts = [Loader.take(3), Loader.take(2), Loader.skip(1), Loader.skip(2)];
  const xs = Loader.fromArray([1, 2, 3, 4]);
  const prints = [
    xs,
    ...shuffles.map((shuffle) => pipe(xs, shuffle)),
    ...parts.map((part) => pipe(xs, part, Loader.shuffle(1))),
  ].map(print);
  assert.equal(new Set(prints).size, prints.length);
  assert.equal(print(pipe(xs, Loader.take(9), Loader.skip(0), Loader.shuffle(1))), print(data));
});

test("fingerprint: an edit anywhere in a small array changes it, a copy does not", () => {
  const leaf = fc.oneof(fc.double(), fc.string({ unit: "binary" }), fc.boolean(), fc.bigInt(), fc.constant(null));
  const keyed = fc.dictionary(fc.string(), leaf, { maxKeys: 4, noNullPrototype: true });
  const value = fc.oneof(leaf, fc.array(leaf, { maxLength: 5 }), keyed);
  fc.assert(fc.property(fc.array(value, { minLength: 1, maxLength: 20 }), fc.nat(19), value, (xs, i, edit) => {
    const edited = xs.with(i % xs.length, edit);
    assert.equal(ofArray(structuredClone(xs)), ofArray(xs));
    assert.equal(ofArray(edited) === ofArray(xs), isDeepStrictEqual(edited, xs));
  }));
});

test("fingerprint: a large array is sampled with bounded work, including the first and the last item", () => {
  let reads = 0;
  const counted = new Proxy([] as number[], {
    get: (_, name) =>
      name === "length" ? 2 ** 32 - 1 : typeof name === "string" && /^\d+$/.test(name) ? (reads++, 1) : undefined,
  });
  ofArray(counted);
  assert.ok(reads <= 4096);
  const pixels = (): Float32Array[] => Array.from({ length: 5000 }, () => new Float32Array(784));
  const whole = ofArray(pixels());
  for (const [i, j] of [[0, 0], [4999, 783], [0, 783]] as const) {
    const edited = pixels();
    edited[i]![j] = 1;
    assert.notEqual(ofArray(edited), whole);
  }
  const cyclic: unknown[] = [];
  cyclic.push(cyclic, cyclic);
  assert.equal(ofArray(cyclic).length, ofArray([1]).length);
});
