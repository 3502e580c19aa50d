/**
 * The operations of a bucket over HTTP, on the fake server and on a real one.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, randomBytes, randomUUID } from "node:crypto";
import { test } from "node:test";
import { crc32 } from "node:zlib";
import * as E from "fp-ts/lib/Either.js";
import { runOrThrow } from "../../../lib/task.ts";
import type { Bucket } from "../../../lib/store/s3/bucket.ts";
import { httpBucket } from "../../../lib/store/s3/http_bucket.ts";
import { type Limits, settingsOf } from "../../../lib/store/s3/options.ts";
import { fakeKeys, type FakeOptions, type FakeS3, startFakeS3 } from "../../support/s3_fake.ts";
import { bucket as bucketOfTests, credentials, sharedS3Server, testOnS3 } from "../../support/s3_server.ts";

const mebibyte = 2 ** 20;

/** Keys with everything that a URL, a signature or XML treats specially. */
const strange = ["a b+c%20(é)'*!~&=/x", 'q?#<>"[]{}^|`\\@$,;:', "naïve/日本/🦕", "x%2Fy", "dots.../...z"];

// --- servers

/** Runs a test on a bucket of the fake server. */
async function onFake(
  run: (bucket: Bucket, server: FakeS3) => Promise<void>,
  options: FakeOptions & { readonly limits?: Partial<Limits>; readonly partSize?: number } = {},
): Promise<void> {
  const server = await startFakeS3(options);
  const limits = { firstWait: 1, ...options.limits };
  const { partSize = 5 * mebibyte } = options;
  const settings = settingsOf(
    "bucket",
    { endpoint: server.endpoint, credentials: fakeKeys, partSize },
    limits,
  );
  try {
    await run(httpBucket(settings), server);
  } finally {
    await server.close();
  }
}

const real = sharedS3Server();

/** A law of buckets: a test on the fake server, and one on a real server. */
function law(title: string, run: (bucket: Bucket, prefix: string) => Promise<void>): void {
  test(`http bucket: ${title}`, () => onFake((bucket) => run(bucket, `${randomUUID()}/`)));
  testOnS3(`http bucket, real server: ${title}`, async () => {
    const options = { endpoint: await real(), credentials, partSize: 5 * mebibyte };
    await run(httpBucket(settingsOf(bucketOfTests, options)), `${randomUUID()}/`);
  });
}

async function keysOf(bucket: Bucket, prefix: string): Promise<readonly string[]> {
  return (await runOrThrow(bucket.list(prefix))).objects.map(({ key }) => key);
}

/** Compares long arrays fast. */
function sameBytes(found: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(found !== undefined && Buffer.compare(found, expected) === 0, `${found?.length} bytes differ`);
}

// --- objects

/** Chunks of which the first changes when the next but one is requested. */
function* changing(bytes: Uint8Array): Generator<Uint8Array> {
  const cut = Math.floor(bytes.length / 3);
  const first = Buffer.from(bytes.subarray(0, cut));
  yield first;
  yield bytes.subarray(cut, 2 * cut);
  first.fill(0);
  yield bytes.subarray(2 * cut);
}

function* throwing(length: number): Generator<Uint8Array> {
  yield randomBytes(length);
  throw new Error("no more");
}

law("get gives what put wrote, under any key", async (bucket, prefix) => {
  for (const name of strange) {
    const [key, bytes] = [prefix + name, randomBytes(100)];
    assert.equal(await runOrThrow(bucket.get(key)), undefined);
    await runOrThrow(bucket.put(key, bytes));
    sameBytes(await runOrThrow(bucket.get(key)), bytes);
    await runOrThrow(bucket.put(key, new Uint8Array(0)));
    assert.deepEqual(await runOrThrow(bucket.get(key)), new Uint8Array(0));
  }
  const listed = await keysOf(bucket, prefix);
  assert.deepEqual(
    listed,
    strange.map((name) => prefix + name).sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))),
  );
  await runOrThrow(bucket.remove(listed));
  assert.deepEqual(await keysOf(bucket, prefix), []);
});

law("read fills an array from a position, and fails for what is not there", async (bucket, prefix) => {
  const [key, bytes] = [`${prefix}object`, randomBytes(1000)];
  await runOrThrow(bucket.put(key, bytes));
  for (const [from, to] of [[0, 1000], [0, 1], [999, 1000], [7, 300], [5, 5], [1000, 1000]] as const) {
    const into = new Uint8Array(to - from);
    await runOrThrow(bucket.read(key, into, from));
    sameBytes(into, bytes.subarray(from, to));
  }
  for (const [from, length] of [[0, 1001], [999, 2], [1000, 1], [5000, 10]] as const) {
    const short = await bucket.read(key, new Uint8Array(length), from)();
    assert.equal(E.isLeft(short) && short.left.code, "ETRUNC", `${from} ${length}`);
  }
  for (const length of [0, 10]) {
    const missing = await bucket.read(`${prefix}none`, new Uint8Array(length), 0)();
    assert.equal(E.isLeft(missing) && missing.left.code, "ENOENT");
  }
});

