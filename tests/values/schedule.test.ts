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
import * as Schedule from "../../lib/values/schedule/schedule.ts";
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
const anyPower = fc.oneof(fc.constantFrom(0, 0.5, 0.9, 1, 2, 3), fc.double({ min: 0, max: 8, noNaN: true }));
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
    fc.record({ base: anyRate, steps: anySteps, power: anyPower, final: anyRate }).map(Schedule.polynomial),
    fc.record({
      peak: anyRate,
      steps: fc.integer({ min: 2, max: 100 }),
      rise: fc.double({ min: 0, max: 0.5, noNaN: true }),
      anneal: fc.constantFrom("cos" as const, "linear" as const),
      threePhase: fc.boolean(),
    }).map(Schedule.oneCycle),
    fc.record({
      base: anyRate,
      factor: fc.constantFrom(0.1, 0.5),
      patience: fc.nat({ max: 3 }),
      cooldown: fc.nat({ max: 3 }),
      thresholdMode: fc.constantFrom("rel" as const, "abs" as const),
    })
      .map(Schedule.plateau),
    fc.tuple(fc.nat({ max: 20 }), anyRate, tie("tie")).map(([n, from, inner]) => Schedule.warmup(n, from)(inner)),
    fc.array(fc.tuple(tie("tie"), fc.integer({ min: 1, max: 10 })), { minLength: 1, maxLength: 3 }).map(
      Schedule.sequence,
    ),
    fc.array(tie("tie"), { minLength: 1, maxLength: 3 }).map(Schedule.product),
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
    [Schedule.polynomial({ base: 3e-4, steps: 95, power: 0.9, final: 1e-6 }), [
      0.00029716588323935866,
      0.00025138314231298864,
      0.00021643163927365094,
      0.00015361991245299578,
      0.000043951007683062926,
      9.999999974752427e-7,
    ]],
    [Schedule.oneCycle({ peak: 0.1, steps: 100, rise: 0.4, anneal: "linear", threePhase: true }), [
      0.006461538374423981,
      0.04584615305066109,
      0.07538461685180664,
      0.07292307913303375,
      0.0028572571463882923,
      4.0000000467443897e-7,
    ]],
    [
      Schedule.product([
        Schedule.cosine({ base: 0.1, steps: 90, final: 0.01 }),
        Schedule.exponential({ base: 1, factor: 0.98 }),
      ]),
      [
        0.09797313809394836,
        0.06547514349222183,
        0.04388720169663429,
        0.01718364842236042,
        0.0020124518778175116,
        0.0013532608281821012,
      ],
    ],
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

/** PyTorch's OneCycleLR, written down as it is there. */
function oneCycleReference(
  args: Required<Parameters<typeof Schedule.oneCycle>[0]>,
  step: number,
): number {
  const { peak, steps, rise, initial, final, anneal, threePhase } = args;
  const phases = threePhase
    ? [{ end: rise * steps - 1, from: initial, to: peak }, { end: 2 * rise * steps - 2, from: peak, to: initial }, {
      end: steps - 1,
      from: initial,
      to: final,
    }]
    : [{ end: rise * steps - 1, from: initial, to: peak }, { end: steps - 1, from: peak, to: final }];
  let begin = 0;
  for (const [i, { end, from, to }] of phases.entries()) {
    if (step <= end || i === phases.length - 1) {
      const pct = (step - begin) / (end - begin);
      return anneal === "cos" ? to + (from - to) / 2 * (Math.cos(Math.PI * pct) + 1) : (to - from) * pct + from;
    }
    begin = end;
  }
  return NaN;
}

test("oneCycle: the rates of PyTorch's own tests of linear cycles, of two phases and of three", () => {
  const two = Schedule.oneCycle({ peak: 25, steps: 10, final: 0.5, anneal: "linear" });
  assert.deepEqual(rates(11, two), [1, 13, 25, 21.5, 18, 14.5, 11, 7.5, 4, 0.5, 0.5]);
  const three = Schedule.oneCycle({ peak: 25, steps: 10, rise: 0.4, final: 0.25, anneal: "linear", threePhase: true });
  assert.deepEqual(rates(11, three), [1, 9, 17, 25, 17, 9, 1, 0.75, 0.5, 0.25, 0.25]);
});

