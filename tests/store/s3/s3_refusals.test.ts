/**
 * What a user reads when an object store cannot be used: the whole message, with its remedy, and never a key.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createServer, type RequestListener } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { inspect } from "node:util";
import { httpBucket } from "../../../lib/store/s3/http_bucket.ts";
import { s3, type S3Options } from "../../../lib/store/s3/mod.ts";
import { settingsOf } from "../../../lib/store/s3/options.ts";
import { explain, resume, runOrThrow, saver, saveState } from "../../../mod.ts";
import { fakeKeys, startFakeS3 } from "../../support/s3_fake.ts";
import { bucket, credentials, newLocation, sharedS3Server, testOnS3 } from "../../support/s3_server.ts";

const server = sharedS3Server();

// --- servers that are none

/** The key and the certificate of `localhost`, signed by itself. */
const selfSigned = {
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgnydSsoGW7OJ0V/FC
R967RJ78uSe5FiU5t52HFf5W8/uhRANCAARW9aWWO8+XHA4yMMiNgALJBFfxKHoz
zh6bCV//fvcP60BzRGmF4tEMw4dvdwVLhYVWQv3AnwHhyxvLyYPfWbrj
-----END PRIVATE KEY-----
`,
  cert: `-----BEGIN CERTIFICATE-----
MIIBnDCCAUGgAwIBAgIUVG7eP/EBocn0j76WiVbWLSawAEMwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTA1NTA0NloYDzIxMjYxMTA1
MDU1MDQ2WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAARW9aWWO8+XHA4yMMiNgALJBFfxKHozzh6bCV//fvcP60BzRGmF4tEM
w4dvdwVLhYVWQv3AnwHhyxvLyYPfWbrjo28wbTAdBgNVHQ4EFgQU3+2FEXpjLMB6
L3xsUpGOw5rsJ6kwHwYDVR0jBBgwFoAU3+2FEXpjLMB6L3xsUpGOw5rsJ6kwDwYD
VR0TAQH/BAUwAwEB/zAaBgNVHREEEzARgglsb2NhbGhvc3SHBH8AAAEwCgYIKoZI
zj0EAwIDSQAwRgIhAI6a58RTDvdI+4aHD2DbFGVFUWGb5Lz1drA+lZ7hv+Y5AiEA
7FQuJeaUvdcWdslVyLrC886d2VZvS0PhRpiDMXM25iQ=
-----END CERTIFICATE-----
`,
};

/** Runs with a server of HTTP, or of HTTPS. */
async function serving<A>(listener: RequestListener, run: (endpoint: string) => Promise<A>, tls?: object): Promise<A> {
  const answers = tls === undefined ? createServer(listener) : createSecureServer(tls, listener);
  await new Promise<void>((resolve) => answers.listen(0, "127.0.0.1", resolve));
  try {
    return await run(`${tls === undefined ? "http" : "https"}://127.0.0.1:${(answers.address() as AddressInfo).port}`);
  } finally {
    answers.closeAllConnections();
    answers.close();
  }
}

/** A server that gives one answer to everything. */
function answering(status: number, body: string): RequestListener {
  return (request, response) => {
    request.resume();
    request.on("end", () => response.writeHead(status).end(body));
  };
}

