/**
 * `Schedule`: the rates of each kind, its codec and its arguments.
 *
 * A title that begins with a code, such as `H1`, is the counterpart of a test of Hugging Face Accelerate; `peers.test.ts` lists them.
 *
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import * as Schedule from "../../lib/values/schedule.ts";
import { torture } from "../support/torture.ts";

function after(n: number, schedule: Schedule.Schedule, metric?: number): Schedule.Schedule {
  for (let i = 0; i < n; i++) schedule = Schedule.next(schedule, metric);
  return schedule;
}

/** The rates of the first n steps. */
function rates(n: number, schedule: Schedule.Schedule): number[] {
  return Array.from({ length: n }, () => {
    const rate = Schedule.rate(schedule);
    schedule = Schedule.next(schedule);
    return rate;
  });
}

function at(step: number, schedule: Schedule.Schedule): number {
  return Schedule.rate({ ...schedule, step });
}

// Exact references: rationals and cosines in integers, scaled by 2^200.

const bits = 200n;
const one = 1n << bits;

/** A double as a multiple of 2^-200; doubles below that are not used here. */
function fixed(x: number): bigint {
  let exponent = 0n;
  while (!Number.isInteger(x)) [x, exponent] = [x * 2, exponent + 1n];
  return (BigInt(x) << bits) >> exponent;
}

/** The float32 nearest to a multiple of 2^-200. */
function nearest(x: bigint): number {
  const shift = Math.max(0, x.toString(2).length - 60);
  let value = Number(x >> BigInt(shift));
  for (let i = shift; i < Number(bits); i++) value /= 2;
  for (let i = Number(bits); i < shift; i++) value *= 2;
  return Math.fround(value);
}

/** Machin's formula: pi = 16 arctan(1/5) - 4 arctan(1/239). */
const pi = 16n * arctanOfInverse(5n) - 4n * arctanOfInverse(239n);

function arctanOfInverse(x: bigint): bigint {
  let sum = 0n;
  for (let [power, k] = [one / x, 1n]; power !== 0n; power = -power / (x * x), k += 2n) sum += power / k;
  return sum;
}

function cosineOf(angle: bigint): bigint {
  const square = (angle * angle) >> bits;
  let sum = 0n;
  for (let [term, k] = [one, 1n]; term !== 0n; k += 2n) {
    sum += term;
    term = -((term * square) >> bits) / (k * (k + 1n));
    if (term === -1n) break;
  }
  return sum;
}

function trueCosine(base: number, final: number, k: number, n: number): number {
  const weight = one + cosineOf((pi * BigInt(k)) / BigInt(n));
  return nearest(fixed(final) + (((fixed(base) - fixed(final)) * weight) >> (bits + 1n)));
}

function truePower(base: number, factor: number, n: number): number {
  let value = fixed(base);
  for (let i = 0; i < n; i++) value = (value * fixed(factor)) >> bits;
  return nearest(value);
}

const anyRate = fc.oneof(fc.constantFrom(1e-3, 1, 0.1, 3e-4), fc.double({ min: 1e-6, max: 10, noNaN: true }));
const anySteps = fc.oneof(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 1, max: 1_000_000_000 }));
const anyFactor = fc.double({ min: 0.01, max: 1, noNaN: true });

const { tie } = fc.letrec<{ tie: Schedule.Schedule }>((tie) => ({
  tie: fc.oneof(
    { maxDepth: 3, depthSize: "small" },
    anyRate.map((base) => Schedule.constant({ base })),
    fc.record({ base: anyRate, every: anySteps, factor: anyFactor }).map(Schedule.step),
    fc.record({ base: anyRate, milestones: fc.array(fc.nat({ max: 50 })), factor: anyFactor }).map(Schedule.multiStep),
    fc.record({ base: anyRate, factor: anyFactor }).map(Schedule.exponential),
    fc.record({ base: anyRate, steps: anySteps, final: anyRate }).map(Schedule.cosine),
    fc.record({ base: anyRate, steps: anySteps, final: anyRate }).map(Schedule.linear),
    fc.record({ peak: anyRate, steps: fc.integer({ min: 2, max: 100 }) }).map(Schedule.oneCycle),
    fc.record({
      base: anyRate,
      factor: fc.constantFrom(0.1, 0.5),
      patience: fc.nat({ max: 3 }),
      cooldown: fc.nat({ max: 3 }),
    })
      .map(Schedule.plateau),
    fc.tuple(fc.nat({ max: 20 }), anyRate, tie("tie")).map(([n, from, inner]) => Schedule.warmup(n, from)(inner)),
    fc.array(fc.tuple(tie("tie"), fc.integer({ min: 1, max: 10 })), { minLength: 1, maxLength: 3 }).map(
      Schedule.sequence,
    ),
  ),
}));

