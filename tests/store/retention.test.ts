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
    time: fc.nat(),
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
const simple: fc.Arbitrary<Retention.Retention> = fc.oneof(
  anyCount.map(Retention.latest),
  fc.tuple(anyCount, anyMetric, anyMode).map(([n, metric, mode]) => Retention.best(n, metric, mode)),
  anyCount.map(Retention.every),
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
    fc.property(anyCatalogue, anyPolicy, (catalogue, policy) => {
      const { keep, remove } = policy(catalogue, 0);
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
    fc.property(anyCatalogue, anyPolicy, (catalogue, policy) => {
      const { keep } = policy(catalogue, 0);
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
    fc.property(anyCatalogue, anyPolicy, anyPolicy, (catalogue, p, q) => {
      const keep = (policy: Retention.Retention) => policy(catalogue, 0).keep;
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
    fc.property(anyCatalogue, fc.array(simple, { minLength: 1, maxLength: 3 }), (catalogue, policies) => {
      const policy = Retention.any(...policies);
      const { keep } = policy(catalogue, 0);
      const again = policy(catalogue.filter((e) => keep.includes(e.checkpoint)), 0);
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
  assert.deepEqual(Retention.best(1, "valLoss", "min")(diverged, 0), {
    keep: [0, 1, 2, 3],
    remove: [],
    unknownMetrics: ["valLoss"],
  });
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
        const { remove, unknownMetrics = [] } = policy(catalogue, 0);
        const metrics = () => Object.fromEntries(unknownMetrics.map((name) => [name, values.next().value ?? 0]));
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
