import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as Retention from "../../lib/store/retention.ts";
import { torture } from "../support/torture.ts";

const runs = { numRuns: 200 * torture };

function entry(checkpoint: number, rest: Partial<Retention.Entry> = {}): Retention.Entry {
  return { checkpoint, step: checkpoint * 10, metrics: {}, time: checkpoint * 1000, bytes: 1, run: "a", ...rest };
}

const anyCatalogue: fc.Arbitrary<readonly Retention.Entry[]> = fc.uniqueArray(
  fc.record({
    checkpoint: fc.oneof(fc.nat({ max: 30 }), fc.maxSafeNat()),
    step: fc.option(fc.nat({ max: 100 })),
    metrics: fc.dictionary(
      fc.constantFrom("loss", "accuracy", "constructor"),
      fc.constantFrom(0, -0, 1, 2, 3, NaN, Infinity, -Infinity),
      { noNullPrototype: false },
    ),
    // Many are equal, and few are in the order of the numbers.
    time: fc.oneof(fc.nat({ max: 20 }).map((minutes) => minutes * 60_000), fc.nat()),
    bytes: fc.nat(),
    run: fc.constantFrom("a", "b"),
  }),
  { selector: ({ checkpoint }) => checkpoint, maxLength: 20 },
);

const anyCount = fc.integer({ min: 1, max: 12 });
const anyMode = fc.constantFrom("min" as const, "max" as const);
const anyMetric = fc.constantFrom("loss", "accuracy", "constructor", "missing");
const own: Retention.Retention = (catalogue) => ({
  keep: catalogue.filter(({ bytes }) => bytes % 2 === 0).map(({ checkpoint }) => checkpoint),
  remove: [],
});
const anySpan = fc.constantFrom<Retention.Span>("1s", "90s", "3m", "0.25h", "1d", "2w");
const anyTime = fc.oneof(fc.nat({ max: 2_000_000 }), fc.nat(), fc.integer({ min: -1_000_000, max: 0 }));
const simple: fc.Arbitrary<Retention.Retention> = fc.oneof(
  anyCount.map(Retention.latest),
  fc.tuple(anyCount, anyMetric, anyMode, fc.boolean()).map(([n, metric, mode, keepUnmeasured]) =>
    Retention.best(n, metric, mode, { keepUnmeasured })
  ),
  anyCount.map(Retention.every),
  fc.array(fc.nat({ max: 100 }), { maxLength: 4 }).map(Retention.steps),
  anySpan.map(Retention.within),
  anySpan.map(Retention.onePer),
);
const { policy: anyPolicy } = fc.letrec<{ policy: Retention.Retention }>((tie) => ({
  policy: fc.oneof(
    { maxDepth: 2 },
    simple,
    fc.array(tie("policy"), { maxLength: 3 }).map((policies) => Retention.any(...policies, own)),
    fc.array(tie("policy"), { maxLength: 3 }).map((policies) => Retention.all(...policies)),
  ),
}));

function includes(larger: readonly number[], smaller: readonly number[]): boolean {
  return smaller.every((n) => larger.includes(n));
}

test("partition: every checkpoint is kept or removed, once, in ascending order", () => {
  fc.assert(
    fc.property(anyCatalogue, anyPolicy, anyTime, (catalogue, policy, now) => {
      const { keep, remove } = policy(catalogue, now);
      const ascending = (list: readonly number[]) => list.every((n, i) => i === 0 || list[i - 1]! < n);
      assert.ok(ascending(keep) && ascending(remove));
      assert.deepEqual(
        [...keep, ...remove].sort((a, b) => a - b),
        catalogue.map((e) => e.checkpoint).sort((a, b) => a - b),
      );
    }),
    runs,
  );
});

