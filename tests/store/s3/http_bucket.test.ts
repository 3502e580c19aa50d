/**
 * The bucket over HTTP.
 *
 * @module
 */

import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { Buffer } from "node:buffer";
import process from "node:process";
import { test } from "node:test";
import { runOrThrow } from "../../../lib/task.ts";
import { httpBucket } from "../../../lib/store/s3/http_bucket.ts";
import { settingsOf } from "../../../lib/store/s3/options.ts";

const endpoint = process.env["DOGEAR_S3_ENDPOINT"] ?? "";
const credentials = { accessKeyId: "test", secretAccessKey: "testsecret" };

function bucketHere() {
  return httpBucket(settingsOf("test", { endpoint, credentials, partSize: 5 * 2 ** 20 }));
}

test("http bucket: what is written is read", { skip: endpoint === "" }, async () => {
  const bucket = bucketHere();
  const prefix = randomUUID();
  const key = `${prefix}/a b+c%20(é)'*!~&=/x`;
  const bytes = randomBytes(1000);
  assert.equal(await runOrThrow(bucket.get(key)), undefined);
  await runOrThrow(bucket.put(key, bytes));
  assert.deepEqual(await runOrThrow(bucket.get(key)), new Uint8Array(bytes));
  const into = new Uint8Array(10);
  await runOrThrow(bucket.read(key, into, 7));
  assert.deepEqual(into, new Uint8Array(bytes.subarray(7, 17)));
  const created = `${prefix}/created`;
  await runOrThrow(bucket.create(created, bytes, new Date()));
  const again = await bucket.create(created, bytes, new Date())();
  assert.equal(again._tag, "Left");
  const large = randomBytes(13 * 2 ** 20);
  const written = await runOrThrow(
    bucket.write(`${prefix}/large`, [large.subarray(0, 100), large.subarray(100)], "sha256"),
  );
  assert.deepEqual(await written.durable, { _tag: "Right", right: undefined });
  assert.equal(Buffer.compare(large, (await runOrThrow(bucket.get(`${prefix}/large`)))!), 0);
  assert.equal(await runOrThrow(bucket.copy(`${prefix}/large`, `${prefix}/copy`, large.length)), true);
  assert.equal(await runOrThrow(bucket.copy(`${prefix}/none`, `${prefix}/copy2`, large.length)), false);
  const listing = await runOrThrow(bucket.list(`${prefix}/`));
  assert.deepEqual(listing.objects.map((one) => one.key), [key, `${prefix}/copy`, created, `${prefix}/large`]);
  assert.ok(Math.abs(listing.now - Date.now()) < 5000);
  const folders = await runOrThrow(bucket.list(`${prefix}/`, { folders: true }));
  assert.deepEqual(folders.folders, [`${prefix}/a b+c%20(é)'*!~&=/`]);
  await runOrThrow(bucket.remove(listing.objects.map((one) => one.key)));
  assert.deepEqual((await runOrThrow(bucket.list(`${prefix}/`))).objects, []);
  assert.deepEqual(await runOrThrow(bucket.uploads(prefix)), []);
});
