/**
 * `Rng.withRandom` across `await`: which code draws from the generator, and when `Math.random` is the original function.
 *
 * @module
 */
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import process from "node:process";
import { test } from "node:test";
import { setImmediate, setTimeout } from "node:timers";
import fc from "fast-check";
import * as Rng from "../../lib/values/rng.ts";
import { torture } from "../support/torture.ts";

const original = Math.random;

/** The first n floats of a generator, and the generator after them. */
function expected(n: number, rng: Rng.Rng): readonly [number[], Rng.Rng] {
  const [values, next] = Rng.floats(n)(rng);
  return [[...values], next];
}

/** Ways to wait, after which the code is in a callback of the runtime. */
const waits: Readonly<Record<string, () => Promise<unknown>>> = {
  await: () => Promise.resolve(),
  timer: () => new Promise((resolve) => setTimeout(resolve, 0)),
  immediate: () => new Promise((resolve) => setImmediate(resolve)),
  microtask: () => new Promise((resolve) => queueMicrotask(() => resolve(0))),
  nextTick: () => new Promise((resolve) => process.nextTick(resolve)),
  thenable: async () => await { then: (resolve: (value: number) => void) => resolve(0) },
  rejection: () => Promise.reject(new Error("caught")).catch(() => {}),
};

/** A thunk that draws n times and waits before each draw. */
function drawing(n: number, wait: () => Promise<unknown>): () => Promise<number[]> {
  return async () => {
    const drawn: number[] = [];
    for (let i = 0; i < n; i++) {
      await wait();
      drawn.push(Math.random());
    }
    return drawn;
  };
}

test("withRandom: an asynchronous thunk draws from the generator after each kind of wait, and foreign code does not", async () => {
  const rng = Rng.make(5);
  for (const [name, wait] of Object.entries(waits)) {
    const waiting = Rng.withRandom(rng)(drawing(4, wait));
    const foreign = drawing(6, wait)();
    Math.random();
    assert.deepEqual(await waiting, expected(4, rng), name);
    const [all] = expected(10, rng);
    assert.ok((await foreign).every((value) => !all.includes(value)), name);
    assert.equal(Math.random, original, name);
  }
});

test("withRandom: callbacks of timers and immediates in the thunk draw from the generator", async () => {
  const rng = Rng.make("callbacks");
  const [drawn, next] = await Rng.withRandom(rng)(() =>
    new Promise<number[]>((resolve) => {
      const values = [Math.random()];
      setTimeout(() => {
        values.push(Math.random());
        setImmediate(() => {
          values.push(Math.random());
          queueMicrotask(() => resolve([...values, Math.random()]));
        });
      }, 0);
    })
  );
  assert.deepEqual([drawn, next], expected(4, rng));
});

test("withRandom: asynchronous generators and listeners that the thunk calls draw from its generator", async () => {
  const rng = Rng.make("generators");
  async function* three(): AsyncGenerator<number> {
    for (let i = 0; i < 3; i++) {
      await waits["timer"]!();
      yield Math.random();
    }
  }
  const emitter = new EventEmitter();
  const heard: number[] = [];
  emitter.on("draw", () => heard.push(Math.random()));
  const [drawn, next] = await Rng.withRandom(rng)(async () => {
    const values: number[] = [];
    for await (const value of three()) values.push(value);
    emitter.emit("draw");
    return [...values, ...heard];
  });
  assert.deepEqual([drawn, next], expected(4, rng));
  emitter.emit("draw");
  assert.notEqual(heard[1], expected(5, rng)[0][4]);
});

/** A thunk as data: draws, waits, calls inside it one after another, and calls inside it at once. */
type Step =
  | { readonly kind: "draw" | "foreign" }
  | { readonly kind: "wait"; readonly how: string }
  | { readonly kind: "call"; readonly seed: number; readonly sync: boolean; readonly steps: readonly Step[] }
  | {
    readonly kind: "together";
    readonly calls: readonly { readonly seed: number; readonly steps: readonly Step[] }[];
  };