test("newest: every policy keeps the newest checkpoint", () => {
  fc.assert(
    fc.property(anyCatalogue, anyPolicy, anyTime, (catalogue, policy, now) => {
      const { keep } = policy(catalogue, now);
      assert.equal(keep.at(-1), catalogue.length === 0 ? undefined : Math.max(...catalogue.map((e) => e.checkpoint)));
    }),
    runs,
  );
});

test("pure: a decision depends neither on the order of the catalogue nor on other calls", () => {
  fc.assert(
    fc.property(
      anyCatalogue.chain((catalogue) =>
        fc.tuple(
          fc.constant(catalogue),
          fc.shuffledSubarray([...catalogue], { minLength: catalogue.length, maxLength: catalogue.length }),
        )
      ),
      anyPolicy,
      ([catalogue, shuffled], policy) => {
        const decision = policy(Object.freeze(catalogue), 0);
        assert.deepEqual(policy(shuffled, 0), decision);
        assert.deepEqual(policy(catalogue, 0), decision);
      },
    ),
    runs,
  );
});

test("monotone: latest, best and every keep more for a larger n, or a smaller interval", () => {
  fc.assert(
    fc.property(anyCatalogue, anyCount, anyMetric, anyMode, (catalogue, n, metric, mode) => {
      const keep = (policy: Retention.Retention) => policy(catalogue, 0).keep;
      assert.ok(includes(keep(Retention.latest(n + 1)), keep(Retention.latest(n))));
      assert.ok(includes(keep(Retention.best(n + 1, metric, mode)), keep(Retention.best(n, metric, mode))));
      assert.ok(includes(keep(Retention.every(n)), keep(Retention.every(2 * n))));
    }),
    runs,
  );
});

test("any keeps the union, all the intersection and the newest; with one policy they equal that policy", () => {
  fc.assert(
    fc.property(anyCatalogue, anyPolicy, anyPolicy, anyTime, (catalogue, p, q, now) => {
      const keep = (policy: Retention.Retention) => policy(catalogue, now).keep;
      const numbers = catalogue.map((e) => e.checkpoint).sort((a, b) => a - b);
      assert.deepEqual(keep(Retention.any(p, q)), numbers.filter((n) => keep(p).includes(n) || keep(q).includes(n)));
      assert.deepEqual(keep(Retention.all(p, q)), numbers.filter((n) => keep(p).includes(n) && keep(q).includes(n)));
      assert.deepEqual([keep(Retention.any(p)), keep(Retention.all(p))], [keep(p), keep(p)]);
      assert.deepEqual([keep(Retention.any()), keep(Retention.all())], [numbers.slice(-1), numbers]);
    }),
    runs,
  );
});

test("stable: a second application to the kept checkpoints removes nothing", () => {
  fc.assert(
    fc.property(anyCatalogue, fc.array(simple, { minLength: 1, maxLength: 3 }), anyTime, (catalogue, policies, now) => {
      const policy = Retention.any(...policies);
      const { keep } = policy(catalogue, now);
      const again = policy(catalogue.filter((e) => keep.includes(e.checkpoint)), now);
      assert.deepEqual([again.keep, again.remove], [keep, []]);
    }),
    runs,
  );
});

test("a custom policy receives the catalogue and the time, and cannot keep a checkpoint that does not exist", () => {
  const hour: Retention.Retention = (catalogue, now) => ({
    keep: [999, ...catalogue.filter(({ time }) => now - time < 3_600_000).map(({ checkpoint }) => checkpoint)],
    remove: [],
  });
  const catalogue = [0, 1, 2, 3].map((n) => entry(n, { time: n * 1_800_000 }));
  assert.deepEqual(Retention.any(hour)(catalogue, 5_400_000), { keep: [2, 3], remove: [0, 1] });
  assert.deepEqual(Retention.all(hour)(catalogue, 5_400_000), { keep: [2, 3], remove: [0, 1] });
});