test("oneCycle: it follows PyTorch's OneCycleLR at every step", () => {
  const args = fc.record({
    peak: anyRate,
    steps: fc.integer({ min: 2, max: 200 }),
    rise: fc.double({ min: 0, max: 0.5, noNaN: true }),
    initial: anyRate,
    final: anyRate,
    anneal: fc.constantFrom("cos" as const, "linear" as const),
    threePhase: fc.boolean(),
  });
  fc.assert(
    fc.property(args, fc.nat(), (args, n) => {
      const step = n % args.steps;
      // A peak at the first step itself is a division by zero there.
      fc.pre(args.rise * args.steps !== 1);
      const reference = oneCycleReference(args, step);
      const scale = Math.max(args.peak, args.initial, args.final);
      assert.ok(Math.abs(at(step, Schedule.oneCycle(args)) - reference) <= scale * 2 ** -22, `${reference}`);
    }),
    { numRuns: 300 * torture },
  );
  for (const threePhase of [false, true]) {
    const all = rates(3, Schedule.oneCycle({ peak: 1, steps: 2, rise: 0.5, threePhase, anneal: "linear" }));
    assert.ok(all.every((rate) => rate >= 0 && rate <= 1), `${all}`);
  }
});

test("polynomial: the rates of PyTorch's PolynomialLR, computed by hand", () => {
  const f = Math.fround;
  assert.deepEqual(
    rates(6, Schedule.polynomial({ base: 0.001, steps: 4 })),
    [f(0.001), f(0.00075), f(0.0005), f(0.00025), 0, 0],
  );
  assert.deepEqual(
    rates(6, Schedule.polynomial({ base: 1, steps: 4, power: 2 })),
    [1, 0.5625, 0.25, 0.0625, 0, 0],
  );
  assert.deepEqual(
    rates(5, Schedule.polynomial({ base: 2, steps: 4, power: 0.5, final: 1 })),
    [2, f(1 + Math.sqrt(3) / 2), f(1 + Math.SQRT1_2), 1.5, 1],
  );
});

test("same bits: a polynomial is the float32 nearest to the true one, for each whole power and half", () => {
  fc.assert(
    fc.property(anyRate, anySteps, fc.nat({ max: 6 }), fc.boolean(), fc.nat(), (base, steps, whole, half, n) => {
      const k = n % (steps + 1);
      const x = (BigInt(steps - k) << bits) / BigInt(steps);
      let weight = one;
      for (let i = 0; i < whole; i++) weight = (weight * x) >> bits;
      if (half) weight = (weight * squareRoot(x << bits)) >> bits;
      const found = at(k, Schedule.polynomial({ base, steps, power: whole + (half ? 0.5 : 0) }));
      assert.equal(found, nearest((fixed(base) * weight) >> bits));
    }),
    { numRuns: 200 * torture },
  );
});

/** The whole part of the square root, by Newton's method from above. */
function squareRoot(x: bigint): bigint {
  if (x === 0n) return x;
  let root = 1n << BigInt(Math.ceil(x.toString(2).length / 2));
  for (let next = (root + x / root) >> 1n; next < root; next = (root + x / root) >> 1n) root = next;
  return root;
}

test("polynomial: it agrees with Math.pow to float32 accuracy", () => {
  fc.assert(
    fc.property(anyRate, anySteps, anyPower, fc.nat(), (base, steps, power, n) => {
      const k = n % (steps + 1);
      const expected = base * Math.pow((steps - k) / steps, power);
      const found = at(k, Schedule.polynomial({ base, steps, power }));
      assert.ok(Math.abs(found - expected) <= expected * 2 ** -23 + 2 ** -149, `${found}, ${expected}`);
    }),
    { numRuns: 200 * torture },
  );
});

