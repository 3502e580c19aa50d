/**
 * The store on a bucket: its requests, the probe, orphans, saves that are committed late, and records that no save wrote.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { setImmediate } from "node:timers/promises";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { readSummary } from "../../../lib/checkpoint/entries.ts";
import { verifyCheckpoint } from "../../../lib/checkpoint/verify.ts";
import { newDataId, newProbeKey, partKey, recordKey } from "../../../lib/store/s3/objects.ts";
import { decodeFound, encodeRecord, mostTombstoneBytes } from "../../../lib/store/s3/record.ts";
import { storeOn } from "../../../lib/store/s3/s3_store.ts";
import type { Store } from "../../../lib/store/store.ts";
import { explain, list, loadState, resume, Retention, saveState } from "../../../mod.ts";
import { type RequestKind, type Schedule, simulatedBucket, type Simulation } from "../../support/simulated_bucket.ts";
import { torture } from "../../support/torture.ts";

const prefix = "runs/digits";

function storeAt(server: Simulation, schedule?: Schedule): Store {
  return storeOn(server.client(schedule), prefix);
}

function right<A>(result: E.Either<unknown, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(JSON.stringify(result.left));
}

function left<F>(result: E.Either<F, unknown>): F {
  return result._tag === "Left" ? result.left : assert.fail(`Expected a left, found ${JSON.stringify(result.right)}`);
}

/** The number of a record or of the data that a key belongs to. */
function placeOn(server: Simulation) {
  return { bucket: server.client(), prefix: `${prefix}/` };
}

const always: Schedule = {
  pause: () => Promise.resolve(),
  fate: () => "answered",
  wait: () => Promise.resolve(),
};

/** Counts requests, and round trips: requests that are sent at once take one. */
function counted(server: Simulation): {
  readonly store: Store;
  readonly count: (
    task: () => Promise<unknown>,
  ) => Promise<{ readonly trips: number; readonly requests: readonly RequestKind[] }>;
} {
  let [requests, waiting]: [RequestKind[], (() => void)[]] = [[], []];
  const schedule: Schedule = {
    ...always,
    pause: (kind, apply) => {
      if (apply === undefined) return Promise.resolve();
      requests.push(kind);
      return new Promise((go) => waiting.push(go));
    },
  };
  return {
    store: storeAt(server, schedule),
    count: async (task) => {
      [requests, waiting] = [[], []];
      let [trips, isDone] = [0, false];
      const done = task().finally(() => (isDone = true));
      while (!isDone) {
        // Until the task can do no more without an answer.
        for (let turn = 0; turn < 20; turn++) await setImmediate();
        if (waiting.length > 0) trips += 1;
        for (const go of waiting.splice(0)) go();
      }
      await done;
      return { trips, requests };
    },
  };
}

/** Twenty tensors, as plain arrays. */
function twenty(step: number): { readonly step: number; readonly weights: readonly Float32Array[] } {
  return { step, weights: Array.from({ length: 20 }, (_, i) => Float32Array.of(i, step)) };
}

test("requests: a save of 20 small tensors takes at most 4 round trips, the first one of a process 8", async () => {
  const server = simulatedBucket();
  const { store, count } = counted(server);
  const first = await count(async () => right(await saveState(store)(twenty(0))()));
  assert.ok(first.trips <= 8, JSON.stringify(first));
  for (const step of [1, 2]) {
    const { trips, requests } = await count(async () => right(await saveState(store)(twenty(step))()));
    assert.ok(trips <= 4, JSON.stringify(requests));
    // The parent's record, the parts, the listing, and the commit.
    assert.deepEqual(requests.filter((kind) => kind !== "write"), ["get", "list", "create"]);
  }
});

test("requests: the newest of 10,000 checkpoints is found in at most 3 requests", async () => {
  const server = simulatedBucket();
  right(await saveState(storeAt(server))(twenty(7))());
  const [newest] = right(await storeAt(server).list());
  const place = placeOn(server);
  const { manifest } = foundRecord(server, newest!);
  for (let number = 1; number < 10_000; number++) {
    const data = newDataId(number);
    const parts = foundRecord(server, 0).head.parts;
    server.objects.set(recordKey(place, number), {
      bytes: encodeRecord({ data, parts }, manifest),
      modified: server.now,
    });
    for (const name of parts.keys()) {
      const bytes = server.objects.get(partKey(place, foundRecord(server, 0).head.data, name))!.bytes;
      if (number > 9990) server.objects.set(partKey(place, data, name), { bytes, modified: server.now });
    }
  }
  const { store, count } = counted(server);
  let found: unknown;
  const { requests } = await count(async () => (found = right(await resume(store)(twenty(0))())));
  assert.deepEqual(found, twenty(7));
  assert.ok(requests.filter((kind) => kind !== "read").length <= 3, JSON.stringify(requests));
  assert.equal(right(await storeAt(server).newest!()), 9999);
  // Further back, behind removed checkpoints.
  for (let number = 9999; number > 9900; number--) right(await storeAt(server).remove(number)());
  assert.equal(right(await storeAt(server).newest!()), 9900);
});