test("same bits: a cosine is the float32 nearest to the true cosine", () => {
  for (
    const [base, steps, final] of [[1e-3, 285, 0], [0.1, 100, 1e-3], [1, 7, 0], [0.1, 1_000_000, 0], [
      0,
      1000,
      3,
    ]] as const
  ) {
    const schedule = Schedule.cosine({ base, steps, final });
    const stride = Math.ceil(steps / 300);
    for (let k = 0; k <= steps; k += stride) {
      assert.equal(at(k, schedule), trueCosine(base, final, k, steps), `${base}, ${steps}, ${final} at ${k}`);
    }
    assert.equal(at(steps, schedule), Math.fround(final));
  }
  fc.assert(
    fc.property(anyRate, anySteps, fc.double({ min: 0, max: 1, noNaN: true }), (base, steps, part) => {
      const k = Math.floor(part * steps);
      assert.equal(at(k, Schedule.cosine({ base, steps })), trueCosine(base, 0, k, steps));
    }),
    { numRuns: 200 * torture },
  );
});

test("cosine: it agrees with Math.cos to float32 accuracy", () => {
  const schedule = Schedule.cosine({ base: 1, steps: 1000, final: 0.01 });
  for (let k = 0; k <= 1000; k++) {
    const expected = 0.01 + 0.99 * (1 + Math.cos(Math.PI * k / 1000)) / 2;
    assert.ok(Math.abs(at(k, schedule) - expected) <= expected * 2 ** -24 + 1e-15, `${k}`);
  }
});

test("same bits: powers are the float32 nearest to the true power", () => {
  for (const factor of [0.99, 0.9, 0.5, 0.999, 1.01]) {
    for (const n of [0, 1, 2, 3, 10, 100, 255, 256, 1000]) {
      const expected = truePower(1e-3, factor, n);
      assert.equal(at(n, Schedule.exponential({ base: 1e-3, factor })), expected, `${factor}^${n}`);
      assert.equal(at(7 * n + 6, Schedule.step({ base: 1e-3, every: 7, factor })), expected);
    }
  }
  const far = at(1_000_000, Schedule.exponential({ base: 1, factor: 1 - 1e-5 }));
  assert.ok(Math.abs(far / Math.pow(1 - 1e-5, 1_000_000) - 1) < 2 ** -23);
});

test("same bits: golden rates, never to be regenerated", () => {
  const golden: readonly (readonly [Schedule.Schedule, readonly number[]])[] = [
    [Schedule.cosine({ base: 1e-3, steps: 285 }), [
      0.0009999696630984545,
      0.0009912465466186404,
      0.0009746694704517722,
      0.000925959728192538,
      0.0008005405543372035,
      0.0007306705811060965,
    ]],
    [Schedule.oneCycle({ peak: 0.1, steps: 100 }), [
      0.004281377885490656,
      0.0648413598537445,
      0.10000000149011612,
      0.07938934862613678,
      0.010908782482147217,
      4.0000000467443897e-7,
    ]],
    [Schedule.exponential({ base: 1e-3, factor: 0.97 }), [
      0.0009699999936856329,
      0.000595826015342027,
      0.00041340934694744647,
      0.00021806536824442446,
      0.00007741509762126952,
      0.00004902320506516844,
    ]],
    [Schedule.linear({ base: 3e-4, final: 1e-5, steps: 90 }), [
      0.0002967777836602181,
      0.0002452222106512636,
      0.00020655555999837816,
      0.00013888889225199819,
      0.000029333334168768488,
      0.000009999999747378752,
    ]],
    [Schedule.warmup(30)(Schedule.cosine({ base: 3e-4, steps: 255 })), [
      0.000009999999747378752,
      0.00016999999934341758,
      0.0002899999963119626,
      0.0002954695373773575,
      0.00026801173225976527,
      0.0002489886828698218,
    ]],
  ];
  for (const [schedule, expected] of golden) {
    const all = rates(100, schedule);
    assert.deepEqual([1, 17, 29, 50, 84, 99].map((k) => all[k]), expected, schedule.kind);
  }
});