/** PyTorch's ReduceLROnPlateau with `eps=0`, written down as it is there, for metrics above 0. */
function reference(args: Required<Parameters<typeof Schedule.plateau>[0]>, metrics: readonly number[]): number[] {
  let [rate, best, bad, cooling] = [args.base, args.mode === "min" ? Infinity : -Infinity, 0, 0];
  const { mode, threshold, thresholdMode } = args;
  const isBetter = (metric: number): boolean => {
    if (thresholdMode === "rel") {
      return mode === "min" ? metric < best * (1 - threshold) : metric > best * (1 + threshold);
    }
    return mode === "min" ? metric < best - threshold : metric > best + threshold;
  };
  return metrics.map((metric) => {
    if (isBetter(metric)) [best, bad] = [metric, 0];
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
    threshold: fc.constantFrom(0, 0.25, 0.75),
    thresholdMode: fc.constantFrom("rel" as const, "abs" as const),
    mode: fc.constantFrom("min" as const, "max" as const),
    cooldown: small,
    final: fc.constantFrom(0, 0.125),
  });
  const metric = fc.oneof(fc.integer({ min: 1, max: 12 }).map((n) => n / 2), fc.constant(NaN));
  fc.assert(
    fc.property(args, fc.array(metric, { maxLength: 40, size: "max" }), (args, metrics) => {
      let schedule = Schedule.plateau(args);
      const found = metrics.map((metric) => Schedule.rate(schedule = Schedule.next(schedule, metric)));
      assert.deepEqual(found, reference(args, metrics));
    }),
    { numRuns: 300 * torture },
  );
});

test("plateau: an absolute threshold is the same margin for every best", () => {
  const schedule = Schedule.plateau({ base: 1, factor: 0.5, patience: 0, threshold: 0.1, thresholdMode: "abs" });
  for (
    const [best, metric, rate] of [[100, 99.875, 1], [100, 99.9375, 0.5], [-100, -100.125, 1], [0, -0.125, 1]] as const
  ) {
    assert.equal(Schedule.rate(Schedule.next(Schedule.next(schedule, best), metric)), rate, `${best}, ${metric}`);
  }
});

test("product: its rate is the product of the rates, and a step moves every factor on", () => {
  const [a, b] = [Schedule.linear({ base: 1, steps: 4 }), Schedule.exponential({ base: 0.5, factor: 0.5 })];
  assert.deepEqual(rates(5, Schedule.product([a, b])), [0.5, 0.75 / 4, 0.5 / 8, 0.25 / 16, 0]);
  assert.equal(Schedule.product([a]), a);
  const plateau = Schedule.plateau({ base: 1, factor: 0.5, patience: 0 });
  assert.equal(Schedule.rate(after(2, Schedule.product([a, plateau, b]), 7)), 0.5 * 0.5 * 0.125);
  assert.throws(() => Schedule.next(Schedule.product([a, plateau])), { name: "TypeError", message: /metric/ });
  const warmed = Schedule.product([Schedule.warmup(2)(a), Schedule.sequence([[b, 1], [a, 3]])]);
  assert.deepEqual(after(2, warmed), { ...Schedule.product([a, Schedule.next(a)]), step: 2 });
  fc.assert(fc.property(fc.array(tie, { minLength: 2, maxLength: 4 }), fc.nat({ max: 20 }), (factors, n) => {
    const exact = factors.map((factor) => Schedule.rate(after(n, factor, 5))).reduce((x, y) => x * y, 1);
    const found = Schedule.rate(after(n, Schedule.product(factors), 5));
    assert.ok(Math.abs(found - exact) <= Math.abs(exact) * 2 ** -20 + 2 ** -120, `${found}, ${exact}`);
  }));
});

