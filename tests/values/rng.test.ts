import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { congruential32FromState } from "pure-rand/generator/congruential32";
import { xoroshiro128plusFromState } from "pure-rand/generator/xoroshiro128plus";
import { xorshift128plusFromState } from "pure-rand/generator/xorshift128plus";
import * as Rng from "../../lib/values/rng.ts";
import { torture } from "../support/torture.ts";

const fromState = {
  xoroshiro128plus: xoroshiro128plusFromState,
  xorshift128plus: xorshift128plusFromState,
  congruential32: congruential32FromState,
};
const algorithms = ["xoroshiro128plus", "xorshift128plus", "congruential32"] as const;

const anyRng: fc.Arbitrary<Rng.Rng> = fc.tuple(
  fc.oneof(fc.maxSafeInteger(), fc.bigInt(), fc.string({ unit: "binary" })),
  fc.constantFrom(...algorithms),
).map(([seed, algorithm]) => Rng.make(seed, algorithm));

/** The generator after n draws, made one by one with pure-rand itself. */
function dropped(rng: Rng.Rng, n: number): Rng.Rng {
  const generator = fromState[rng.algorithm](rng.state);
  for (let i = 0; i < n; i++) generator.next();
  return { ...rng, state: generator.getState() };
}

function singles(n: number, rng: Rng.Rng, draw: (rng: Rng.Rng) => readonly [number, Rng.Rng]): [number[], Rng.Rng] {
  const values: number[] = [];
  for (let i = 0; i < n; i++) {
    const [value, next] = draw(rng);
    values.push(value);
    rng = next;
  }
  return [values, rng];
}

test("immutable: draws do not change a generator; one that is not the result of a draw is deeply frozen", () => {
  fc.assert(fc.property(anyRng, (rng) => {
    const before = structuredClone(rng);
    Rng.float(rng);
    Rng.int(1, 6)(rng);
    Rng.floats(3)(rng);
    Rng.ints(3, 1, 6)(rng);
    Rng.fork("a")(rng);
    Rng.skip(5)(rng);
    Rng.withRandom(rng)(Math.random);
    assert.deepEqual(rng, before);
    for (const value of [Rng.make("a"), Rng.fork("a")(rng), Rng.skip(5)(rng)]) {
      assert.ok(Object.isFrozen(value) && Object.isFrozen(value.state));
    }
  }));
});

test("same bits: golden states and draws, never to be regenerated", () => {
  const golden: Record<Rng.Algorithm, readonly (readonly number[])[]> = {
    xoroshiro128plus: [
      [-1365304479, 802235240, -1844574058, 130040248],
      [732049958, 67579126, -791548440, -2039637300],
      [0.8919873322774006, 0.22254601273514873],
      [3, 1, 5, 4],
      [380049653136555, 1093794637393766],
      [733613628, -1912864477, 1943487213, 1625300563],
    ],
    xorshift128plus: [
      [-1831434214, 1973303900, -818921956, -1568692442],
      [1442952727, 435701053, 1358161533, 775095386],
      [0.029180570879298928, 0.3847314744185558],
      [3, 3, 3, 2],
      [3896674304089541, 2795456934171494],
      [1365289518, 1709877987, 16464760, 545683161],
    ],
    congruential32: [
      [-686794361],
      [-635843406],
      [0.24881018218980955, 0.0042284136032779696],
      [1, 4, 1, 1],
      [4160043942238290, 1217934752250673],
      [-1760536185],
    ],
  };
  for (const algorithm of algorithms) {
    const rng = Rng.make(42, algorithm);
    assert.deepEqual([
      rng.state,
      Rng.fork("dropout")(rng).state,
      [...Rng.floats(2)(rng)[0]],
      [...Rng.ints(4, 1, 6)(rng)[0]],
      [...Rng.ints(2, -5, 2 ** 52)(rng)[0]],
      Rng.skip(10n ** 30n)(rng).state,
    ], golden[algorithm]);
  }
  assert.deepEqual(Rng.make("42").state, [2026083798, 1375505618, 1248750159, -1818919740]);
  assert.deepEqual(Rng.make(-(1n << 80n)).state, [674454629, -629532429, -1173690007, -1160062612]);
});

