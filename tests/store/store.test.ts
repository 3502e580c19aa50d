/**
 * The laws of a store, for every kind of store.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import type { Either } from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { directory, directoryOn } from "../../lib/store/directory/directory.ts";
import { memory } from "../../lib/store/memory.ts";
import { savingOf } from "../../lib/store/saving.ts";
import { isPartName, type Saving, type Store, storeFailed, type StoreOptions } from "../../lib/store/store.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { profiles } from "../support/profiles.ts";
import { simulatedBucket } from "../support/simulated_bucket.ts";
import { blank, machine } from "../support/simulated_disk.ts";
import { torture, triedHere } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-store-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;

/** The kinds of stores. Each call makes a new, empty store. */
const stores: Readonly<Record<string, (options?: StoreOptions) => Store>> = {
  memory,
  "a bucket": (options) => storeOn(simulatedBucket({ page: 5 }).client(), "runs/digits", options),
  directory: (options) => directory(join(scratch, `${made++}`), options),
  ...Object.fromEntries(
    triedHere(Object.entries(profiles)).map(([name, profile]) => [
      `directory on ${name}`,
      (options?: StoreOptions) => directoryOn(machine(blank, { profile }).process("a"))("/runs/digits", options),
    ]),
  ),
};

/** Whether a kind reuses parts; undefined if a lost answer decides. A part that is not reused is written again. */
function reuses(kind: string): boolean | undefined {
  const { link, losesAnswer } = profiles[kind.replace("directory on ", "")] ?? {};
  return losesAnswer === undefined ? link === undefined : undefined;
}

function right<A>(result: Either<unknown, A>): A {
  assert.equal(result._tag, "Right", JSON.stringify(result));
  return result._tag === "Right" ? result.right : assert.fail();
}

function left<E>(result: Either<E, unknown>): E {
  assert.equal(result._tag, "Left", JSON.stringify(result));
  return result._tag === "Left" ? result.left : assert.fail();
}

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

async function begin(store: Store): Promise<Saving> {
  return right(await store.begin());
}

/** Commits a checkpoint with these parts and a manifest of one byte. */
async function save(store: Store, manifest = 0, parts: Readonly<Record<string, Uint8Array>> = {}): Promise<number> {
  const saving = await begin(store);
  for (const [name, part] of Object.entries(parts)) right(await saving.put(name, [part])());
  return right(await saving.commit(bytes(manifest))());
}

async function read(store: Store, checkpoint: number, name: string): Promise<Uint8Array> {
  const part = right(await store.open(checkpoint, name)());
  const into = new Uint8Array(part.bytes);
  right(await part.read(into, 0)());
  await part.close();
  return into;
}