test("round trip: schedules saved before a field existed equal those with its default, which is not saved", () => {
  const oneCycle = {
    ...{ _tag: "Schedule", kind: "oneCycle", step: 3 },
    peak: 1,
    steps: 9,
    rise: 0.3,
    initial: 0.5,
    final: 0,
  };
  const plateau = {
    ...{ _tag: "Schedule", kind: "plateau", step: 0, base: 1, factor: 0.5, patience: 1, threshold: 1e-4, mode: "min" },
    ...{ cooldown: 0, final: 0, reductions: 0, best: null, bad: 0, cooling: 0 },
  };
  assert.deepEqual(Schedule.codec.decode(oneCycle), E.right(oneCycle));
  assert.deepEqual(Schedule.codec.decode({ ...oneCycle, anneal: "cos", threePhase: false }), E.right(oneCycle));
  assert.deepEqual(
    after(3, Schedule.oneCycle({ peak: 1, steps: 9, initial: 0.5, final: 0, anneal: "cos", threePhase: false })),
    oneCycle,
  );
  assert.deepEqual(Schedule.codec.decode(plateau), E.right(plateau));
  assert.deepEqual(Schedule.plateau({ base: 1, factor: 0.5, patience: 1, thresholdMode: "rel" }), plateau);
  const linear = Schedule.oneCycle({ peak: 1, steps: 9, anneal: "linear", threePhase: true });
  assert.deepEqual(Schedule.codec.decode(JSON.parse(JSON.stringify(linear))), E.right(linear));
  assert.deepEqual(Object.keys(linear).slice(-2), ["anneal", "threePhase"]);
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
    [
      /oneCycle\.rise to be a fraction from 0 to 0\.5/,
      () => Schedule.oneCycle({ peak: 1, steps: 9, rise: 0.6, threePhase: true }),
    ],
    [
      /oneCycle\.anneal to be "cos" or "linear"/,
      () => Schedule.oneCycle({ peak: 1, steps: 9, anneal: "line" as "cos" }),
    ],
    [/polynomial\.power .*found -1/, () => Schedule.polynomial({ base: 1, steps: 9, power: -1 })],
    [/polynomial\.steps/, () => Schedule.polynomial({ base: 1, steps: 0 })],
    [
      /plateau\.thresholdMode to be "rel" or "abs"/,
      () => Schedule.plateau({ base: 1, factor: 0.5, patience: 1, thresholdMode: "absolute" as "abs" }),
    ],
    [/at least one schedule/, () => Schedule.product([])],
    [/schedules\[1\] of Schedule\.product/, () => Schedule.product([base, 1 as unknown as Schedule.Schedule])],
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
  const product = Schedule.product([cosine, plateau]);
  const oneCycle = Schedule.oneCycle({ peak: 1, steps: 9, threePhase: true });
  let deep = cosine;
  for (let i = 0; i < 10_000; i++) deep = { ...warmup, then: deep } as Schedule.Schedule;
  const refused: readonly (readonly [unknown, RegExp])[] = [
    [undefined, /Expected Schedule to be a schedule, found undefined/],
    [{ _tag: "Schedule" }, /Schedule\.kind to be .+, found no such field/],
    [{ ...cosine, kind: "toString" }, /Schedule\.kind to be "constant" or .* found "toString"/],
    [{ ...cosine, _tag: "Rng" }, /Schedule\._tag/],
    [{ ...cosine, step: -1 }, /Schedule\.step to be an integer from 0/],
    [{ ...cosine, step: -0 }, /Schedule\.step .*found -0/],
    [{ ...cosine, base: "1" }, /Schedule\.base/],
    [{ ...cosine, extra: 1 }, /no field "extra"/],
    [{ _tag: "Schedule", kind: "cosine", step: 0, base: 1, steps: 4 }, /Schedule\.final to be .+, found no such field/],
    [{ ...plateau, best: NaN }, /Schedule\.best/],
    [{ ...plateau, bad: 2 }, /Schedule\.bad to be an integer from 0 to 1, found 2/],
    [{ ...warmup, step: 3 }, /Schedule\.step to be an integer from 0 to 2, found 3/],
    [{ ...warmup, then: { ...cosine, base: NaN } }, /Schedule\.then\.base to be a rate.*found NaN/],
    [{ ...sequence, step: 2 }, /Schedule\.step to be an integer from 0 to 1, found 2/],
    [{ ...sequence, parts: [] }, /Schedule\.parts to be an array of two or more parts, found an array of 0/],
    [{ ...sequence, parts: [{ schedule: cosine, steps: 0 }] }, /Schedule\.parts\[0\]\.steps/],
    [
      { ...product, factors: [cosine] },
      /Schedule\.factors to be an array of two or more schedules, found an array of 1/,
    ],
    [{ ...product, factors: [cosine, { ...cosine, base: -1 }] }, /Schedule\.factors\[1\]\.base/],
    [{ ...oneCycle, threePhase: 1 }, /Schedule\.threePhase to be a boolean/],
    [{ ...oneCycle, rise: 0.75 }, /Schedule\.rise to be a fraction from 0 to 0\.5/],
    [deep, /nested at most/],
  ];
  for (const [value, reason] of refused) {
    assert.ok(!Schedule.codec.is(value), String(reason));
    const decoded = Schedule.codec.decode(value);
    assert.ok(E.isLeft(decoded), String(reason));
    assert.match(decoded.left.map((error) => error.message).join("\n"), reason);
  }
});

