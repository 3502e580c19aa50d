/**
 * Laws *old or new*, numbers, *one line of history* and *all or nothing* in a bucket: processes that save, prune, sweep and die, under schedules in which
 * each of them may pause at any request for hours and any answer may be lost.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import { decodeSummary } from "../../lib/checkpoint/manifest.ts";
import { verifyCheckpoint } from "../../lib/checkpoint/verify.ts";
import type { Overtaken, StoreFailed } from "../../lib/errors/mod.ts";
import type { Bucket } from "../../lib/store/s3/bucket.ts";
import { decodeFound } from "../../lib/store/s3/record.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import type { CommitCondition, Store } from "../../lib/store/store.ts";
import { list, resume, Retention, saveState } from "../../mod.ts";
import { type Faults, processesOn } from "../support/bucket_processes.ts";
import { simulatedBucket, type SimulationOptions } from "../support/simulated_bucket.ts";
import { torture } from "../support/torture.ts";

// --- what processes do

/** The manifest of a save. */
interface Told {
  readonly save: string;
  readonly run: string;
  readonly parent: number | null;
}

function encode(told: Told): Uint8Array {
  return Buffer.from(JSON.stringify(told));
}

function decode(manifest: Uint8Array): Told {
  return JSON.parse(Buffer.from(manifest).toString());
}

const partNames = ["model.safetensors", "state/rng.safetensors"] as const;

function partOf(save: string, name: string): Buffer {
  return Buffer.from(`${name} of ${save}`);
}

/** What a save was told. */
type Answer = E.Either<StoreFailed | Overtaken, number>;

/** Fails if a checkpoint of the run is above the parent. */
function unlessOvertaken(store: Store, run: string): CommitCondition["check"] {
  return (numbers) => async () => {
    for (const checkpoint of numbers) {
      const manifest = await store.manifest(checkpoint)();
      if (E.isLeft(manifest) && manifest.left._tag === "StoreFailed") return E.left(manifest.left);
      if (E.isLeft(manifest) || decode(manifest.right).run !== run) continue;
      return E.left({ _tag: "Overtaken", checkpoint, step: null, by: "another process" });
    }
    return E.right(undefined);
  };
}

async function save(store: Store, told: Told): Promise<Answer> {
  const begun = await store.begin();
  if (E.isLeft(begun)) return begun;
  for (const name of partNames) {
    const put = await begun.right.put(name, [partOf(told.save, name)])();
    if (E.isLeft(put)) return put;
  }
  const { run: key, parent } = told;
  const condition = parent === null ? undefined : { key, parent, check: unlessOvertaken(store, key) };
  return await begun.right.commit(encode(told), condition)();
}

/** The newest checkpoint of a run. */
async function newestOf(store: Store, run: string): Promise<number | undefined> {
  const numbers = await store.list();
  if (E.isLeft(numbers)) return undefined;
  for (const number of numbers.right.toReversed()) {
    const manifest = await store.manifest(number)();
    if (E.isRight(manifest) && decode(manifest.right).run === run) return number;
  }
  return undefined;
}

/** Removes the checkpoints of a run below a number. */
async function prune(store: Store, run: string, newest: number): Promise<void> {
  const numbers = await store.list();
  if (E.isLeft(numbers)) return;
  for (const number of numbers.right.filter((one) => one < newest)) {
    const manifest = await store.manifest(number)();
    if (E.isRight(manifest) && decode(manifest.right).run === run) await store.remove(number)();
  }
}

/** A process: it resumes the run, saves, prunes and sweeps as the random numbers have it. */
async function program(
  { open, name, random, answers }: {
    /** Opens the store as a new process. */
    readonly open: () => Store;
    readonly name: string;
    readonly random: () => number;
    readonly answers: Map<string, Answer>;
  },
): Promise<void> {
  let parent: number | undefined;
  let store = open();
  for (let i = 0; i < 5; i++) {
    // A new process removes orphans and old tombstones.
    if (random() < 0.3) store = open();
    const told = { save: `${name}-${i}`, run: "shared" };
    if (random() < 0.2) {
      const own = await save(store, { save: told.save, run: name, parent: null });
      answers.set(told.save, own);
      if (E.isRight(own) && random() < 0.5) await store.remove(own.right)();
      continue;
    }
    parent ??= await newestOf(store, "shared");
    if (parent === undefined) continue;
    const answer = await save(store, { ...told, parent });
    answers.set(told.save, answer);
    parent = E.isRight(answer) ? answer.right : undefined;
    if (parent !== undefined && random() < 0.6) await prune(store, "shared", parent);
    if (random() < 0.3) {
      const found = await store.orphans!.list();
      if (E.isRight(found)) await store.orphans!.remove(found.right)();
    }
  }
}