function errorXml(code: string, message: string, more = ""): string {
  return `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;
}

// --- keys

const secrets = {
  accessKeyId: "AKIDSECRETSECRET",
  secretAccessKey: "wJalrSecret/Secret+Secret",
  sessionToken: "FwoGSecretSecretToken==",
};

/** Fails if a text shows a key, plain or in another writing. */
function assertSecret(text: string): void {
  for (const key of [...Object.values(secrets), credentials.secretAccessKey]) {
    for (const written of [key, encodeURIComponent(key), Buffer.from(key).toString("base64"), JSON.stringify(key)]) {
      assert.ok(!text.includes(written), `Expected no key, found ${written} in ${text}`);
    }
  }
}

/** What a load and a save say, which is the same, and shows no key in any of its forms. */
async function refusal(options: S3Options, url = "s3://test/runs/digits"): Promise<string> {
  const loaded = await resume(s3(url, options))({ step: 0 })();
  const saved = await saveState(s3(url, options))({ step: 1 })();
  const thrown = await runOrThrow(saveState(s3(url, options))({ step: 1 })).then(() => "", (error) => error);
  assert(loaded._tag === "Left" && saved._tag === "Left");
  assert.equal(explain(saved.left), explain(loaded.left));
  for (const said of [saved.left, thrown, s3(url, options), saver(s3(url, options))]) {
    assertSecret(inspect(said, { depth: Infinity, showHidden: true }));
    assertSecret(JSON.stringify(said) ?? "");
  }
  assertSecret(`${thrown} ${thrown.stack}`);
  return explain(loaded.left);
}

// --- the messages

testOnS3("refusals: a wrong key or secret, and a bucket that does not exist", async () => {
  const endpoint = await server();
  const secretAccessKey = secrets.secretAccessKey;
  assert.equal(
    await refusal({ endpoint, credentials: { ...credentials, secretAccessKey } }),
    "Cannot list s3://test/runs/digits/checkpoints/ (EACCES): the secret key is not the one of the access key (SignatureDoesNotMatch). " +
      "Check secretAccessKey or AWS_SECRET_ACCESS_KEY, and that no proxy changes requests",
  );
  assert.equal(
    await refusal({ endpoint, credentials: secrets }),
    "Cannot list s3://test/runs/digits/checkpoints/ (EACCES): the server does not know the access key (InvalidAccessKeyId). " +
      "Check accessKeyId or AWS_ACCESS_KEY_ID, and that the endpoint is the server that gave it",
  );
  assert.equal(
    await refusal({ endpoint, credentials }, "s3://nowhere/runs"),
    "Cannot list s3://nowhere/runs/checkpoints/ (ENOBUCKET): there is no such bucket (NoSuchBucket). " +
      "Create it, or check its name and the endpoint",
  );
});

testOnS3("refusals: a request that was signed an hour ago", async () => {
  const connection = httpBucket(settingsOf(bucket, { endpoint: await server(), credentials }));
  const made = await connection.create("late", new Uint8Array(3), new Date(Date.now() - 3_600_000))();
  assert(made._tag === "Left");
  assert.equal(
    explain(made.left),
    "Cannot write s3://test/late (ECLOCK): the clock of this machine differs from the server's by more than 15 minutes " +
      "(RequestTimeTooSkewed). Earlier checkpoints are intact. Set the clock, for example with NTP",
  );
});

/** Answers of servers, and what is said of them. */
const answers: Readonly<Record<string, readonly [status: number, body: string, said: string]>> = {
  "a clock that is wrong": [
    403,
    errorXml("RequestTimeTooSkewed", "The difference is too large."),
    "(ECLOCK): the clock of this machine differs from the server's by more than 15 minutes " +
    "(RequestTimeTooSkewed: The difference is too large.). Set the clock, for example with NTP",
  ],
  "a session that is over": [
    400,
    errorXml("ExpiredToken", `The token ${secrets.sessionToken} has expired.`),
    "(EKEYEXPIRED): the keys have expired (ExpiredToken: The token … has expired.). Pass { credentials: async () => keys }, " +
    "a function that gives new ones, or install @aws-sdk/credential-provider-node",
  ],
  "a signature that is shown": [
    403,
    errorXml("SignatureDoesNotMatch", `AWS4${secrets.secretAccessKey} ${secrets.accessKeyId}`),
    "(EACCES): the secret key is not the one of the access key (SignatureDoesNotMatch: AWS4… …). " +
    "Check secretAccessKey or AWS_SECRET_ACCESS_KEY, and that no proxy changes requests",
  ],
  "another region": [
    400,
    errorXml("AuthorizationHeaderMalformed", "expecting 'eu-west-1'", "<Region>eu-west-1</Region>"),
    "(EREGION): the bucket is in another region (it is in eu-west-1; AuthorizationHeaderMalformed: expecting 'eu-west-1'). " +
    'Pass the region, such as { region: "eu-west-1" }, or set AWS_REGION',
  ],
  "an endpoint that has the bucket in it": [
    404,
    errorXml("NoSuchKey", "No such key."),
    "(ENOENT): the server looked for an object, not for a bucket (NoSuchKey: No such key.). " +
    "Check AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL or the option endpoint: it is the URL of the server, without the bucket",
  ],
  "a page of a web site": [
    200,
    "<!doctype html><title>Console</title>",
    "(ENOTS3): the answer is not one of an S3 server (expected <ListBucketResult>, found no XML). " +
    "Check { endpoint }, or AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL: it is the URL of the S3 API, not of a console or web site",
  ],
  "no page of a web site": [
    404,
    "<!doctype html><title>Not found</title>",
    "(ENOTS3): the answer is not one of an S3 server (status 404). " +
    "Check { endpoint }, or AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL: it is the URL of the S3 API, not of a console or web site",
  ],
};

for (const [title, [status, body, said]] of Object.entries(answers)) {
  test(`refusals: ${title}`, async () => {
    const found = await serving(answering(status, body), (endpoint) => refusal({ endpoint, credentials: secrets }));
    assert.equal(found, `Cannot list s3://test/runs/digits/checkpoints/ ${said}`);
  });
}