function foundRecord(server: Simulation, number: number) {
  const found = decodeFound(server.objects.get(recordKey(placeOn(server), number))!.bytes);
  return found.is === "record" ? found.record : assert.fail(`found ${found.is}`);
}

// --- the probe

test("probe: a bucket that ignores the condition of a create is refused before any commit, and nothing stays in it", async () => {
  const server = simulatedBucket({ ignoresConditions: true });
  for (let attempt = 0; attempt < 2; attempt++) {
    const failed = left(await saveState(storeAt(server))(twenty(0))());
    assert.ok(failed._tag === "StoreFailed" && failed.code === "ENOCONDITION", JSON.stringify(failed));
    assert.match(explain(failed), /create: "generation"/);
    assert.deepEqual([...server.objects.keys()], []);
  }
});

test("probe: lost answers do not make it pass or fail, and it is done once a process", async () => {
  for (const ignoresConditions of [false, true]) {
    for (
      const fates of [["lost"], ["answer lost"], ["answered", "lost"], ["answered", "answer lost"], [
        "late",
        "lost",
        "answer lost",
      ]] as const
    ) {
      const server = simulatedBucket({ ignoresConditions });
      const left: (typeof fates)[number][] = [...fates];
      const store = storeAt(server, {
        ...always,
        fate: (kind) => kind === "create" ? left.shift() ?? "answered" : "answered",
      });
      const saved = await saveState(store)(twenty(0))();
      assert.equal(E.isRight(saved), !ignoresConditions, `${fates}: ${JSON.stringify(saved)}`);
      if (ignoresConditions) continue;
      const creates = server.counts.get("create")!;
      right(await saveState(store)(twenty(1))());
      assert.equal(server.counts.get("create"), creates + 1);
    }
  }
  assert.notEqual(
    newProbeKey({ bucket: simulatedBucket().client(), prefix: "" }),
    newProbeKey({ bucket: simulatedBucket().client(), prefix: "" }),
  );
});

// --- late commits

/** A client whose creates are late from a moment on; the first two are those of the probe. */
function lateClient(server: Simulation): { readonly store: Store; isLate: boolean } {
  const client = { store: undefined as unknown as Store, isLate: false };
  client.store = storeAt(server, {
    ...always,
    fate: (kind) => kind === "create" && client.isLate ? "late" : "answered",
  });
  return client;
}

test("late: a save without an answer says that it may have been committed, and the next save follows it if it was", async () => {
  // When it arrives: before the next save, during it, or never.
  for (const arrives of ["before", "during", "never"] as const) {
    for (const isFirst of [true, false]) {
      const server = simulatedBucket();
      const client = lateClient(server);
      if (isFirst) {
        // The probe passes, the commit does not.
        const warm = await client.store.begin();
        await right(warm).abort();
      } else right(await saveState(client.store)(twenty(0))());
      client.isLate = true;
      const failed = left(await saveState(client.store)(twenty(1))());
      assert.ok(failed._tag === "StoreFailed");
      assert.match(failed.message, /may have been committed as checkpoint/);
      client.isLate = false;
      const requests = server.late.splice(0);
      if (arrives === "before") requests[0]!();
      const create = client.store.begin;
      const during: Store = arrives === "during"
        ? { ...client.store, begin: () => (requests[0]!(), create()) }
        : client.store;
      const saved = right(await saveState(during)(twenty(2))());
      for (const request of requests) request();
      const { entries, damaged } = await list(client.store);
      assert.deepEqual(damaged, []);
      const steps = [...isFirst ? [] : [0], ...arrives === "never" ? [] : [1], 2];
      assert.deepEqual(entries.map(({ step }) => step), steps, arrives);
      const runs = new Set(entries.map(({ run }) => run));
      assert.equal(runs.size, 1);
      for (const [i, { checkpoint }] of entries.entries()) {
        assert.equal(right(await readSummary(client.store, checkpoint)()).parent, entries[i - 1]?.checkpoint ?? null);
      }
      assert.equal(saved.checkpoint, entries.at(-1)!.checkpoint);
      for (const { checkpoint } of entries) right(await verifyCheckpoint(client.store, checkpoint)());
    }
  }
});