test("latest(2): of the checkpoints 0 to 10 it keeps 9 and 10, in the order of numbers, not of names", () => {
  let catalogue: readonly Retention.Entry[] = [];
  for (let n = 0; n < 11; n++) {
    catalogue = [...catalogue, entry(n)];
    const { keep, remove } = Retention.latest(2)(catalogue, 0);
    assert.deepEqual(remove, n < 2 ? [] : [n - 2]);
    catalogue = catalogue.filter(({ checkpoint }) => keep.includes(checkpoint));
  }
  assert.deepEqual(catalogue.map(({ checkpoint }) => checkpoint), [9, 10]);
  const all = Array.from({ length: 11 }, (_, n) => entry(n)).sort((a, b) =>
    `${a.checkpoint}` < `${b.checkpoint}` ? -1 : 1
  );
  assert.deepEqual(Retention.latest(2)(all, 0).keep, [9, 10]);
});

test("best: keeps the lowest or highest values, prefers the newer of equal ones, ignores missing values and NaN", () => {
  const losses = [3, 1, NaN, 1, 2, undefined, -Infinity, Infinity, 5];
  const catalogue = losses.map((loss, n) => entry(n, { metrics: loss === undefined ? {} : { loss } }));
  const keep = (n: number, mode: "min" | "max") => Retention.best(n, "loss", mode)(catalogue, 0).keep;
  assert.deepEqual(keep(1, "min"), [6, 8]);
  assert.deepEqual(keep(2, "min"), [3, 6, 8]);
  assert.deepEqual(keep(3, "min"), [1, 3, 6, 8]);
  assert.deepEqual(keep(1, "max"), [7, 8]);
  assert.deepEqual(keep(3, "max"), [0, 7, 8]);
  assert.deepEqual(keep(99, "max"), [0, 1, 3, 4, 6, 7, 8]);
});

test("best: an unknown metric removes nothing, and the decision lists it", () => {
  const saved = [0.9, 0.1, 0.5, 0.7].map((valLoss, n) => entry(n, { metrics: { valLoss } }));
  for (const metric of ["val_loss", "toString", "__proto__", " "]) {
    const typo = Retention.best(1, metric, "min");
    const everything = { keep: [0, 1, 2, 3], remove: [], unknownMetrics: [metric] };
    assert.deepEqual(typo(saved, 0), everything);
    assert.deepEqual(Retention.any(Retention.latest(1), typo)(saved, 0), everything);
    assert.deepEqual(Retention.all(typo, Retention.any(typo, Retention.every(20)))(saved, 0), everything);
    // The other policy keeps only the newest two, so the rest is removed for any values of the metric.
    assert.deepEqual(Retention.all(Retention.latest(2), typo)(saved, 0), {
      keep: [2, 3],
      remove: [0, 1],
      unknownMetrics: [metric],
    });
  }
  // If all values are NaN, nothing is removed.
  const diverged = saved.map((e) => ({ ...e, metrics: { valLoss: NaN } }));
  const nan = Retention.best(1, "valLoss", "min");
  const all = { keep: [0, 1, 2, 3], remove: [] };
  assert.deepEqual(nan(diverged, 0), { ...all, nanMetrics: ["valLoss"] });
  assert.deepEqual(nan([...diverged.slice(1), entry(0, {})], 0), { ...all, nanMetrics: ["valLoss"] });
  const both = Retention.any(nan, Retention.all(nan, Retention.best(1, "los", "max")));
  assert.deepEqual(both(diverged, 0), { ...all, unknownMetrics: ["los"], nanMetrics: ["valLoss"] });
  assert.deepEqual(Retention.best(1, "val_loss", "min")([], 0), { keep: [], remove: [] });
  const one = saved.map((e) => e.checkpoint === 2 ? { ...e, metrics: { val_loss: 1 } } : e);
  assert.deepEqual(Retention.best(1, "val_loss", "min")(one, 0), { keep: [2, 3], remove: [0, 1] });
});