test("rate: each kind follows its formula at every step", () => {
  const f = Math.fround;
  assert.deepEqual(rates(3, Schedule.constant({ base: 0.1 })), [f(0.1), f(0.1), f(0.1)]);
  assert.deepEqual(rates(5, Schedule.step({ base: 1, every: 2, factor: 0.5 })), [1, 1, 0.5, 0.5, 0.25]);
  assert.deepEqual(
    rates(6, Schedule.multiStep({ base: 1, milestones: [4, 1, 4], factor: 0.5 })),
    [1, 0.5, 0.5, 0.5, 0.125, 0.125],
  );
  assert.deepEqual(rates(4, Schedule.exponential({ base: 1, factor: 0.5 })), [1, 0.5, 0.25, 0.125]);
  assert.deepEqual(rates(6, Schedule.cosine({ base: 1, steps: 4, final: 0.5 })), [
    1,
    f(0.75 + Math.SQRT2 / 8),
    0.75,
    f(0.75 - Math.SQRT2 / 8),
    0.5,
    0.5,
  ]);
  assert.deepEqual(rates(6, Schedule.linear({ base: 1, steps: 4, final: 3 })), [1, 1.5, 2, 2.5, 3, 3]);
});

test("oneCycle: the rates of PyTorch's own test of a cosine cycle", () => {
  const down = (pct: number) => 0.5 + (25 - 0.5) / 2 * (Math.cos(Math.PI * pct) + 1);
  const expected = [1, 13, 25, ...[1, 2, 3, 4, 5, 6].map((k) => down(k / 7)), 0.5, 0.5, 0.5];
  const found = rates(12, Schedule.oneCycle({ peak: 25, steps: 10, final: 0.5 }));
  for (const [k, rate] of found.entries()) {
    assert.ok(Math.abs(rate - expected[k]!) <= expected[k]! * 2 ** -23, `step ${k}`);
  }
  for (const rise of [0, 0.3, 0.5, 1]) {
    const all = rates(5, Schedule.oneCycle({ peak: 1, steps: 2, rise }));
    assert.ok(all.every((rate) => rate >= 0 && rate <= 1), `${rise}: ${all}`);
  }
});

/** PyTorch's ReduceLROnPlateau with `threshold_mode="rel"` and `eps=0`, written down as it is there, for metrics above 0. */
function reference(args: Required<Parameters<typeof Schedule.plateau>[0]>, metrics: readonly number[]): number[] {
  let [rate, best, bad, cooling] = [args.base, args.mode === "min" ? Infinity : -Infinity, 0, 0];
  return metrics.map((metric) => {
    const better = args.mode === "min" ? metric < best * (1 - args.threshold) : metric > best * (1 + args.threshold);
    if (better) [best, bad] = [metric, 0];
    else bad += 1;
    if (cooling > 0) [cooling, bad] = [cooling - 1, 0];
    if (bad > args.patience) [rate, cooling, bad] = [Math.max(rate * args.factor, args.final), args.cooldown, 0];
    return rate;
  });
}