test("late: a save that the server refuses for good leaves nothing, and says nothing of a commit", async () => {
  const server = simulatedBucket();
  const client = server.client();
  right(await saveState(storeOn(client, prefix))(twenty(0))());
  const before = [...server.objects.keys()].sort();
  const denied = { _tag: "StoreFailed", operation: "write", path: "x", code: "EACCES", message: "denied" } as const;
  const create: typeof client.create = (key, ...rest) =>
    key.includes("/checkpoints/") ? () => Promise.resolve(E.left(denied)) : client.create(key, ...rest);
  const store = storeOn({ ...client, create }, prefix);
  const failed = left(await saveState(store)(twenty(1))());
  assert.ok(failed._tag === "StoreFailed" && failed.code === "EACCES");
  assert.doesNotMatch(failed.message, /may have been/);
  assert.deepEqual([...server.objects.keys()].sort(), before);
});

// --- orphans

test("orphans: what killed saves left is listed, and removed a day later, by any save or on request", async () => {
  for (const onRequest of [true, false]) {
    const server = simulatedBucket();
    right(await saveState(storeAt(server))(twenty(0))());
    const before = new Set(server.objects.keys());
    // A save that ends after its parts, and an upload that never ends.
    const killed = right(await storeAt(server).begin());
    right(await killed.put("model.safetensors", [Buffer.from("a part")])());
    await setImmediate();
    server.uploads.set("7", {
      key: `${prefix}/data/${newDataId(1)}/model.safetensors`,
      upload: "7",
      begun: server.now,
    });
    const removed = storeAt({
      ...server,
      client: () => ({ ...server.client(), remove: () => () => new Promise(() => {}) }),
    });
    void removed.remove(0)();
    await setImmediate();
    const store = storeAt(server);
    const found = right(await store.orphans!.list());
    assert.deepEqual(found.map(({ kind, isLive }) => [kind, isLive]), [
      ["removed checkpoint", false],
      ["unfinished save", true],
      ["unfinished upload", true],
    ]);
    assert.equal(found.find(({ kind }) => kind === "unfinished save")!.bytes, "a part".length);
    assert.equal(new Set(found.map(({ name }) => name)).size, 3);
    assert.deepEqual(right(await store.orphans!.remove(found)()).map(({ kind }) => kind), ["removed checkpoint"]);
    server.now += 25 * 3_600_000;
    if (onRequest) {
      const old = right(await store.orphans!.list());
      assert.deepEqual(old.map(({ kind, isLive }) => [kind, isLive]), [["unfinished save", false], [
        "unfinished upload",
        false,
      ]]);
      assert.deepEqual(right(await store.orphans!.remove([])()), []);
      assert.deepEqual(right(await store.orphans!.remove(old)()), old);
    } else right(await saveState(store)(twenty(1))());
    assert.deepEqual(right(await store.orphans!.list()), []);
    assert.equal(server.uploads.size, 0);
    if (!onRequest) continue;
    assert.deepEqual([...server.objects.keys()].filter((key) => key.includes("/data/")), []);
    assert.deepEqual([...server.objects.keys()].filter((key) => !before.has(key)), []);
  }
});

test("orphans: a copied bucket, whose records are older or younger than their data, keeps all data", async () => {
  for (const days of [-3, 3]) {
    const server = simulatedBucket();
    // Both are begun as checkpoint 0, so the data of the second one has another number than its record.
    const writers = [right(await storeAt(server).begin()), right(await storeAt(server).begin())];
    for (const writer of writers) {
      right(await writer.put("model.safetensors", [Buffer.from("a part")])());
      right(await writer.commit(Buffer.from("{}"), undefined)());
    }
    const data = [...server.objects.keys()].filter((key) => key.includes("/data/"));
    assert.equal(data.length, 2);
    for (const key of data) {
      const { bytes, modified } = server.objects.get(key)!;
      server.objects.set(key, { bytes, modified: modified + days * 24 * 3_600_000 });
    }
    server.now += 9 * 24 * 3_600_000;
    const store = storeAt(server);
    const found = right(await store.orphans!.list());
    assert.deepEqual(found, []);
    right(await saveState(store)(twenty(1))());
    assert.deepEqual(data.filter((key) => !server.objects.has(key)), []);
  }
});