test("make: equal numbers and bigints are the same seed, a string is another, a bad number is a TypeError", () => {
  fc.assert(fc.property(fc.maxSafeInteger(), (n) => {
    assert.deepEqual(Rng.make(n), Rng.make(BigInt(n)));
    assert.notDeepEqual(Rng.make(n), Rng.make(String(n)));
  }));
  assert.deepEqual(Rng.make(-0), Rng.make(0));
  assert.deepEqual(Rng.make(1), Rng.make(1, "xoroshiro128plus"));
  assert.notDeepEqual(Rng.make("\ud800"), Rng.make("\udc00"));
  for (const bad of [NaN, Infinity, 0.5, 2 ** 53]) {
    assert.throws(() => Rng.make(bad), { name: "TypeError", message: /seed/ });
  }
  for (const bad of ["mersenne", "toString"]) {
    assert.throws(() => Rng.make(1, bad as Rng.Algorithm), { name: "TypeError", message: /algorithm/ });
  }
});

test("make: the streams of neighbouring seeds and of forks are uncorrelated", () => {
  const count = 4000;
  const correlation = (draw: (i: number) => readonly [Rng.Rng, Rng.Rng]) => {
    let sum = 0;
    for (let i = 0; i < count; i++) {
      const [a, b] = draw(i);
      sum += (Rng.float(a)[0] - 0.5) * (Rng.float(b)[0] - 0.5) * 12;
    }
    return Math.abs(sum) / Math.sqrt(count);
  };
  for (const algorithm of algorithms) {
    const make = (seed: number) => Rng.make(seed, algorithm);
    assert.ok(correlation((i) => [make(i), make(i + 1)]) < 5);
    assert.ok(correlation((i) => [make(i), Rng.fork("a")(make(i))]) < 5);
    assert.ok(correlation((i) => [Rng.fork(`${i}`)(make(1)), Rng.fork(`${i + 1}`)(make(1))]) < 5);
  }
});

test("float: it is the 53-bit float of pure-rand, uniform over [0, 1)", () => {
  for (const algorithm of algorithms) {
    const rng = Rng.make(1, algorithm);
    const generator = fromState[algorithm](rng.state);
    const [values] = Rng.floats(20_000)(rng);
    const buckets = Array<number>(20).fill(0);
    for (const value of values) {
      assert.equal(value, uniformFloat64(generator));
      buckets[Math.floor(value * 20)]! += 1;
    }
    const chi2 = buckets.reduce((sum, n) => sum + (n - 1000) ** 2 / 1000, 0);
    assert.ok(chi2 < 60, `${algorithm}: ${chi2}`);
  }
});

test("floats and ints: they equal n single draws and return the same generator", () => {
  const bounds = fc.tuple(fc.maxSafeInteger(), fc.oneof(fc.nat({ max: 100 }), fc.maxSafeNat()))
    .map(([from, width]): [number, number] => [from, Math.min(Number.MAX_SAFE_INTEGER, from + width)]);
  fc.assert(
    fc.property(anyRng, fc.nat({ max: 50 }), bounds, (rng, n, [from, to]) => {
      const [floats, afterFloats] = Rng.floats(n)(rng);
      assert.deepEqual([[...floats], afterFloats], singles(n, rng, Rng.float));
      const [ints, afterInts] = Rng.ints(n, from, to)(rng);
      assert.deepEqual([[...ints], afterInts], singles(n, rng, Rng.int(from, to)));
      assert.ok(ints.every((value) => Number.isSafeInteger(value) && value >= from && value <= to));
    }),
    { numRuns: 200 * torture },
  );
});

test("int: every value of the range is equally likely, both ends included", () => {
  const [rolls] = Rng.ints(60_000, -2, 3)(Rng.make("dice"));
  const counts = new Map<number, number>();
  for (const roll of rolls) counts.set(roll, (counts.get(roll) ?? 0) + 1);
  assert.deepEqual([...counts.keys()].sort((a, b) => a - b), [-2, -1, 0, 1, 2, 3]);
  for (const count of counts.values()) assert.ok(Math.abs(count - 10_000) < 500);
  assert.equal(Rng.int(7, 7)(Rng.make(1))[0], 7);
  const [wide] = Rng.ints(2000, 0, Number.MAX_SAFE_INTEGER)(Rng.make(1));
  assert.ok(Math.abs(wide.filter((value) => value % 2 === 0).length - 1000) < 150);
});