// --- what must hold

interface Watch {
  readonly options: SimulationOptions;
  /** The numbers that each save has got. */
  readonly numbers: ReadonlyMap<string, readonly number[]>;
  /** Sees the server; to be called before the first change. */
  readonly see: (objects: ReadonlyMap<string, { readonly bytes: Uint8Array }>) => void;
}

/**
 * Checks each change of a bucket.
 *
 * @param told What a manifest says.
 * @param isWhole Whether a part is the one that the save has put.
 */
function watch(
  told: (manifest: Uint8Array) => Told,
  isWhole: (save: string, name: string, part: Uint8Array) => boolean,
): Watch {
  let objects: ReadonlyMap<string, { readonly bytes: Uint8Array }> = new Map();
  const numbers = new Map<string, number[]>();
  const newest = new Map<string, number>();
  let highest = -1;

  function created(key: string, bytes: Uint8Array): void {
    const found = decodeFound(bytes);
    if (found.is !== "record") return;
    const { head: { data, parts }, manifest } = found.record;
    const { save, run, parent } = told(manifest);
    const number = Number.MAX_SAFE_INTEGER - Number(/(\d{16})\.json$/.exec(key)![1]);
    assert.ok(number > highest, `numbers: ${number} was made by ${save} after ${highest}`);
    highest = number;
    numbers.set(save, [...numbers.get(save) ?? [], number]);
    assert.ok(
      parent === null || parent === newest.get(run),
      `one line of history: ${save} follows ${parent} of ${run}`,
    );
    newest.set(run, number);
    for (const [name, bytes] of parts) {
      const part = objects.get(`data/${data}/${name}`)?.bytes;
      assert.ok(part?.length === bytes && isWhole(save, name, part), `all or nothing: ${name} of ${save}`);
    }
  }

  function removed(key: string): void {
    const [, data] = /^data\/([^/]+)\//.exec(key) ?? [];
    if (data === undefined) {
      assert.ok(
        !key.startsWith("checkpoints/") || objects.size === 0 || key !== newestKey(),
        `the newest key ${key} was removed`,
      );
      return;
    }
    for (const [record, { bytes }] of objects) {
      if (!record.startsWith("checkpoints/")) continue;
      const found = decodeFound(bytes);
      assert.ok(
        found.is !== "record" || found.record.head.data !== data,
        `old or new: ${key} was removed, which ${record} names`,
      );
    }
  }

  const newestKey = (): string | undefined =>
    [...objects.keys()].filter((key) => key.startsWith("checkpoints/")).sort()[0];

  return {
    numbers,
    see: (all) => (objects = all),
    options: {
      page: 3,
      longestPut: 22,
      onChange: ({ kind, key, after }) => {
        if (after === undefined) removed(key);
        else if (kind === "create" && key.startsWith("checkpoints/")) created(key, after.bytes);
      },
    },
  };
}

/** What each save was told is true. */
function checkAnswers(answers: ReadonlyMap<string, Answer>, numbers: Watch["numbers"]): void {
  for (const [name, made] of numbers) assert.ok(made.length === 1, `once: ${name} has the numbers ${made}`);
  for (const [name, answer] of answers) {
    const [number] = numbers.get(name) ?? [];
    if (E.isRight(answer)) assert.equal(number, answer.right, `told: ${name}`);
    else if (answer.left._tag === "Overtaken" || !answer.left.message.includes("may have been committed")) {
      assert.equal(number, undefined, `told: ${name} failed with ${JSON.stringify(answer.left)}`);
    }
  }
}

const day = 24 * 3_600_000;