test("plateau: it reduces where PyTorch's ReduceLROnPlateau does", () => {
  const small = fc.nat({ max: 3 });
  const args = fc.record({
    base: fc.constant(1),
    factor: fc.constant(0.5),
    patience: small,
    threshold: fc.constantFrom(0, 0.25),
    mode: fc.constantFrom("min" as const, "max" as const),
    cooldown: small,
    final: fc.constantFrom(0, 0.125),
  });
  const metric = fc.oneof(fc.integer({ min: 1, max: 12 }), fc.constant(NaN));
  fc.assert(
    fc.property(args, fc.array(metric, { maxLength: 40, size: "max" }), (args, metrics) => {
      let schedule = Schedule.plateau(args);
      const found = metrics.map((metric) => Schedule.rate(schedule = Schedule.next(schedule, metric)));
      assert.deepEqual(found, reference(args, metrics));
    }),
    { numRuns: 300 * torture },
  );
});

test("plateau: improvement is relative to the magnitude of the best, so that negative metrics work", () => {
  const schedule = Schedule.plateau({ base: 1, factor: 0.5, patience: 0, threshold: 0.1 });
  const [better, worse] = [-11.5, -10.5].map((metric) => Schedule.next(Schedule.next(schedule, -10), metric));
  assert.deepEqual([better!, worse!].map(Schedule.rate), [1, 0.5]);
});

test("plateau: it needs its metric, and one that is not finite is no improvement", () => {
  const schedule = Schedule.plateau({ base: 1, factor: 0.5, patience: 0 });
  assert.throws(() => Schedule.next(schedule), { name: "TypeError", message: /metric.*found undefined/ });
  assert.throws(() => Schedule.next(schedule, "1" as unknown as number), TypeError);
  assert.throws(() => Schedule.next(Schedule.sequence([[schedule, 2], [schedule, 1]])), TypeError);
  for (const metric of [NaN, Infinity, -Infinity]) {
    assert.equal(Schedule.rate(Schedule.next(schedule, metric)), 0.5);
    assert.equal(Schedule.rate(Schedule.next(Schedule.next(schedule, metric), 3)), 0.5);
  }
});

test("warmup: a line up to the first rate comes before the schedule", () => {
  const inner = Schedule.linear({ base: 1, steps: 4 });
  assert.deepEqual(rates(10, Schedule.warmup(4)(inner)), [0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.25, 0, 0]);
  assert.deepEqual(rates(3, Schedule.warmup(2, 0.5)(inner)), [0.5, 0.75, 1]);
  assert.deepEqual(after(4, Schedule.warmup(4)(inner)), inner);
  assert.equal(Schedule.warmup(0)(inner), inner);
  assert.throws(() => after(3, Schedule.warmup(2)(Schedule.plateau({ base: 1, factor: 0.5, patience: 0 }))), TypeError);
});

test("sequence: each schedule lasts for its steps, and the last one continues", () => {
  const [a, b] = [Schedule.linear({ base: 1, steps: 4 }), Schedule.exponential({ base: 1, factor: 0.5 })];
  assert.deepEqual(rates(6, Schedule.sequence([[a, 2], [b, 1], [a, 1]])), [1, 0.75, 1, 1, 0.75, 0.5]);
  assert.deepEqual(after(2, Schedule.sequence([[a, 2], [b, 1]])), b);
  assert.equal(Schedule.sequence([[a, 3]]), a);
  const plateau = Schedule.plateau({ base: 1, factor: 0.5, patience: 0 });
  assert.equal(Schedule.rate(after(3, Schedule.sequence([[plateau, 9], [a, 1]]), 7)), 0.25);
  assert.deepEqual(
    rates(12, Schedule.warmup(2)(Schedule.sequence([[a, 2], [b, 2], [a, 1]]))),
    [0, 0.5, ...rates(10, Schedule.sequence([[a, 2], [b, 2], [a, 1]]))],
  );
});

test("H1: next: a rate of 1 - n/10 is 0.9 after one step, and unchanged by an overflow", () => {
  const schedule = Schedule.linear({ base: 1, steps: 10 });
  assert.equal(Schedule.rate(Schedule.next(schedule)), Math.fround(0.9));
  const withOptimizer = (overflow: boolean) => overflow ? schedule : Schedule.next(schedule);
  assert.equal(Schedule.rate(withOptimizer(true)), 1);
  assert.equal(Schedule.rate(after(2, schedule)), Math.fround(0.8));
});

