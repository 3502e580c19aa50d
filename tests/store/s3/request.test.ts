/**
 * Requests to servers and networks that fail.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import { explain } from "../../../lib/errors/mod.ts";
import { runOrThrow } from "../../../lib/task.ts";
import type { Bucket } from "../../../lib/store/s3/bucket.ts";
import type { S3Keys } from "../../../lib/store/s3/credentials.ts";
import { httpBucket } from "../../../lib/store/s3/http_bucket.ts";
import { settingsOf } from "../../../lib/store/s3/options.ts";
import {
  fakeError,
  fakeKeys,
  type FakeOptions,
  type FakeS3,
  type Mischief,
  startFakeS3,
} from "../../support/s3_fake.ts";

const partSize = 64 * 1024;

async function onFake(
  mischief: NonNullable<FakeOptions["mischief"]>,
  run: (bucket: Bucket, server: FakeS3) => Promise<void>,
  { credentials = fakeKeys, ...options }: FakeOptions & { readonly credentials?: S3Keys | (() => Promise<S3Keys>) } =
    {},
): Promise<void> {
  const server = await startFakeS3({ ...options, mischief });
  const settings = settingsOf("bucket", { endpoint: server.endpoint, credentials, partSize, timeout: 120 }, {
    firstWait: 1,
    longestWait: 5,
  });
  try {
    await run(httpBucket(settings), server);
  } finally {
    await server.close();
  }
}

const troubles: Readonly<Record<string, Mischief>> = {
  "a lost request": { sort: "lose request" },
  "a lost answer": { sort: "lose answer" },
  "no answer": { sort: "never answer" },
  "status 503": { sort: "answer", answer: fakeError(503, "SlowDown") },
  "status 500": { sort: "answer", answer: fakeError(500, "InternalError") },
  "status 429": { sort: "answer", answer: { status: 429 } },
  "status 409": { sort: "answer", answer: fakeError(409, "OperationAborted") },
};

for (const [title, trouble] of Object.entries(troubles)) {
  test(`requests: every operation succeeds after ${title}`, () =>
    onFake(({ before }) => before === 0 ? trouble : undefined, async (bucket, { uploads }) => {
      const bytes = randomBytes(3 * partSize + 5);
      const { durable } = await runOrThrow(bucket.write("a", [bytes]));
      assert.deepEqual(await durable, E.right(undefined));
      assert.equal(Buffer.compare((await runOrThrow(bucket.get("a")))!, bytes), 0);
      await runOrThrow(bucket.put("b", bytes));
      assert.equal(await runOrThrow(bucket.copy("a", "c", bytes.length)), true);
      assert.deepEqual((await runOrThrow(bucket.list(""))).objects.map(({ key }) => key), ["a", "b", "c"]);
      await runOrThrow(bucket.remove(["a"]));
      await runOrThrow(bucket.remove(["b", "c"]));
      for (const one of await runOrThrow(bucket.uploads(""))) await runOrThrow(bucket.abort(one));
      assert.equal(uploads.size, 0);
    }));

  test(`requests: create is sent once, also after ${title}`, () =>
    onFake(() => trouble, async (bucket, { requests }) => {
      assert.ok(E.isLeft(await bucket.create("a", randomBytes(100), new Date())()));
      assert.equal(requests.length, 1);
    }));
}

test("requests: a body that is cut or stalls goes on where it ended", async () => {
  const bytes = randomBytes(300_000);
  for (const sort of ["cut", "stall"] as const) {
    await onFake(
      ({ operation, before }) => operation === "GetObject" && before < 3 ? { sort, after: 70_000 } : undefined,
      async (bucket, server) => {
        await runOrThrow(bucket.put("a", bytes));
        assert.equal(Buffer.compare((await runOrThrow(bucket.get("a")))!, bytes), 0);
        const into = new Uint8Array(200_000);
        await runOrThrow(bucket.read("a", into, 50_000));
        assert.equal(Buffer.compare(into, bytes.subarray(50_000, 250_000)), 0);
        const gets = server.requests.filter(({ operation }) => operation === "GetObject");
        assert.ok(
          gets.slice(1, -1).every(({ headers }) => headers["range"] !== undefined && headers["if-match"] !== undefined),
        );
      },
    );
  }
});

test("requests: an answer with other bytes than asked for is a failure", async () => {
  const changes: readonly Mischief[] = [
    { sort: "change", change: (answer) => ({ ...answer, status: 200 }) },
    {
      sort: "change",
      change: (answer) => ({ ...answer, headers: { ...answer.headers, "content-range": "bytes 0-9/1000" } }),
    },
    { sort: "change", change: (answer) => ({ ...answer, body: randomBytes(11) }) },
  ];
  for (const change of changes) {
    await onFake(({ operation }) => operation === "GetObject" ? change : undefined, async (bucket) => {
      await runOrThrow(bucket.put("a", randomBytes(1000)));
      const read = await bucket.read("a", new Uint8Array(10), 5)();
      assert.equal(E.isLeft(read) && read.left.code, "EBADMSG");
    });
  }
});

test("requests: what a server refuses is told with the remedy, and without the keys", async () => {
  const keys = { ...fakeKeys, sessionToken: "token/token/token" };
  const echo = Object.values(keys).join(" ") + " Authorization: AWS4-HMAC-SHA256 Credential=x, Signature=abcdef";
  const answers: readonly (readonly [code: string, answer: ReturnType<typeof fakeError>, says: RegExp])[] = [
    ["EACCES", fakeError(403, "AccessDenied", echo), /Allow these keys/],
    ["EACCES", fakeError(403, "SignatureDoesNotMatch", echo), /secretAccessKey/],
    ["EACCES", fakeError(403, "InvalidAccessKeyId", echo), /accessKeyId/],
    ["ENOBUCKET", fakeError(404, "NoSuchBucket", echo), /Create it/],
    ["ECLOCK", fakeError(403, "RequestTimeTooSkewed", echo), /clock/],
    ["EKEYEXPIRED", fakeError(400, "ExpiredToken", echo), /expired/],
    ["EREGION", fakeError(301, "PermanentRedirect", echo), /region/],
    ["EAGAIN", fakeError(503, "SlowDown", echo), /concurrency/],
    ["EDQUOT", fakeError(403, "QuotaExceeded", echo), /Raise it/],
    ["ENOTS3", { status: 200, body: `<!DOCTYPE html><html>${echo}</html>` }, /endpoint/],
    ["ENOTS3", { status: 404, body: "<html>not found</html>" }, /endpoint/],
  ];
  for (const [code, answer, says] of answers) {
    await onFake(() => ({ sort: "answer", answer }), async (bucket) => {
      const result = await bucket.list("")();
      assert.ok(E.isLeft(result));
      assert.equal(result.left.code, code);
      const sentence = explain(result.left);
      assert.match(sentence, says);
      for (const secret of [...Object.values(keys), "abcdef"]) assert.ok(!sentence.includes(secret), sentence);
    }, { credentials: keys });
  }
});

test("requests: where nobody listens the failure comes soon", async () => {
  const { endpoint, close } = await startFakeS3();
  await close();
  const bucket = httpBucket(settingsOf("bucket", { endpoint, credentials: fakeKeys }));
  const result = await bucket.get("a")();
  assert.ok(E.isLeft(result));
  assert.equal(result.left.code, "ECONNREFUSED", explain(result.left));
});

test("requests: a server that fails is tried nine times, what cleans up at once after that is tried once, and the message says it", async () => {
  const says: Readonly<Record<string, RegExp>> = {
    "never answer": /^Cannot write s3:\/\/bucket\/a \(ETIMEDOUT\): .*\(nothing for 0\.12 s\), tried 9 times\. /,
    "lose request":
      /^Cannot write s3:\/\/bucket\/a \(ECONNRESET\): the connection broke \((?!.*verbose).*[^.]\), tried 9 times\. /,
  };
  for (const sort of ["never answer", "lose request"] as const) {
    await onFake(({ operation }) => operation.startsWith("List") ? undefined : { sort }, async (bucket, server) => {
      await runOrThrow(bucket.list(""));
      const put = await bucket.put("a", randomBytes(10))();
      assert.match(E.isLeft(put) ? explain(put.left) : "", says[sort]!);
      const removed = await bucket.remove(["a"])();
      assert.match(E.isLeft(removed) ? explain(removed.left) : "tried", /^(?!.*tried)/);
      const sent = (name: string): number => server.requests.filter(({ method }) => method === name).length;
      // Bun and Deno resend a request whose connection closed.
      assert.ok(sent("PUT") >= 9 && sent("DELETE") <= 2, `${sent("PUT")} ${sent("DELETE")}`);
    });
  }
});

test("requests: the waits between the tries are those that the guide of object stores has", () => {
  const { timeout, limits: { attempts, firstWait, longestWait } } = settingsOf("bucket", {
    endpoint: "http://localhost",
  });
  const waits = Array.from({ length: attempts - 1 }, (_, i) => Math.min(longestWait, firstWait * 2 ** i));
  assert.deepEqual([timeout, attempts, waits[0], waits.at(-1)], [30_000, 9, 100, 10_000]);
  assert.equal(Math.round(waits.reduce((sum, wait) => sum + wait) / 1000), 23);
});

test("requests: keys that expired are asked for again", async () => {
  let given = 0;
  const credentials = (): Promise<S3Keys> => {
    given += 1;
    return Promise.resolve({ ...fakeKeys, expiration: new Date(Date.now() + (given === 1 ? 1000 : 1e7)) });
  };
  await onFake(() => undefined, async (bucket) => {
    for (let i = 0; i < 3; i++) await runOrThrow(bucket.put("a", randomBytes(1)));
    assert.equal(given, 2);
  }, { credentials });
});