law("create makes an object once, whatever its length", async (bucket, prefix) => {
  for (const length of [0, 10, mebibyte]) {
    const [key, bytes] = [`${prefix}${length}`, randomBytes(length)];
    await runOrThrow(bucket.create(key, bytes, new Date()));
    const again = await bucket.create(key, randomBytes(length + 1), new Date())();
    assert.equal(E.isLeft(again) && again.left.code, "EEXIST");
    sameBytes(await runOrThrow(bucket.get(key)), bytes);
  }
});

law("create signed more than 15 minutes ago is refused", async (bucket, prefix) => {
  for (const minutes of [-16, 16]) {
    const late = await bucket.create(`${prefix}late`, randomBytes(10), new Date(Date.now() + minutes * 60_000))();
    assert.equal(E.isLeft(late) && late.left.code, "ECLOCK");
  }
  assert.deepEqual(await keysOf(bucket, prefix), []);
});

law("write gives the digest of its chunks, and get the same bytes", async (bucket, prefix) => {
  for (
    const length of [0, 1, mebibyte, mebibyte + 1, 5 * mebibyte, 5 * mebibyte + 1, 10 * mebibyte, 12 * mebibyte + 7]
  ) {
    const [key, bytes] = [`${prefix}${length}`, randomBytes(length)];
    const { digest, durable } = await runOrThrow(bucket.write(key, changing(bytes), "sha256"));
    assert.deepEqual(await durable, E.right(undefined));
    assert.deepEqual(digest, {
      bytes: length,
      crc32: crc32(bytes).toString(16).padStart(8, "0"),
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
    sameBytes(await runOrThrow(bucket.get(key)), bytes);
  }
  assert.deepEqual(await runOrThrow(bucket.uploads(prefix)), []);
});

law("chunks that throw leave neither an object nor an upload", async (bucket, prefix) => {
  for (const length of [10, 11 * mebibyte]) {
    await assert.rejects(bucket.write(`${prefix}thrown`, throwing(length))(), /no more/);
  }
  assert.deepEqual(await keysOf(bucket, prefix), []);
  assert.deepEqual(await runOrThrow(bucket.uploads(prefix)), []);
});

law("copy copies an object, and gives false for a missing one", async (bucket, prefix) => {
  for (const name of strange) {
    const bytes = randomBytes(100);
    await runOrThrow(bucket.put(prefix + name, bytes));
    assert.equal(await runOrThrow(bucket.copy(prefix + name, `${prefix}copy/${name}`, 100)), true);
    sameBytes(await runOrThrow(bucket.get(`${prefix}copy/${name}`)), bytes);
  }
  assert.equal(await runOrThrow(bucket.copy(`${prefix}none`, `${prefix}copy/none`, 100)), false);
  assert.equal(await runOrThrow(bucket.get(`${prefix}copy/none`)), undefined);
});

law("list gives keys in order, after a key, up to a number, and folders", async (bucket, prefix) => {
  const names = ["a/1", "a/2", "b", "c/1", "d"];
  for (const name of [...names].reverse()) await runOrThrow(bucket.put(prefix + name, randomBytes(name.length)));
  const all = await runOrThrow(bucket.list(prefix));
  assert.deepEqual(
    all.objects.map(({ key, bytes }) => [key, bytes]),
    names.map((name) => [prefix + name, name.length]),
  );
  assert.deepEqual([all.folders, all.isPartial], [[], false]);
  for (const { modified } of all.objects) assert.ok(Math.abs(modified - Date.now()) < 60_000);
  assert.ok(Math.abs(all.now - Date.now()) < 60_000);
  const two = await runOrThrow(bucket.list(prefix, { after: `${prefix}a/1`, most: 2 }));
  assert.deepEqual([two.objects.map(({ key }) => key), two.isPartial], [[`${prefix}a/2`, `${prefix}b`], true]);
  const last = await runOrThrow(bucket.list(prefix, { after: `${prefix}c/1` }));
  assert.deepEqual([last.objects.map(({ key }) => key), last.isPartial], [[`${prefix}d`], false]);
  const folders = await runOrThrow(bucket.list(prefix, { folders: true }));
  assert.deepEqual(folders.objects.map(({ key }) => key), [`${prefix}b`, `${prefix}d`]);
  assert.deepEqual(folders.folders, [`${prefix}a/`, `${prefix}c/`]);
  assert.deepEqual((await runOrThrow(bucket.list(`${prefix}none`))).objects, []);
});

law("remove removes what is there and ignores what is not", async (bucket, prefix) => {
  for (const name of ["a", "b", "c"]) await runOrThrow(bucket.put(prefix + name, randomBytes(1)));
  await runOrThrow(bucket.remove([]));
  await runOrThrow(bucket.remove([`${prefix}a`]));
  await runOrThrow(bucket.remove([`${prefix}a`]));
  await runOrThrow(bucket.remove([`${prefix}a`, `${prefix}b`, `${prefix}none`]));
  assert.deepEqual(await keysOf(bucket, prefix), [`${prefix}c`]);
});

// --- limits, on the fake server

test("http bucket: listings have every key of every page", () =>
  onFake(async (bucket, { requests, objects }) => {
    for (let i = 0; i < 25; i++) await runOrThrow(bucket.put(`p/${i % 5}/${i}`, new Uint8Array(1)));
    assert.deepEqual(await keysOf(bucket, "p/"), [...objects.keys()].sort());
    assert.equal(requests.filter(({ operation }) => operation === "ListObjectsV2").length, 9);
    const folders = await runOrThrow(bucket.list("p/", { folders: true }));
    assert.deepEqual(folders.folders, ["p/0/", "p/1/", "p/2/", "p/3/", "p/4/"]);
    const some = await runOrThrow(bucket.list("p/", { most: 7 }));
    assert.deepEqual([some.objects.length, some.isPartial], [7, true]);
  }, { pageKeys: 3 }));

test("http bucket: uploads are listed on every page, and aborted once or twice", () =>
  onFake(async (bucket, { uploads }) => {
    const mutable = uploads as Map<string, { key: string; begun: number; parts: Map<number, Uint8Array> }>;
    for (let i = 0; i < 7; i++) {
      mutable.set(`id ${i}`, { key: `p/${strange[i % 5]!}`, begun: 1000 * i, parts: new Map() });
    }
    const found = await runOrThrow(bucket.uploads("p/"));
    assert.deepEqual(
      found.map(({ upload, key, begun }) => [upload, key, begun]).sort(),
      [...uploads].map(([id, one]) => [id, one.key, one.begun]),
    );
    for (const one of [...found, ...found]) await runOrThrow(bucket.abort(one));
    assert.deepEqual(await runOrThrow(bucket.uploads("p/")), []);
  }, { pageKeys: 2 }));

test("http bucket: an object longer than one request can copy is copied in parts", () =>
  onFake(async (bucket, { requests }) => {
    const bytes = randomBytes(1050);
    await runOrThrow(bucket.put("a", bytes));
    assert.equal(await runOrThrow(bucket.copy("a", "b", 1050)), true);
    sameBytes(await runOrThrow(bucket.get("b")), bytes);
    assert.equal(requests.filter(({ operation }) => operation === "UploadPartCopy").length, 11);
    assert.equal(await runOrThrow(bucket.copy("none", "c", 1050)), false);
    assert.deepEqual(await runOrThrow(bucket.uploads("")), []);
  }, { limits: { copyBytes: 1000, copyPart: 100 } }));

test("http bucket: parts grow before their number ends", () =>
  onFake(async (bucket, { requests }) => {
    const bytes = randomBytes(70 * 1024);
    const { durable } = await runOrThrow(bucket.write("large", [bytes]));
    assert.deepEqual(await durable, E.right(undefined));
    sameBytes(await runOrThrow(bucket.get("large")), bytes);
    const lengths = requests.filter(({ operation }) => operation === "UploadPart")
      .sort((a, b) => Number(a.query.get("partNumber")) - Number(b.query.get("partNumber")))
      .map((one) => one.bytes.length / 1024);
    assert.deepEqual(lengths, [5, 5, 5, 5, 5, 10, 20, 15]);
  }, { limits: { parts: 10 }, partSize: 5 * 1024 }));

test("http bucket: many keys are removed in batches, or one by one where the server has no batches", async () => {
  const keys = Array.from({ length: 25 }, (_, i) => `p/${i}&<>"`);
  for (const status of [undefined, 400, 405, 501]) {
    await onFake(async (bucket, { requests, objects }) => {
      for (const key of keys) await runOrThrow(bucket.put(key, new Uint8Array(1)));
      await runOrThrow(bucket.remove(keys));
      assert.deepEqual([...objects.keys()], []);
      const count = (name: string) => requests.filter(({ operation }) => operation === name).length;
      assert.deepEqual([count("DeleteObjects"), count("DeleteObject")], status === undefined ? [3, 0] : [1, 25]);
    }, {
      limits: { removed: 10 },
      mischief: ({ operation }) =>
        status !== undefined && operation === "DeleteObjects" ? { sort: "answer", answer: { status } } : undefined,
    });
  }
});