test("any, all: with an unknown metric, only what would be removed for all of its values is removed", () => {
  fc.assert(
    fc.property(
      anyCatalogue,
      anyPolicy,
      fc.infiniteStream(fc.constantFrom(0, 1, 2, NaN)),
      (catalogue, policy, values) => {
        const { remove, unknownMetrics = [], nanMetrics = [] } = policy(catalogue, 0);
        const names = [...unknownMetrics, ...nanMetrics];
        const metrics = () => Object.fromEntries(names.map((name) => [name, values.next().value ?? 0]));
        const known = catalogue.map((e) => ({ ...e, metrics: { ...e.metrics, ...metrics() } }));
        assert.ok(includes(policy(known, 0).remove, remove));
      },
    ),
    runs,
  );
});

test("every: keeps steps that are multiples of n, including 0; a checkpoint without a step is not kept", () => {
  const steps = [0, 50, 100, null, 150, 200, 201];
  const catalogue = steps.map((step, n) => entry(n, { step }));
  assert.deepEqual(Retention.every(100)(catalogue, 0), { keep: [0, 2, 5, 6], remove: [1, 3, 4] });
});

test("best, keepUnmeasured: keeps those without the metric, too; NaN was measured; an unknown metric stays unknown", () => {
  const losses = [undefined, 3, NaN, 1, undefined, 2];
  const catalogue = losses.map((loss, n) => entry(n, { metrics: loss === undefined ? {} : { loss } }));
  const keep = (options?: Retention.BestOptions) => Retention.best(1, "loss", "min", options)(catalogue, 0).keep;
  assert.deepEqual(keep({ keepUnmeasured: true }), [0, 3, 4, 5]);
  assert.deepEqual([keep(), keep({}), keep({ keepUnmeasured: false })], [[3, 5], [3, 5], [3, 5]]);
  assert.deepEqual(Retention.best(1, "los", "min", { keepUnmeasured: true })(catalogue, 0).unknownMetrics, ["los"]);
});

test("steps: keeps every checkpoint with one of the steps; a step that no checkpoint has keeps nothing", () => {
  const catalogue = [1000, 1500, null, 1000, 5000, 0].map((step, n) => entry(n, { step }));
  assert.deepEqual(Retention.steps([5000, 1000, 7])(catalogue, 0), { keep: [0, 3, 4, 5], remove: [1, 2] });
  assert.deepEqual(Retention.steps([])(catalogue, 0).keep, [5]);
  const pinned = [1000];
  const policy = Retention.steps(pinned);
  pinned.pop();
  assert.deepEqual(policy(catalogue, 0).keep, [0, 3, 5]);
});

test("within: keeps what was saved at most so long ago, and what comes from the future of a clock that was set back", () => {
  const [second, day] = [1000, 86_400_000];
  const catalogue = [0, 2 * day, 9 * day, 3 * day].map((time, n) => entry(n, { time }));
  const keep = (span: Retention.Span, now: number) => Retention.within(span)(catalogue, now).keep;
  assert.deepEqual(keep("1d", 3 * day), [1, 2, 3]);
  // To the millisecond.
  assert.deepEqual([keep("1d", 3 * day + 1), keep("86401s", 3 * day + second)], [[2, 3], [1, 2, 3]]);
  assert.deepEqual(keep("2w", 10 * day), [0, 1, 2, 3]);
  assert.deepEqual(keep("1.5h", 1000 * day), [3]);
  assert.deepEqual([keep("0.5m", -day), keep("0.5m", 0)], [[0, 1, 2, 3], [0, 1, 2, 3]]);
});