const { steps: anySteps } = fc.letrec<{ steps: readonly Step[] }>((tie) => {
  const inner = fc.record({ seed: fc.nat(), steps: tie("steps") });
  const step: fc.Arbitrary<Step> = fc.oneof(
    { depthSize: "small", maxDepth: 3 },
    { weight: 4, arbitrary: fc.constant<Step>({ kind: "draw" }) },
    fc.constant<Step>({ kind: "foreign" }),
    { weight: 2, arbitrary: fc.constantFrom(...Object.keys(waits)).map((how): Step => ({ kind: "wait", how })) },
    fc.record({ kind: fc.constant("call" as const), seed: fc.nat(), sync: fc.boolean(), steps: tie("steps") }),
    fc.record({ kind: fc.constant("together" as const), calls: fc.array(inner, { minLength: 2, maxLength: 3 }) }),
  );
  return { steps: fc.array(step, { maxLength: 6 }) };
});

/** Checks that these steps, run in a call with this seed, draw the floats of the seed and of no other. */
async function check(seed: number, steps: readonly Step[]): Promise<void> {
  const rng = Rng.make(seed);
  const [drawn, next] = await Rng.withRandom(rng)(() => run(steps));
  assert.deepEqual([drawn, next], expected(drawn.length, rng));
  assert.equal(drawn.length, steps.filter(({ kind }) => kind === "draw").length);
}

async function run(steps: readonly Step[]): Promise<number[]> {
  const drawn: number[] = [];
  for (const step of steps) {
    if (step.kind === "draw") drawn.push(Math.random());
    else if (step.kind === "wait") await waits[step.how]!();
    else if (step.kind === "together") await Promise.all(step.calls.map(({ seed, steps }) => check(seed, steps)));
    else if (step.kind === "call" && !step.sync) await check(step.seed, step.steps);
    else if (step.kind === "call") {
      const draws = step.steps.filter(({ kind }) => kind === "draw");
      const found = Rng.withRandom(Rng.make(step.seed))(() => draws.map(() => Math.random()));
      assert.deepEqual(found, expected(draws.length, Rng.make(step.seed)));
    }
  }
  return drawn;
}

test("withRandom: nested and concurrent calls, while timers draw, each draw the floats of their own generator", async () => {
  let isOver = false;
  const foreign = (async () => {
    for (; !isOver; await waits["immediate"]!()) assert.ok(Math.random() < 1);
  })();
  await fc.assert(fc.asyncProperty(fc.nat(), anySteps, check), { numRuns: 60 * torture });
  isOver = true;
  await foreign;
  assert.equal(Math.random, original);
});

test("withRandom: an asynchronous call that outlives the synchronous one around it continues from its own generator", async () => {
  const [outer, inner] = [Rng.make("outer"), Rng.make("inner")];
  const [[first, started, second], outerNext] = Rng.withRandom(outer)(() => {
    const first = Math.random();
    // In a record, since a promise would make the outer call asynchronous.
    const started = { inner: Rng.withRandom(inner)(drawing(3, waits["timer"]!)) };
    return [first, started, Math.random()] as const;
  });
  assert.deepEqual([[first, second], outerNext], expected(2, outer));
  assert.notEqual(Math.random, original);
  const [third] = expected(3, outer)[0].slice(2);
  assert.notEqual(Math.random(), third);
  assert.deepEqual(await started.inner, expected(3, inner));
  assert.equal(Math.random, original);
});