/** A process with a good connection finds all checkpoints whole, and its save removes all data that none of them names. */
async function checkRest(bucket: Bucket, keys: () => readonly string[]): Promise<void> {
  const store = storeOn(bucket, "");
  assert.ok(E.isRight(await save(store, { save: "last", run: "last", parent: null })));
  const numbers = await store.list();
  assert.ok(E.isRight(numbers));
  for (const number of numbers.right) {
    const manifest = await store.manifest(number)();
    assert.ok(E.isRight(manifest));
    for (const name of partNames) {
      const part = await store.open(number, name)();
      assert.ok(E.isRight(part));
      const into = new Uint8Array(part.right.bytes);
      assert.ok(E.isRight(await part.right.read(into, 0)()));
      assert.deepEqual(Buffer.from(into), partOf(decode(manifest.right).save, name));
    }
  }
  assert.deepEqual(await store.orphans!.list(), E.right([]));
  const folders = new Set(keys().filter((key) => key.startsWith("data/")).map((key) => key.split("/")[1]));
  assert.equal(folders.size, numbers.right.length, "all data is named");
  assert.deepEqual(keys().filter((key) => key.startsWith("probe/")), []);
}

const faults: Faults = {
  create: { lost: 0.08, "answer lost": 0.12, late: 0.12, twice: 0.1 },
  others: { lost: 0.01, "answer lost": 0.01 },
  kill: 0.003,
  freeze: 0.03,
  jump: 0.01,
};

test("old or new: processes that save, prune, sweep and die in one bucket", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(2 ** 31), fc.integer({ min: 2, max: 3 }), async (seed, count) => {
      const { options, numbers, see } = watch(decode, (name, part, found) => partOf(name, part).equals(found));
      const server = simulatedBucket(options);
      see(server.objects);
      assert.ok(E.isRight(await save(storeOn(server.client(), ""), { save: "first", run: "shared", parent: null })));
      const { start, run } = processesOn(server, seed, faults);
      const answers = new Map<string, Answer>();
      for (let i = 0; i < count; i++) {
        start((bucket, random) => program({ open: () => storeOn(bucket, ""), name: `p${i}`, random, answers }));
      }
      await run();
      checkAnswers(answers, numbers);
      server.now += 2 * day;
      await checkRest(server.client(), () => [...server.objects.keys()]);
    }),
    { numRuns: 150 * torture },
  );
});

/** A training: it resumes, saves with a retention policy, and resumes again when it is overtaken. */
async function training(
  { open, name, random, answers }: Parameters<typeof program>[0],
): Promise<void> {
  let store = open();
  let state: { step: number; weights: Float32Array } | undefined;
  for (let i = 0; i < 6; i++) {
    if (random() < 0.1) [store, state] = [open(), undefined];
    if (state === undefined) {
      const resumed = await resume(store)({ step: 0, weights: new Float32Array(8) })();
      if (E.isLeft(resumed)) continue;
      state = resumed.right;
    }
    state = { step: state.step + 1, weights: new Float32Array(8).fill(random()) };
    const save = `${name}-${i}`;
    const saved = await saveState(store, { note: save })(state)();
    if (E.isLeft(saved) && saved.left._tag === "Overtaken") state = undefined;
    answers.set(save, pipe(saved, E.bimap((error) => error as StoreFailed, ({ checkpoint }) => checkpoint)));
  }
}

function summaryOf(manifest: Uint8Array): Told {
  const summary = decodeSummary(manifest);
  assert.ok(E.isRight(summary));
  const { note, run, parent } = summary.right;
  return { save: `${note}`, run, parent };
}

test("one line of history: trainings that resume, save and die in one bucket", async () => {
  await fc.assert(
    fc.asyncProperty(fc.nat(2 ** 31), async (seed) => {
      const { options, numbers, see } = watch(summaryOf, () => true);
      const server = simulatedBucket({ ...options, longestPut: 200 });
      see(server.objects);
      const { start, run } = processesOn(server, seed, faults);
      const answers = new Map<string, Answer>();
      for (const name of ["a", "b"]) {
        start((bucket, random) =>
          training({ open: () => storeOn(bucket, "", { keep: Retention.latest(2) }), name, random, answers })
        );
      }
      await run();
      checkAnswers(answers, numbers);
      const { entries, damaged } = await list(storeOn(server.client(), ""));
      assert.deepEqual(damaged, []);
      assert.ok(new Set(entries.map((entry) => entry.run)).size <= 1, "two first saves");
      for (const { checkpoint } of entries) {
        assert.ok(E.isRight(await verifyCheckpoint(storeOn(server.client(), ""), checkpoint)()));
      }
    }),
    { numRuns: 30 * torture },
  );
});