test("refusals: a server that replaces an object whatever the condition, which keeps nothing of the save", async () => {
  const fake = await startFakeS3({ buckets: [bucket], ignoresConditions: true });
  const saved = await saveState(s3("s3://test/runs", { endpoint: fake.endpoint, credentials: fakeKeys }))({
    step: 1,
  })();
  await fake.close();
  assert(saved._tag === "Left");
  assert.equal(
    explain(saved.left),
    "Cannot commit s3://test (ENOCONDITION): expected the bucket to refuse an object whose key exists, found that it replaced " +
      "the object. Two saves could then get one number. Earlier checkpoints are intact. Use an object store with conditional writes (If-None-Match); " +
      'for Google Cloud Storage pass { create: "generation" }',
  );
  assert.equal(fake.objects.size, 0);
});

/** Checks a message in which the runtime's own words stand in parentheses. */
function assertSaid(text: string, before: string, words: RegExp, after: string): void {
  assert.ok(text.startsWith(`${before} (`) && text.endsWith(`. ${after}`), text);
  assert.match(text.slice(before.length, text.length - after.length), words);
}

const noTls =
  "Give the endpoint with http:// if the server has no TLS on this port. Else check its certificate; one of your own " +
  "authority goes into NODE_EXTRA_CA_CERTS, in Deno into DENO_CERT";

test("refusals: a certificate that no authority signed, and a server that does not run", async () => {
  const insecure = await serving(
    answering(200, ""),
    (endpoint) => refusal({ endpoint, credentials: secrets }),
    selfSigned,
  );
  assertSaid(
    insecure,
    "Cannot list s3://test/runs/digits/checkpoints/ (ETLS): there is no secure connection",
    /certificate/,
    noTls,
  );
  const plain = await serving(
    answering(200, ""),
    (endpoint) => refusal({ endpoint: endpoint.replace("http:", "https:"), credentials: secrets }),
  );
  assertSaid(
    plain,
    "Cannot list s3://test/runs/digits/checkpoints/ (ETLS): there is no secure connection",
    /./,
    noTls,
  );
  const gone = await serving(answering(200, ""), (endpoint) => Promise.resolve(endpoint));
  assertSaid(
    await refusal({ endpoint: gone, credentials: secrets }),
    "Cannot list s3://test/runs/digits/checkpoints/ (ECONNREFUSED): no server listens there",
    /refused.*\), tried 3 times/i,
    "Start it, or check { endpoint }, or AWS_ENDPOINT_URL_S3 and AWS_ENDPOINT_URL",
  );
});

testOnS3("refusals: no key is in any object of a bucket", async () => {
  const endpoint = await server();
  const location = newLocation();
  await runOrThrow(
    saveState(s3(location, { endpoint, credentials }), { metrics: { loss: 1 }, note: "n" })({ step: 1 }),
  );
  const connection = httpBucket(settingsOf(bucket, { endpoint, credentials }));
  const { objects } = await runOrThrow(connection.list(location.slice(`s3://${bucket}/`.length)));
  assert.ok(objects.length > 0);
  for (const { key } of objects) {
    assertSecret(`${key} ${Buffer.from((await runOrThrow(connection.get(key)))!).toString("latin1")}`);
  }
});