test("orphans: numbers that begin again, because all records were removed by hand, take no data of a checkpoint", async () => {
  const server = simulatedBucket();
  const store = storeAt(server);
  for (let step = 0; step < 3; step++) right(await saveState(store)(twenty(step))());
  const writer = right(await store.begin());
  right(await writer.put("model.safetensors", [Buffer.from("a part")])());
  for (const key of [...server.objects.keys()]) if (key.includes("/checkpoints/")) server.objects.delete(key);
  assert.equal(right(await writer.commit(Buffer.from("{}"), undefined)()), 0);
  server.now += 9 * 24 * 3_600_000;
  right(await saveState(storeAt(server))(twenty(1))());
  const part = right(await storeAt(server).open(0, "model.safetensors")());
  right(await part.read(new Uint8Array(6), 0)());
});

test("orphans: retention leaves tombstones, which are forgotten after an hour", async () => {
  const server = simulatedBucket();
  const store = storeOn(server.client(), prefix, { keep: Retention.latest(2) });
  for (let step = 0; step < 10; step++) right(await saveState(store)(twenty(step))());
  const records = (): number => [...server.objects.keys()].filter((key) => key.includes("/checkpoints/")).length;
  assert.equal(records(), 10);
  assert.deepEqual(right(await store.list()), [8, 9]);
  server.now += 2 * 3_600_000;
  assert.equal(right(await saveState(store)(twenty(10))()).checkpoint, 10);
  assert.deepEqual([...server.objects.values()].filter(({ bytes }) => bytes.length === 49).length, 1);
  assert.deepEqual(right(await store.list()), [9, 10]);
});

// --- hostile records