test("withRandom: what an asynchronous thunk throws or rejects with comes through, and Math.random is restored", async () => {
  const rng = Rng.make(1);
  const reason = new RangeError("inside");
  const fail = (): never => {
    throw reason;
  };
  const failing: readonly (() => Promise<unknown>)[] = [
    async () => await Promise.reject(reason),
    () => Promise.reject(reason),
    () => waits["timer"]!().then(fail),
    () => Rng.withRandom(rng)(() => waits["timer"]!().then(fail)),
  ];
  for (const thunk of failing) {
    const beside = Rng.withRandom(rng)(drawing(3, waits["timer"]!));
    await assert.rejects(Rng.withRandom(rng)(thunk), (thrown) => thrown === reason);
    assert.deepEqual(await beside, expected(3, rng));
    assert.equal(Math.random, original);
  }
  assert.throws(() => Rng.withRandom(rng)((): Promise<number> => fail()), (thrown) => thrown === reason);
  assert.equal(Math.random, original);
});

test("withRandom: a thunk may return any thenable, also a function that starts its work when it is awaited", async () => {
  const rng = Rng.make(1);
  const task = Object.assign(() => 0, {
    then: <B>(resolve: (value: number) => B) => waits["timer"]!().then(() => resolve(Math.random())),
  });
  const [value, next] = await Rng.withRandom(rng)(() => task as unknown as PromiseLike<number>);
  assert.deepEqual([[value], next], expected(1, rng));
  const hostile = { then: () => assert.fail("hostile") };
  await assert.rejects(Rng.withRandom(rng)(() => hostile as unknown as PromiseLike<number>), /hostile/);
  assert.equal(Math.random, original);
});

test("withRandom: what runs on after the promise has settled draws like the code around the call", async () => {
  const [outer, inner] = [Rng.make("outer"), Rng.make("inner")];
  const late: Promise<number>[] = [];
  const start = (): Promise<void> => {
    late.push(waits["timer"]!().then(() => Math.random()));
    return Promise.resolve();
  };
  const [, next] = await Rng.withRandom(inner)(start);
  Rng.withRandom(inner)((): void => void start());
  assert.deepEqual(next, inner);
  const drawn = await Promise.all(late.splice(0));
  const [known] = expected(10, inner);
  assert.ok(drawn.every((value) => !known.includes(value)));
  const [[first], outerNext] = await Rng.withRandom(outer)(async () => {
    await Rng.withRandom(inner)(start);
    return await Promise.all(late);
  });
  assert.deepEqual([[first], outerNext], expected(1, outer));
});

test("withRandom: code that kept Math.random from before draws from the real one, one kept from inside too, afterwards", async () => {
  const rng = Rng.make(1);
  const [kept, next] = await Rng.withRandom(rng)(async () => {
    await waits["timer"]!();
    assert.ok(!expected(3, rng)[0].includes(original()));
    return { inside: Math.random };
  });
  assert.deepEqual(next, rng);
  assert.ok(!expected(3, rng)[0].includes(kept.inside()));
});

test("withRandom: a function that other code puts in place of Math.random meanwhile stays, and does not harm the next call", async () => {
  const rng = Rng.make(1);
  let calls = 0;
  const waiting = Rng.withRandom(rng)(drawing(2, waits["timer"]!));
  const hooked = Math.random;
  const patched = (): number => (calls++, hooked());
  Math.random = patched;
  try {
    assert.deepEqual(Rng.withRandom(rng)(() => Math.random()), [expected(1, rng)[0][0], expected(1, rng)[1]]);
    assert.equal(Math.random, patched);
    assert.deepEqual(await waiting, expected(2, rng));
    assert.equal(calls, 2);
    assert.equal(Math.random, patched);
    assert.deepEqual(await Rng.withRandom(rng)(drawing(2, waits["await"]!)), expected(2, rng));
    assert.equal(Math.random, patched);
    // The other code puts back what it found.
    Math.random = hooked;
    assert.ok(!expected(3, rng)[0].includes(Math.random()));
    assert.deepEqual(await Rng.withRandom(rng)(drawing(2, waits["await"]!)), expected(2, rng));
  } finally {
    Math.random = original;
  }
});
