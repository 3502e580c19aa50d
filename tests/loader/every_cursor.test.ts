/**
 * The resume oracle: from the cursor before *every* item of a generated pipeline, through JSON, a new loader gives the same items and
 * cursors, with any read-ahead.
 */
import assert from "node:assert/strict";
import { rm } from "node:fs/promises";
import { after, test } from "node:test";
import fc from "fast-check";
import { pipe } from "fp-ts/lib/function.js";
import * as Loader from "../../lib/loader/loader.ts";
import * as Rng from "../../lib/values/rng.ts";
import { type Any, anyPipeline, type Both, endless, putOverBoth, streamStep } from "../support/pipelines.ts";
import { type Build, scratch } from "../support/sources.ts";
import { torture } from "../support/torture.ts";

after(() => rm(scratch, { recursive: true, force: true }));
const { skip } = Loader;

type Pairs = readonly (readonly [unknown, Loader.Cursor])[];

/** How many items of an endless pipeline are compared. */
const most = 12;

async function collect(xs: AsyncIterable<readonly [unknown, Loader.Cursor]>, count = most): Promise<Pairs> {
  const pairs: (readonly [unknown, Loader.Cursor])[] = [];
  if (count === 0) return pairs;
  for await (const pair of xs) {
    if (pairs.push(pair) === count) break;
  }
  return pairs;
}

function property(check: (pipeline: Build, n: number) => Promise<void>, runs: number): Promise<void> {
  return Promise.resolve(fc.assert(
    fc.asyncProperty(anyPipeline, fc.nat(5), async (pipeline, n) => {
      try {
        await check(pipeline, n);
      } catch (error) {
        throw new Error(pipeline.name, { cause: error });
      }
    }),
    { numRuns: runs * torture, includeErrorInReport: true },
  ));
}

test("loader: same bits: from every cursor of any pipeline a new loader gives the same items and cursors", async () => {
  await property(async ({ build }) => {
    const whole = await collect(Loader.iterate(build()));
    const cursors = [Loader.start(build()), ...whole.map(([, cursor]) => cursor)];
    for (const [i, cursor] of cursors.entries()) {
      const again: Loader.Cursor = JSON.parse(JSON.stringify(cursor));
      assert.deepStrictEqual(await collect(Loader.from(again)(build()), most - i), whole.slice(i), `from ${i}`);
    }
  }, 150);
});

test("prefetch: it changes neither items nor cursors, and items that were not requested do not count", async () => {
  await property(async ({ build }, n) => {
    const whole = await collect(Loader.iterate(build()));
    const ahead = (): Any => pipe(build(), Loader.prefetch(n));
    assert.deepStrictEqual(await collect(Loader.iterate(ahead())), whole);
    const middle = whole[Math.floor(whole.length / 2)]?.[1] ?? Loader.start(build());
    const rest = await collect(Loader.from(middle)(build()));
    assert.deepStrictEqual(await collect(Loader.from(middle)(ahead())), rest);
  }, 60);
});

test("skip: skip(n) yields what dropping n items yields, over any pipeline", async () => {
  await property(async ({ build }, n) => {
    const whole = (await collect(Loader.iterate(build()))).map(([item]) => item);
    const rest = (await collect(Loader.iterate(pipe(build(), skip(n))), most - n)).map(([item]) => item);
    assert.deepStrictEqual(rest, whole.slice(n));
  }, 60);
});

test("iterate: a loop with epoch sees the items of repeat, and over random access its cursors", async () => {
  await property(async ({ build }) => {
    // A dataset of tf.data has another order for each iterator made from it.
    if (endless(build()) || build().source._tag === "Stream" && build().source.fingerprint.includes("dataset")) return;
    const inOne = await given(() => Loader.iterate(pipe(build(), Loader.repeat(3))));
    if (inOne.some((item) => typeof item === "string" && item.endsWith("Mismatch"))) return;
    const loader = build();
    const [items, cursors]: [unknown[], Loader.Cursor[]] = [[], []];
    for (const epoch of [0, 1, 2]) {
      try {
        for await (const [item, cursor] of Loader.iterate(loader, { epoch })) {
          if (items.length === most) break;
          items.push(item);
          cursors.push(cursor);
        }
      } catch (error) {
        // A stream cut by a limit of steps has no whole epochs.
        if (error instanceof TypeError && error.message.includes("passes can be counted")) return;
        throw error;
      }
    }
    assert.deepStrictEqual(items, inOne);
    if (loader.source._tag === "Stream") return;
    const repeated = await collect(Loader.iterate(pipe(build(), Loader.repeat(3))));
    assert.deepStrictEqual(cursors, repeated.map(([, cursor]) => cursor));
  }, 60);
});

// --- streams as arrays

/** The items of a loader up to its end or to `most`, or its rejection. */
async function given(run: () => AsyncIterable<readonly [unknown, Loader.Cursor]>): Promise<readonly unknown[]> {
  const seen: unknown[] = [];
  try {
    for await (const [item] of run()) if (seen.push(item) === most) break;
  } catch (error) {
    seen.push(((error as Error).cause as { _tag?: string } | undefined)?._tag ?? error);
  }
  return seen;
}

test("stream: it gives what an array of its items gives: iterated, skipped, resumed, and item by item", async () => {
  const chains = fc.tuple(fc.nat(7), fc.array(streamStep, { minLength: 1, maxLength: 6 }), fc.nat(most));
  await fc.assert(
    fc.asyncProperty(chains, async ([length, steps, n]) => {
      const xs = Array.from({ length }, (_, i) => i);
      const random = Loader.mapRandom((x: number, rng) => x + Rng.float(rng)[0], { seed: n });
      const sources: Both = [random(Loader.fromArray(xs)), random(Loader.fromIterable(() => xs))];
      const build = (): Both => steps.reduce((both, one) => putOverBoth(one)(both), sources);
      const [array, stream] = build();
      const name = `${length} | ${steps.map(({ name }) => name).join(" | ")}`;
      const whole = await given(() => Loader.iterate(array));
      assert.deepStrictEqual(await given(() => Loader.iterate(stream)), whole, name);
      if (whole.some((item) => typeof item === "string")) return;
      const rest = await given(() => Loader.iterate(skip(n)(stream)));
      assert.deepStrictEqual(rest.slice(0, Math.max(0, most - n)), whole.slice(n), `${name}: skip ${n}`);
      if (n < whole.length) assert.deepStrictEqual(await Loader.at(n)(stream), whole[n], `${name}: at ${n}`);
      let [i, cursor]: [number, Loader.Cursor] = [0, Loader.start(stream)];
      for await (const [, after] of Loader.iterate(stream)) {
        if (i++ === n) break;
        cursor = after;
      }
      const resumed = await given(() => Loader.from(JSON.parse(JSON.stringify(cursor)))(build()[1]));
      const from = Math.min(n, whole.length);
      assert.deepStrictEqual(resumed.slice(0, most - from), whole.slice(from), `${name}: from ${from}`);
    }),
    { numRuns: 300 * torture, includeErrorInReport: true },
  );
});

test("cursor: without its mark a cursor leads to the same items", async () => {
  await property(async ({ build }) => {
    const whole = await collect(Loader.iterate(build()), 6);
    for (const [i, [, cursor]] of whole.entries()) {
      const { mark: _, ...unmarked } = cursor;
      const rest = await collect(Loader.from(unmarked)(build()), 6 - i - 1);
      assert.deepStrictEqual(rest.map(([item]) => item), whole.slice(i + 1).map(([item]) => item));
    }
  }, 60);
});