test("H2: next: under accumulation over 1, 2 and 4 batches a line of 20 batches ends at 0, and only there", () => {
  for (const accumulated of [1, 2, 4]) {
    let schedule = Schedule.linear({ base: 1, steps: 20 / accumulated });
    for (let batch = 1; batch <= 20; batch++) {
      assert.notEqual(Schedule.rate(schedule), 0);
      if (batch % accumulated === 0) schedule = Schedule.next(schedule);
    }
    assert.equal(Schedule.rate(schedule), 0);
  }
});

test("S6: codec: steps change the state, and the codec restores the saved one", () => {
  const schedule = Schedule.step({ base: 1e-3, every: 1, factor: 0.99 });
  const saved = JSON.stringify(Schedule.codec.encode(schedule));
  const trained = after(3, schedule);
  assert.notDeepEqual(trained, schedule);
  assert.deepEqual(Schedule.codec.decode(JSON.parse(saved)), E.right(schedule));
});

test("round trip: from every step the decoded schedule continues as the uninterrupted one", () => {
  fc.assert(
    fc.property(tie, fc.nat({ max: 30 }), fc.array(fc.nat({ max: 9 }), { minLength: 8 }), (start, n, metrics) => {
      let schedule = after(n, start, 5);
      assert.ok(Schedule.codec.is(schedule));
      const decoded = Schedule.codec.decode(JSON.parse(JSON.stringify(Schedule.codec.encode(schedule))));
      assert.deepEqual(decoded, E.right(schedule));
      let resumed = E.isRight(decoded) ? decoded.right : start;
      for (const metric of metrics) {
        [schedule, resumed] = [Schedule.next(schedule, metric), Schedule.next(resumed, metric)];
        assert.ok(Object.is(Schedule.rate(resumed), Schedule.rate(schedule)));
        assert.ok(Schedule.rate(schedule) >= 0 && Number.isFinite(Schedule.rate(schedule)));
      }
      assert.deepEqual(resumed, schedule);
    }),
    { numRuns: 300 * torture },
  );
  assert.equal(Schedule.codec.name, "Schedule");
});

function isFrozen(value: unknown): boolean {
  return typeof value !== "object" || value === null ||
    (Object.isFrozen(value) && Object.values(value).every(isFrozen));
}

test("immutable: schedules, their successors and decoded copies are deeply frozen", () => {
  fc.assert(fc.property(tie, fc.nat({ max: 12 }), (schedule, n) => {
    const before = structuredClone(schedule);
    const later = after(n, schedule, 1);
    const decoded = Schedule.codec.decode(structuredClone(later));
    assert.deepEqual(schedule, before);
    assert.ok(isFrozen(schedule) && isFrozen(later) && E.isRight(decoded) && isFrozen(decoded.right));
  }));
  const milestones = [3];
  const schedule = Schedule.multiStep({ base: 1, milestones, factor: 0.5 });
  milestones[0] = 0;
  assert.equal(Schedule.rate(schedule), 1);
});