const largestRate = new Float32Array(Uint32Array.of(0x7f7fffff).buffer)[0]!;

test("rate: a finite number from 0 for every schedule that the codec accepts, however extreme its parameters are", () => {
  const extreme = fc.oneof(
    fc.constantFrom(0, Number.MIN_VALUE, 1e-300, 1e-38, 1, 1 + 2 ** -52, 1e30, largestRate),
    fc.double({ min: 0, max: largestRate, noNaN: true }),
  );
  const factor = fc.oneof(extreme, fc.constantFrom(1e200, Number.MAX_VALUE));
  const most = fc.constantFrom(1, 2, 3, 1000, 2 ** 31, Number.MAX_SAFE_INTEGER);
  const step = fc.oneof(fc.constant(0), fc.nat(5), most);
  const fraction = fc.oneof(
    fc.constantFrom(0, Number.MIN_VALUE, 1 / 3, 0.5),
    fc.double({ min: 0, max: 0.5, noNaN: true }),
  );
  const [base, final, steps] = [extreme, extreme, most];
  const of = <F extends object>(kind: string, fields: F): fc.Arbitrary<unknown> =>
    fc.record({ _tag: fc.constant("Schedule"), kind: fc.constant(kind), step, ...fields } as never);
  const begun = { step: fc.constant(0) };
  const { any } = fc.letrec<{ any: unknown }>((tie) => ({
    any: fc.oneof(
      { maxDepth: 4, depthSize: "medium" },
      of("constant", { base }),
      of("step", { base, every: most, factor }),
      of("multiStep", { base, milestones: fc.array(step), factor }),
      of("exponential", { base, factor }),
      of("cosine", { base, final, steps }),
      of("linear", { base, final, steps }),
      of("polynomial", { base, final, steps, power: factor }),
      of("oneCycle", {
        peak: extreme,
        steps: most.filter((n) => n > 1),
        rise: fraction,
        initial: extreme,
        final,
        anneal: fc.constantFrom("cos", "linear"),
        threePhase: fc.boolean(),
      }),
      of("plateau", {
        base,
        final,
        factor: fraction,
        patience: most,
        threshold: factor,
        mode: fc.constant("min"),
        cooldown: most,
        reductions: step,
        best: fc.constant(null),
        bad: fc.constant(1),
        cooling: fc.constant(0),
      }),
      of("warmup", { steps, from: extreme, then: tie("any"), ...begun }),
      of("sequence", {
        parts: fc.array(fc.record({ schedule: tie("any"), steps }), { minLength: 2, maxLength: 3 }),
        ...begun,
      }),
      of("product", { factors: fc.array(tie("any"), { minLength: 2, maxLength: 12 }) }),
    ),
  }));
  fc.assert(
    fc.property(any, (plain) => {
      const decoded = Schedule.codec.decode(plain);
      assert.ok(E.isRight(decoded), JSON.stringify(plain));
      for (const schedule of [decoded.right, Schedule.next(decoded.right, 1)]) {
        const rate = Schedule.rate(schedule);
        assert.ok(rate >= 0 && rate <= largestRate && Math.fround(rate) === rate, `${rate}`);
      }
    }),
    { numRuns: 1000 * torture },
  );
  const [zero, huge] = [Schedule.constant({ base: 0 }), Schedule.exponential({ base: largestRate, factor: 1e200 })];
  const grown = after(9, huge);
  assert.equal(Schedule.rate(grown), largestRate);
  assert.equal(Schedule.rate(Schedule.product([grown, zero])), 0);
  assert.equal(Schedule.rate(Schedule.product([grown, grown, grown, zero])), 0);
  assert.equal(Schedule.rate(Schedule.warmup(5)(grown)), 0);
  // A product is bounded only after its last factor: what fits in a number keeps its value.
  const small = Schedule.constant({ base: 1e-200 });
  assert.equal(
    Schedule.rate(
      Schedule.product([
        Schedule.constant({ base: 1 }),
        after(1, Schedule.exponential({ base: 1, factor: 1e200 })),
        small,
      ]),
    ),
    1,
  );
});