test("bad input: wrong bounds and counts are a TypeError at once", () => {
  const wide = Number.MAX_SAFE_INTEGER;
  for (const [from, to] of [[5, 1], [0.5, 2], [0, 2.5], [NaN, 1], [0, Infinity], [-1, wide], [-wide, wide]] as const) {
    assert.throws(() => Rng.int(from, to), TypeError, `${from}, ${to}`);
    assert.throws(() => Rng.ints(1, from, to), TypeError, `${from}, ${to}`);
  }
  for (const bad of [-1, 0.5, NaN, Infinity]) {
    assert.throws(() => Rng.floats(bad), TypeError);
    assert.throws(() => Rng.ints(bad, 0, 1), TypeError);
    assert.throws(() => Rng.skip(bad), TypeError);
  }
  assert.throws(() => Rng.skip(-1n), TypeError);
});

test("fork: it is a pure function of state and name, and differs between names", () => {
  fc.assert(fc.property(anyRng, fc.string(), fc.string(), (rng, a, b) => {
    assert.deepEqual(Rng.fork(a)(rng), Rng.fork(a)(rng));
    assert.equal(Rng.fork(a)(rng).algorithm, rng.algorithm);
    const forks = [...new Set([a, `${a} `, b])].map((name) => Rng.fork(name)(rng));
    const all = [rng, ...forks, Rng.fork(a)(Rng.skip(1)(rng)), Rng.fork(a)(Rng.fork(a)(rng))];
    assert.equal(new Set(all.map((r) => r.state.join())).size, all.length);
  }));
  assert.throws(() => Rng.fork(1 as unknown as string), TypeError);
});

test("skip: skip(n) equals dropping n draws", () => {
  for (const algorithm of algorithms) {
    const rng = Rng.make("skip", algorithm);
    for (const n of [0, 1, 2, 3, 31, 32, 63, 64, 127, 128, 129, 1000, 65_537, 1_000_000]) {
      assert.deepEqual(Rng.skip(n)(rng), dropped(rng, n), `${algorithm} ${n}`);
    }
    assert.deepEqual(Rng.skip(2000)(rng), Rng.floats(1000)(rng)[1]);
  }
  fc.assert(
    fc.property(anyRng, fc.nat({ max: 2000 }), (rng, n) => assert.deepEqual(Rng.skip(n)(rng), dropped(rng, n))),
    { numRuns: 100 * torture },
  );
});

test("skip: skip(0) = id and skip(a) ∘ skip(b) = skip(a + b)", () => {
  const count = fc.bigInt({ min: 0n, max: 1n << 200n });
  fc.assert(
    fc.property(anyRng, count, count, (rng, a, b) => {
      assert.deepEqual(Rng.skip(0)(rng), rng);
      assert.deepEqual(Rng.skip(a)(Rng.skip(b)(rng)), Rng.skip(a + b)(rng));
    }),
    { numRuns: 50 * torture },
  );
});

test("skip: it agrees with pure-rand's jump, and a whole period returns to the start", () => {
  for (
    const [algorithm, jump, period] of [
      ["xoroshiro128plus", 1n << 64n, (1n << 128n) - 1n],
      ["xorshift128plus", 1n << 64n, (1n << 128n) - 1n],
      ["congruential32", 1n << 16n, 1n << 32n],
    ] as const
  ) {
    const rng = Rng.make(3, algorithm);
    const generator = fromState[algorithm](rng.state);
    generator.jump();
    assert.deepEqual(Rng.skip(jump)(rng).state, generator.getState());
    assert.deepEqual(Rng.skip(period)(rng), rng);
    assert.notDeepEqual(Rng.skip(period / 3n)(rng), rng);
  }
});