test("bad input: wrong arguments are a TypeError that names them", () => {
  const base = Schedule.constant({ base: 1 });
  const bad: readonly (readonly [RegExp, () => unknown])[] = [
    [/constant\.base .*found NaN/, () => Schedule.constant({ base: NaN })],
    [/constant\.base .*found -1/, () => Schedule.constant({ base: -1 })],
    [/constant\.base/, () => Schedule.constant({ base: 1e39 })],
    [/cosine\.steps .*found -5/, () => Schedule.cosine({ base: 1, steps: -5 })],
    [/cosine\.steps/, () => Schedule.cosine({ base: 1, steps: 0 })],
    [/cosine\.steps/, () => Schedule.cosine({ base: 1, steps: 1.5 })],
    [/cosine\.final/, () => Schedule.cosine({ base: 1, steps: 5, final: NaN })],
    [/an option of Schedule\.cosine: .*found `step_s`/, () => Schedule.cosine({ base: 1, steps: 5, ...{ step_s: 5 } })],
    [/linear\.steps/, () => Schedule.linear({ base: 1 } as { base: number; steps: number })],
    [/step\.every/, () => Schedule.step({ base: 1, every: 0, factor: 0.5 })],
    [/step\.factor/, () => Schedule.step({ base: 1, every: 1, factor: -0.5 })],
    [/multiStep\.milestones\[1\]/, () => Schedule.multiStep({ base: 1, milestones: [1, 0.5], factor: 0.5 })],
    [/exponential\.factor/, () => Schedule.exponential({ base: 1, factor: Infinity })],
    [/oneCycle\.rise/, () => Schedule.oneCycle({ peak: 1, steps: 10, rise: 30 })],
    [/oneCycle\.steps/, () => Schedule.oneCycle({ peak: 1, steps: 1 })],
    [/oneCycle\.peak/, () => Schedule.oneCycle({ peak: NaN, steps: 10 })],
    [/plateau\.factor/, () => Schedule.plateau({ base: 1, factor: 1, patience: 1 })],
    [/plateau\.patience/, () => Schedule.plateau({ base: 1, factor: 0.5, patience: -1 })],
    [/plateau\.mode/, () => Schedule.plateau({ base: 1, factor: 0.5, patience: 1, mode: "less" as "min" })],
    [/steps/, () => Schedule.warmup(-1)],
    [/steps/, () => Schedule.warmup(0.5)],
    [/from of Schedule\.warmup/, () => Schedule.warmup(1, NaN)(base)],
    [/the steps in parts\[0\] of Schedule\.sequence/, () => Schedule.sequence([[base, 0], [base, 1]])],
    [/at least one/, () => Schedule.sequence([])],
  ];
  for (const [message, build] of bad) assert.throws(build, { name: "TypeError", message }, String(build));
});

test("nothing silent: the codec rejects malformed schedules, with every reason", () => {
  const cosine = Schedule.cosine({ base: 1, steps: 4 });
  const plateau = Schedule.plateau({ base: 1, factor: 0.5, patience: 1 });
  const warmup = Schedule.warmup(3)(cosine);
  const sequence = Schedule.sequence([[cosine, 2], [cosine, 2]]);
  let deep = cosine;
  for (let i = 0; i < 10_000; i++) deep = { ...warmup, then: deep } as Schedule.Schedule;
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /Expected Schedule to be a schedule, found undefined/],
    [{ _tag: "Schedule" }, /Schedule\.kind, found no such field/],
    [{ ...cosine, kind: "toString" }, /Schedule\.kind to be "constant" or .* found "toString"/],
    [{ ...cosine, _tag: "Rng" }, /Schedule\._tag/],
    [{ ...cosine, step: -1 }, /Schedule\.step to be an integer from 0/],
    [{ ...cosine, step: -0 }, /Schedule\.step .*found -0/],
    [{ ...cosine, base: "1" }, /Schedule\.base/],
    [{ ...cosine, extra: 1 }, /no field "extra"/],
    [{ _tag: "Schedule", kind: "cosine", step: 0, base: 1, steps: 4 }, /Schedule\.final, found no such field/],
    [{ ...plateau, best: NaN }, /Schedule\.best/],
    [{ ...plateau, bad: 2 }, /Schedule\.bad to be an integer from 0 to 1, found 2/],
    [{ ...warmup, step: 3 }, /Schedule\.step to be an integer from 0 to 2, found 3/],
    [{ ...warmup, then: { ...cosine, base: NaN } }, /Schedule\.then\.base to be a rate.*found NaN/],
    [{ ...sequence, step: 2 }, /Schedule\.step to be an integer from 0 to 1, found 2/],
    [{ ...sequence, parts: [] }, /Schedule\.parts to be an array of two or more parts, found an array of 0/],
    [{ ...sequence, parts: [{ schedule: cosine, steps: 0 }] }, /Schedule\.parts\[0\]\.steps/],
    [deep, /nested at most/],
  ];
  for (const [value, reason] of refused) {
    assert.ok(!Schedule.codec.is(value), String(reason));
    const decoded = Schedule.codec.decode(value);
    assert.ok(E.isLeft(decoded), String(reason));
    assert.match(decoded.left.map((error) => error.message).join("\n"), reason);
  }
});