for (const [kind, make] of Object.entries(stores)) {
  test(`${kind}: an empty store holds nothing`, async () => {
    const store = make();
    assert.deepEqual(right(await store.list()), []);
    const none = { _tag: "NoCheckpoint", location: store.location, checkpoint: 0, available: [] };
    assert.deepEqual(left(await store.manifest(0)()), none);
    assert.deepEqual(left(await store.open(0, "model.safetensors")()), none);
    right(await store.remove(0)());
  });

  test(`${kind}: a part reads back as it was put, for any division into chunks`, async () => {
    const store = make({ digest: "sha256" });
    const chunks = fc.array(fc.uint8Array({ maxLength: 50 }), { maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(chunks, fc.boolean(), async (given, asynchronous) => {
        const whole = Uint8Array.from(given.flatMap((chunk) => [...chunk]));
        const stream = async function* (): AsyncGenerator<Uint8Array> {
          for (const chunk of given) yield await Promise.resolve(chunk);
        };
        const saving = await begin(store);
        const written = right(await saving.put("state/rng.safetensors", asynchronous ? stream() : given)());
        const checkpoint = right(await saving.commit(whole)());
        assert.deepEqual(await read(store, checkpoint, "state/rng.safetensors"), whole);
        assert.deepEqual(Uint8Array.from(right(await store.manifest(checkpoint)())), whole);
        assert.equal(written.bytes, whole.length);
        assert.equal(written.sha256, createHash("sha256").update(whole).digest("hex"));
      }),
      { numRuns: 20 * torture },
    );
  });

  test(`${kind}: put returns the CRC-32 with leading zeros, and the SHA-256 only with digest: "sha256"`, async () => {
    const saving = await begin(make());
    const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
    // The check value of CRC-32/ISO-HDLC, and a text whose CRC-32 starts with a zero.
    assert.deepEqual(right(await saving.put("a", [ascii("1234"), ascii("56789")])()), { bytes: 9, crc32: "cbf43926" });
    assert.deepEqual(right(await saving.put("b", [ascii("ai")])()), { bytes: 2, crc32: crc32Of(ascii("ai")) });
    assert.deepEqual(right(await saving.put("c", [])()), { bytes: 0, crc32: "00000000" });
    await saving.abort();
  });

  test(`${kind}: a producer can alternate between two arrays, filling one while the other is written`, async () => {
    const store = make();
    const saving = await begin(store);
    const length = 300_000;
    const arrays = [new Uint8Array(length), new Uint8Array(length)] as const;
    const chunks = function* (): Generator<Uint8Array> {
      for (let i = 1; i <= 5; i++) yield arrays[i % 2 === 0 ? 0 : 1].fill(i);
      arrays[0].fill(99);
    };
    right(await saving.put("a", chunks())());
    const checkpoint = right(await saving.commit(bytes())());
    arrays[1].fill(98);
    const found = await read(store, checkpoint, "a");
    for (let i = 0; i < 5; i++) {
      assert.ok(found.subarray(i * length, (i + 1) * length).every((byte) => byte === i + 1));
    }
  });

  test(`${kind}: read returns any range of a part`, async () => {
    const store = make();
    const whole = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
    const part = right(await store.open(await save(store, 0, { a: whole }), "a")());
    await fc.assert(
      fc.asyncProperty(fc.nat(1000), fc.nat(1000), async (from, length) => {
        const into = new Uint8Array(length).fill(1);
        const outcome = await part.read(into, from)();
        if (from + length <= whole.length) {
          right(outcome);
          assert.deepEqual(into, whole.slice(from, from + length));
        } else {
          const { _tag, operation, code } = left(outcome);
          assert.deepEqual([_tag, operation, code], ["StoreFailed", "read", "ETRUNC"]);
        }
      }),
      { numRuns: 50 * torture },
    );
    assert.throws(() => part.read(new Uint8Array(1), -1), TypeError);
    assert.throws(() => part.read(new Uint8Array(1), 0.5), TypeError);
    await part.close();
    await part.close();
  });

  test(`${kind}: old or new: a save is invisible until it is committed`, async () => {
    const store = make();
    const saving = await begin(store);
    right(await saving.put("a", [bytes(1)])());
    assert.deepEqual(right(await store.list()), []);
    assert.equal(left(await store.open(0, "a")())._tag, "NoCheckpoint");
    assert.equal(right(await saving.commit(bytes(7))()), 0);
    assert.deepEqual(right(await store.list()), [0]);
    assert.deepEqual(right(await store.manifest(0)())[0], 7);
  });

  test(`${kind}: the first checkpoint is 0, the next is the highest number + 1`, async () => {
    const store = make();
    const numbers: number[] = [];
    for (let i = 0; i < 12; i++) numbers.push(await save(store, i));
    assert.deepEqual(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    assert.deepEqual(right(await store.list()), numbers);
    right(await store.remove(0)());
    right(await store.remove(5)());
    assert.equal(await save(store), 12);
    assert.deepEqual(right(await store.list()), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
    assert.equal(right(await store.manifest(9)())[0], 9);
  });

  test(`${kind}: two concurrent saves get two numbers, in the order of their commits`, async () => {
    const store = make();
    const [first, second] = [await begin(store), await begin(store)];
    right(await first.put("a", [bytes(1)])());
    right(await second.put("a", [bytes(2)])());
    assert.equal(right(await second.commit(bytes(2))()), 0);
    assert.equal(right(await first.commit(bytes(1))()), 1);
    assert.deepEqual([await read(store, 0, "a"), await read(store, 1, "a")], [bytes(2), bytes(1)]);
  });

  test(`${kind}: saves that commit concurrently never share a number`, async () => {
    const store = make();
    const savings = await Promise.all(Array.from({ length: 8 }, () => begin(store)));
    const numbers = await Promise.all(savings.map(async (saving, i) => right(await saving.commit(bytes(i))())));
    assert.deepEqual([...numbers].sort(), [0, 1, 2, 3, 4, 5, 6, 7]);
    for (const [i, number] of numbers.entries()) assert.equal(right(await store.manifest(number)())[0], i);
  });

  test(`${kind}: abort discards the parts before commit, and does nothing after it`, async () => {
    const store = make();
    const saving = await begin(store);
    right(await saving.put("a", [bytes(1)])());
    await saving.abort();
    await saving.abort();
    assert.deepEqual(right(await store.list()), []);
    const kept = await begin(store);
    assert.equal(right(await kept.commit(bytes())()), 0);
    await kept.abort();
    assert.deepEqual(right(await store.list()), [0]);
  });

  test(`${kind}: abort waits for the current step`, async () => {
    const store = make();
    const saving = await begin(store);
    const commit = saving.commit(bytes())();
    await saving.abort();
    assert.deepEqual(right(await store.list()), [right(await commit)]);
  });

  test(`${kind}: a step after the end of a save, or during another step, is a TypeError`, async () => {
    const store = make();
    const over = await begin(store);
    await over.abort();
    for (
      const step of [
        () => over.put("a", [])(),
        () => over.commit(bytes())(),
        () => over.reuse("a", { checkpoint: 0, name: "a" })(),
      ]
    ) {
      await assert.rejects(step, TypeError);
    }
    const busy = await begin(store);
    const first = busy.put("a", [bytes(1)])();
    await assert.rejects(busy.put("b", [bytes(2)])(), TypeError);
    right(await first);
    right(await busy.commit(bytes())());
    assert.deepEqual(await read(store, 0, "a"), bytes(1));
  });

  test(`${kind}: put rejects with the exception that the chunks throw, and the save is discarded`, async () => {
    const store = make();
    await save(store, 1, { a: bytes(1) });
    const saving = await begin(store);
    const cause = new Error("the batch is gone");
    const chunks = function* (): Generator<Uint8Array> {
      yield bytes(2);
      throw cause;
    };
    await assert.rejects(saving.put("a", chunks())(), (found) => found === cause);
    await assert.rejects(saving.commit(bytes())(), TypeError);
    assert.deepEqual(right(await store.list()), [0]);
    assert.deepEqual(await read(store, 0, "a"), bytes(1));
  });

  test(`${kind}: a chunk that is not a Uint8Array is a TypeError`, async () => {
    const saving = await begin(make());
    await assert.rejects(saving.put("a", [new Float32Array(1) as unknown as Uint8Array])(), TypeError);
  });

  test(`${kind}: putting a part twice is a TypeError`, async () => {
    const saving = await begin(make());
    right(await saving.put("a", [])());
    await assert.rejects(saving.put("a", [])(), TypeError);
  });

  test(`${kind}: a part name that leads out of the checkpoint is a TypeError, before the task runs`, async () => {
    const store = make();
    await save(store);
    const saving = await begin(store);
    for (
      const name of ["", "..", "../a", "a/..", "/a", "a/", "a/b/c", "a\\b", "C:a", "a\0", "snapshot.json", "\ud800"]
    ) {
      assert.throws(() => saving.put(name, []), TypeError, name);
      assert.throws(() => saving.reuse(name, { checkpoint: 0, name: "a" }), TypeError, name);
      assert.throws(() => saving.reuse("a", { checkpoint: 0, name }), TypeError, name);
      assert.throws(() => store.open(0, name), TypeError, name);
    }
    for (const number of [-1, 0.5, NaN, 2 ** 53]) {
      assert.throws(() => store.open(number, "a"), TypeError);
      assert.throws(() => store.manifest(number), TypeError);
      assert.throws(() => store.remove(number), TypeError);
      assert.throws(() => saving.reuse("a", { checkpoint: number, name: "a" }), TypeError);
    }
    await saving.abort();
  });

  test(`${kind}: a reused part remains after the removal of the checkpoint that it came from`, async () => {
    const store = make();
    const name = "state/optimizer.safetensors";
    const from = { checkpoint: await save(store, 0, { [name]: bytes(1, 2, 3) }), name };
    const saving = await begin(store);
    const isReused = right(await saving.reuse(name, from)());
    assert.equal(isReused, reuses(kind) ?? isReused);
    if (isReused) await assert.rejects(saving.put(name, [])(), TypeError);

    const again = await begin(store);
    for (const taken of [name, "another"]) {
      if (!right(await again.reuse(taken, from)())) right(await again.put(taken, [bytes(1, 2, 3)])());
    }
    const number = right(await again.commit(bytes(1))());
    right(await store.remove(from.checkpoint)());
    for (const taken of [name, "another"]) assert.deepEqual(await read(store, number, taken), bytes(1, 2, 3));
  });

  test(`${kind}: reuse of a missing part is false, and the part can be put`, async () => {
    const store = make();
    await save(store, 0, { a: bytes(1) });
    const saving = await begin(store);
    assert.equal(right(await saving.reuse("b", { checkpoint: 0, name: "b" })()), false);
    assert.equal(right(await saving.reuse("a", { checkpoint: 7, name: "a" })()), false);
    right(await saving.put("b", [bytes(2)])());
    assert.deepEqual(await read(store, right(await saving.commit(bytes())()), "b"), bytes(2));
  });

  test(`${kind}: remove removes one checkpoint only`, async () => {
    const store = make();
    for (const i of [0, 1, 2]) await save(store, i, { a: bytes(i) });
    right(await store.remove(1)());
    right(await store.remove(1)());
    assert.deepEqual(right(await store.list()), [0, 2]);
    const none = { _tag: "NoCheckpoint", location: store.location, checkpoint: 1, available: [0, 2] };
    assert.deepEqual(left(await store.open(1, "a")()), none);
    assert.deepEqual(await read(store, 2, "a"), bytes(2));
  });

  test(`${kind}: candidates include every checkpoint, and the last is the newest`, async () => {
    const store = make();
    const candidates = store.candidates ?? store.list;
    assert.deepEqual(right(await candidates()), []);
    for (let i = 0; i < 12; i++) await save(store, i);
    for (const removed of [0, 4, 11, 10]) right(await store.remove(removed)());
    assert.deepEqual(right(await candidates()), right(await store.list()));
  });

  test(`${kind}: the status of a part is its length and the number of checkpoints that share it`, async () => {
    const store = make();
    const from = await save(store, 0, { a: bytes(1, 2, 3), b: bytes(4) });
    const status = async (checkpoint: number, name: string) => right(await store.status!(checkpoint, name)());
    assert.deepEqual(await status(from, "a"), { bytes: 3, links: 1 });
    const saving = await begin(store);
    const isReused = right(await saving.reuse("a", { checkpoint: from, name: "a" })());
    if (!isReused) right(await saving.put("a", [bytes(1, 2, 3)])());
    const next = right(await saving.commit(bytes(1))());
    await save(store, 2, { a: bytes(1, 2, 3) });
    // A bucket copies the part.
    const links = isReused && kind !== "a bucket" ? 2 : 1;
    for (const checkpoint of [from, next]) assert.deepEqual(await status(checkpoint, "a"), { bytes: 3, links });
    assert.deepEqual(await status(from, "b"), { bytes: 1, links: 1 });
    right(await store.remove(from)());
    assert.deepEqual(await status(next, "a"), { bytes: 3, links: 1 });
    const missing = left(await store.status!(next, "b")());
    assert.ok(missing._tag === "StoreFailed" && missing.code === "ENOENT");
    assert.equal(left(await store.status!(from, "a")())._tag, "NoCheckpoint");
    assert.throws(() => store.status!(0, "../a"), TypeError);
    assert.throws(() => store.status!(-1, "a"), TypeError);
  });

  test(`${kind}: opening a part that was never put fails, and the failure names the part`, async () => {
    const store = make();
    await save(store);
    const failed = left(await store.open(0, "state/rng.safetensors")());
    assert.ok(failed._tag === "StoreFailed" && failed.code === "ENOENT");
    assert.ok(failed.path.startsWith(store.locationOf(0)) && failed.path.endsWith("rng.safetensors"));
  });

  test(`${kind}: a store copies the bytes that it receives and returns, including those of a Buffer`, async () => {
    const store = make();
    const [manifest, part] = [Buffer.of(5), Buffer.of(6)];
    const saving = await begin(store);
    right(await saving.put("a", [part])());
    right(await saving.commit(manifest)());
    [manifest[0], part[0]] = [0, 0];
    right(await store.manifest(0)())[0] = 1;
    (await read(store, 0, "a"))[0] = 1;
    assert.equal(right(await store.manifest(0)())[0], 5);
    assert.deepEqual(await read(store, 0, "a"), bytes(6));
  });

  test(`${kind}: a commit gets the number that its condition names, above all others, or nothing is committed`, async () => {
    const store = make();
    const asked = async (number: number): Promise<Either<unknown, number>> => {
      const saving = await begin(store);
      right(await saving.put("a", [bytes(number)])());
      return await saving.commit(bytes(number), {
        key: "copies",
        parent: number - 1,
        number,
        check: () => TE.right(undefined),
      })();
    };
    for (const number of [3, 4, 9]) assert.equal(right(await asked(number)), number);
    for (const number of [0, 4, 8, 9]) assert.equal((left(await asked(number)) as { code: string }).code, "ETAKEN");
    assert.deepEqual(right(await store.list()), [3, 4, 9]);
    assert.deepEqual(await read(store, 4, "a"), bytes(4));
    assert.equal(await save(store), 10);
  });

  test(`${kind}: a store is frozen, and has its retention policy as keep`, () => {
    const keep = () => ({ keep: [], remove: [] });
    assert.ok(Object.isFrozen(make()));
    assert.equal(make({ keep }).keep, keep);
    assert.equal("keep" in make(), false);
  });
}

test("savingOf: discard is called once for a failed or aborted save, and never for a committed one", async () => {
  const failed = storeFailed("write", "somewhere", "EIO", "a fault");
  for (const [ends, discards] of [["put", 1], ["abort", 1], ["commit", 0]] as const) {
    let discarded = 0;
    const saving = savingOf({
      put: () => TE.left(failed),
      reuse: () => TE.right(false),
      commit: () => TE.right(0),
      discard: () => Promise.resolve(void discarded++),
    });
    if (ends === "put") assert.equal(left(await saving.put("a", [])()), failed);
    if (ends === "commit") right(await saving.commit(bytes())());
    await saving.abort();
    await saving.abort();
    assert.equal(discarded, discards, ends);
  }
});

/** CRC-32 computed bit by bit from its definition. */
function crc32Of(data: Uint8Array): string {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}

test("isPartName: at most one folder, and only characters that every file system keeps", () => {
  for (const name of ["model.safetensors", "state/optimizer.safetensors", "a", "...", "state/é😀", "a".repeat(255)]) {
    assert.ok(isPartName(name), name);
  }
  for (const name of [".", "state/.", "state/snapshot.json/x", "a\nb", "a:b", "a?", "é".repeat(128)]) {
    assert.ok(!isPartName(name), name);
  }
});