test("records: nothing that is put in the place of a record is read outside the store or breaks it", async () => {
  const server = simulatedBucket();
  const store = storeAt(server);
  right(await saveState(store)(twenty(1))());
  const record = server.objects.get(recordKey(placeOn(server), 0))!.bytes;
  const text = Buffer.from(record).toString();
  const { data } = foundRecord(server, 0).head;
  const forged = [
    text.replace(data, "../../other"),
    text.replace(data, `${data}/..`),
    text.replace("model.safetensors", "../x").replace('"state/', '"../'),
    text.replace(/"parts":\{/, '"parts":{"../../x":1,'),
    text.replace(/"parts":\{/, '"parts":{"x":-1,'),
    text.replace(/"parts":\{/, '"parts":{"x":1e300,'),
    text.replace(/"parts":\{[^}]*\}/, '"parts":[]'),
    text.replace(/"parts":\{[^}]*\}/, '"parts":null'),
    text.replace("dogear-s3/1", "dogear-s3/2"),
    text.replace("\n", " "),
    "x".repeat(1000),
    "\n".repeat(1000),
    `${"[".repeat(100_000)}\n\n}`,
  ];
  const hostile = fc.oneof(
    fc.constantFrom(...forged).map((one) => Buffer.from(one)),
    fc.nat(record.length).map((length) => record.slice(0, length)),
    fc.tuple(fc.nat(record.length - 1), fc.nat(255)).map(([at, byte]) => record.with(at, byte)),
    fc.uint8Array({ maxLength: 200 }),
  );
  const reads: string[] = [];
  const client = server.client();
  const read: typeof client.read = (key, into, at) => (reads.push(key), client.read(key, into, at));
  const watched = storeOn({ ...client, read }, prefix);
  // What it would remove is only noted.
  const remove: typeof client.remove = (keys) => (reads.push(...keys), () => Promise.resolve(E.right(undefined)));
  const removing = storeOn({ ...client, remove }, prefix);
  await fc.assert(
    fc.asyncProperty(hostile, async (bytes) => {
      server.objects.set(recordKey(placeOn(server), 1), { bytes: new Uint8Array(bytes), modified: server.now });
      const isTombstone = bytes.length <= mostTombstoneBytes;
      assert.deepEqual(right(await watched.list()), isTombstone ? [0] : [0, 1]);
      const { entries } = await list(watched);
      assert.equal(entries[0]!.step, 1);
      const loaded = await loadState(watched, { fallback: true })(twenty(0))();
      assert.ok(E.isRight(loaded) || loaded.left._tag !== "StoreFailed", JSON.stringify(loaded));
      const opened = await watched.open(1, "model.safetensors")();
      if (E.isRight(opened)) await opened.right.read(new Uint8Array(1), 0)();
      right(await watched.orphans!.list());
      assert.equal(right(await saveState(storeAt(server), {})(twenty(2))()).checkpoint, 2);
      right(await watched.remove(2)());
      right(await removing.remove(1)());
      server.objects.set(recordKey(placeOn(server), 1), { bytes: new Uint8Array(bytes), modified: server.now });
      assert.deepEqual(right(await watched.list()), isTombstone ? [0] : [0, 1]);
      for (const number of [1, 2]) server.objects.delete(recordKey(placeOn(server), number));
      for (const key of reads.splice(0)) assert.ok(key.startsWith(`${prefix}/data/`) && !key.includes(".."), key);
    }),
    { numRuns: 60 * torture },
  );
});

test("records: an object that is too long for a record is damage, and is not read whole", async () => {
  const server = simulatedBucket();
  const client = server.client();
  for (const step of [1, 2]) right(await saveState(storeAt(server))(twenty(step))());
  const failed = { _tag: "StoreFailed", operation: "read", path: "x", code: "EFBIG", message: "too long" } as const;
  const long = recordKey(placeOn(server), 1);
  const get: typeof client.get = (key, most = Infinity) =>
    key === long && most < 2 ** 30 ? () => Promise.resolve(E.left(failed)) : client.get(key, most);
  const store = storeOn({ ...client, get }, prefix);
  assert.equal(left(await loadState(store)(twenty(0))())._tag, "Damaged");
  assert.deepEqual(right(await loadState(store, { fallback: true })(twenty(0))()), twenty(1));
  server.now += 48 * 3_600_000;
  right(await saveState(store)(twenty(3))());
  // The data that it may name stays.
  assert.equal(new Set([...server.objects.keys()].flatMap((key) => /data\/([^/]*)/.exec(key)?.[1] ?? [])).size, 3);
});

test("parts: one that is gone, short or changed is damage, and the older checkpoint is named", async () => {
  const server = simulatedBucket();
  const store = storeAt(server);
  for (const step of [1, 2]) right(await saveState(store)(twenty(step))());
  const { data, parts } = foundRecord(server, 1).head;
  const [name] = [...parts.keys()];
  const key = partKey(placeOn(server), data, name!);
  const { bytes, modified } = server.objects.get(key)!;
  const changed = [undefined, bytes.slice(0, -1), new Uint8Array(), bytes.with(bytes.length - 1, 7), bytes.with(3, 7)];
  for (const found of changed) {
    if (found === undefined) server.objects.delete(key);
    else server.objects.set(key, { bytes: found, modified });
    const damaged = left(await loadState(store)(twenty(0))());
    assert.ok(damaged._tag === "Damaged" && damaged.checkpoint === 1 && damaged.older === 0, JSON.stringify(damaged));
    assert.ok(damaged.problems.every(({ path }) => path.startsWith(name!)), JSON.stringify(damaged));
    assert.deepEqual(right(await loadState(storeAt(server), { fallback: true })(twenty(0))()), twenty(1));
  }
});

test("records: objects that are no records are left alone, and a number at the end of all numbers is told", async () => {
  const server = simulatedBucket();
  const folder = `${prefix}/checkpoints`;
  for (
    const name of ["README", "0.json", "12345.json", "9999999999999999.json", "!", "~", "sub/9007199254740991.json"]
  ) {
    server.objects.set(`${folder}/${name}`, { bytes: new Uint8Array(100), modified: server.now });
  }
  server.objects.set(`${prefix}/data/mine/x`, { bytes: new Uint8Array(1), modified: 0 });
  const before = server.objects.size;
  assert.deepEqual(right(await storeAt(server).list()), []);
  assert.equal(right(await storeAt(server).newest!()), undefined);
  assert.equal(right(await saveState(storeAt(server))(twenty(0))()).checkpoint, 0);
  right(await storeAt(server).remove(0)());
  assert.equal(server.objects.size, before + 1);
  server.objects.set(`${folder}/0000000000000000.json`, { bytes: new Uint8Array(100), modified: server.now });
  const failed = left(await saveState(storeAt(server))(twenty(0))());
  assert.ok(failed._tag === "StoreFailed" && failed.code === "EOVERFLOW", JSON.stringify(failed));
});