test("within: as time passes it keeps less and never more, also combined; a clock that runs backwards keeps more", () => {
  const spans: fc.Arbitrary<Retention.Retention> = fc.oneof(anySpan.map(Retention.within), simple);
  fc.assert(
    fc.property(anyCatalogue, fc.array(spans, { minLength: 1, maxLength: 3 }), anyTime, anyTime, (all, some, a, b) => {
      const [earlier, later] = [Math.min(a, b), Math.max(a, b)];
      for (const policy of [Retention.any(...some), Retention.all(...some)]) {
        assert.ok(includes(policy(all, earlier).keep, policy(all, later).keep));
      }
    }),
    runs,
  );
});

test("onePer: keeps exactly one of each interval that has any, the one with the highest number", () => {
  const ms = { "1s": 1000, "90s": 90_000, "3m": 180_000, "1h": 3_600_000 };
  const span = fc.constantFrom(...Object.keys(ms) as (keyof typeof ms)[]);
  fc.assert(
    fc.property(anyCatalogue, span, anyTime, (catalogue, span, now) => {
      const intervalOf = ({ time }: Retention.Entry) => Math.floor(time / ms[span]);
      const intervals = [...new Set(catalogue.map(intervalOf))];
      const newest = intervals.map((interval) =>
        Math.max(...catalogue.filter((e) => intervalOf(e) === interval).map((e) => e.checkpoint))
      );
      assert.deepEqual(Retention.onePer(span)(catalogue, now).keep, newest.sort((a, b) => a - b));
    }),
    runs,
  );
});

test("onePer: applied after every save, it keeps what it keeps when it is applied once in the end", () => {
  fc.assert(
    fc.property(anyCatalogue, anySpan, (catalogue, span) => {
      const policy = Retention.onePer(span);
      const saves = [...catalogue].sort((a, b) => a.checkpoint - b.checkpoint);
      const kept = saves.reduce<readonly Retention.Entry[]>((held, saved) => {
        const { keep } = policy([...held, saved], saved.time);
        return [...held, saved].filter((e) => keep.includes(e.checkpoint));
      }, []);
      assert.deepEqual(kept.map((e) => e.checkpoint), policy(catalogue, 0).keep);
    }),
    runs,
  );
});

test("within, onePer: a span is a number above 0 and its unit; anything else is a TypeError that shows how", () => {
  for (
    const bad of [
      "7",
      "d",
      "7 days",
      "7D",
      "-1d",
      "0s",
      "0.0001s",
      "1e3s",
      "",
      " 7d",
      "7d\n",
      "99999999999999w",
      7,
      null,
    ]
  ) {
    for (const build of [Retention.within, Retention.onePer]) {
      const message = /^Expected span of Retention\.\w+ to be a span of time such as 90s, 30m, 12h, 7d or 2w, found /;
      assert.throws(() => build(bad as Retention.Span), { name: "TypeError", message }, String(bad));
    }
  }
});

test("scale: a decision on 100,000 checkpoints takes less than 5 seconds", () => {
  const catalogue = Array.from({ length: 100_000 }, (_, n) => entry(n, { metrics: { loss: (n * 7919) % 100_003 } }));
  const policy = Retention.any(Retention.latest(3), Retention.best(3, "loss", "min"), Retention.every(500_000));
  const started = performance.now();
  const { keep, remove } = policy(catalogue, 0);
  assert.equal(keep.length + remove.length, 100_000);
  assert.ok(keep.length <= 8);
  assert.ok(performance.now() - started < 5000);
});

test("bad arguments are a TypeError that names them", () => {
  for (const bad of [0, -1, 1.5, NaN, Infinity, "2" as unknown as number]) {
    for (const build of [Retention.latest, Retention.every, (n: number) => Retention.best(n, "loss", "min")]) {
      assert.throws(() => build(bad), {
        name: "TypeError",
        message: /^Expected n of Retention.\w+ to be an integer from 1/,
      });
    }
  }
  assert.throws(() => Retention.best(1, "loss", "least" as "min"), { name: "TypeError", message: /mode/ });
  assert.throws(() => Retention.best(1, undefined as unknown as string, "min"), {
    name: "TypeError",
    message: /metric/,
  });
});