test("withRandom: Math.random draws floats of the generator, and is restored", () => {
  const original = Math.random;
  const rng = Rng.make(5);
  const [drawn, next] = Rng.withRandom(rng)(() => [Math.random(), Math.random(), Math.random()]);
  const [expected, after] = Rng.floats(3)(rng);
  assert.deepEqual([drawn, next], [[...expected], after]);
  assert.equal(Math.random, original);
  assert.deepEqual(Rng.withRandom(rng)(() => "untouched"), ["untouched", rng]);
  assert.throws(() =>
    Rng.withRandom(rng)(() => {
      throw new RangeError("inside");
    }), RangeError);
  assert.equal(Math.random, original);
});

test("withRandom: a nested call draws from its generator and leaves the outer stream as it was", () => {
  const [outer, inner] = [Rng.make("outer"), Rng.make("inner")];
  const [[first, [nested, innerNext], second], outerNext] = Rng.withRandom(outer)(() => [
    Math.random(),
    Rng.withRandom(inner)(() => {
      Rng.float(outer);
      return Math.random();
    }),
    Math.random(),
  ]);
  assert.deepEqual([[first, second], outerNext], [[...Rng.floats(2)(outer)[0]], Rng.floats(2)(outer)[1]]);
  assert.deepEqual([nested, innerNext], Rng.float(inner));
});

test("round trip: decode(encode(rng)) is an equal, frozen copy, through JSON too", () => {
  fc.assert(fc.property(anyRng, (rng) => {
    assert.ok(Rng.codec.is(rng));
    const source = JSON.parse(JSON.stringify(Rng.codec.encode(rng)));
    const decoded = Rng.codec.decode(source);
    assert.deepEqual(decoded, E.right(rng));
    source.state[0] ^= 1;
    assert.deepEqual(decoded, E.right(rng));
    assert.ok(E.isRight(decoded) && Object.isFrozen(decoded.right) && Object.isFrozen(decoded.right.state));
  }));
  assert.equal(Rng.codec.name, "Rng");
});

test("nothing silent: the codec rejects every impossible state, with its reason", () => {
  const rng = Rng.make(1);
  const [a, b, c] = rng.state;
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [null, /Expected Rng to be a plain object, found null/],
    ["xoroshiro128plus", /plain object/],
    [new (class extends Object {})(), /plain object/],
    [{ ...rng, _tag: "rng" }, /Rng\._tag to be "Rng", found "rng"/],
    [{ ...rng, algorithm: "mersenne" }, /Rng\.algorithm .* found "mersenne"/],
    [{ ...rng, algorithm: "constructor" }, /Rng\.algorithm/],
    [{ ...rng, layout: "pure-rand>=7" }, /Rng\.layout/],
    [{ ...rng, state: new Int32Array(4) }, /Rng\.state to be an array/],
    [{ ...rng, state: [a, b, c] }, /4 words of xoroshiro128plus, .*, found \[-?\d+, -?\d+, -?\d+\]$/],
    [{ ...rng, algorithm: "congruential32" }, /the one word of congruential32/],
    [{ ...rng, state: [0, 0, 0, 0] }, /at least one of them other than 0/],
    [{ ...rng, extra: 1 }, /Expected no field "extra"/],
    [{ ...rng, state: undefined }, /Rng\.state/],
    [{ _tag: "Rng", algorithm: rng.algorithm, layout: rng.layout }, /Rng\.state to be .+, found no such field/],
    ...[-0, 0.5, NaN, Infinity, 2 ** 31, -(2 ** 31) - 1, "1", null, 1n, undefined].map((word) =>
      [{ ...rng, state: [a, b, c, word] }, /Rng\.state\[3\] to be an integer/] as const
    ),
    // deno-lint-ignore no-sparse-arrays
    [{ ...rng, state: [a, b, , c] }, /Rng\.state\[2\]/],
  ];
  for (const [value, reason] of refused) {
    assert.ok(!Rng.codec.is(value), String(reason));
    const decoded = Rng.codec.decode(value);
    assert.ok(E.isLeft(decoded), String(reason));
    assert.match(decoded.left.map((error) => error.message).join("\n"), reason);
  }
  const both = Rng.codec.decode({ ...rng, layout: 1, state: [0.5, 1, 2, -0] });
  assert.equal(E.isLeft(both) && both.left.length, 3);
  assert.ok(Rng.codec.is({ ...rng, algorithm: "congruential32", state: [0] }));
});
