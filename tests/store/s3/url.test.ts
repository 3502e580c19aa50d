/**
 * URLs of stores, and the options and keys of a connection.
 *
 * @module
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { keySource } from "../../../lib/store/s3/credentials.ts";
import { checkBucketOptions, settingsOf } from "../../../lib/store/s3/options.ts";
import { mostPrefixBytes, parseS3Url } from "../../../lib/store/s3/url.ts";

test("url: a URL is a bucket and a prefix, which may be empty", () => {
  for (const url of ["s3://my.bucket-1", "s3://my.bucket-1/"]) {
    assert.deepEqual(parseS3Url(url), { bucket: "my.bucket-1", prefix: "" });
  }
  assert.deepEqual(parseS3Url("s3://bucket/runs/a b%20é/"), { bucket: "bucket", prefix: "runs/a b%20é" });
});

test("url: any other is a TypeError with the reason", () => {
  const wrong: readonly (readonly [url: unknown, says: RegExp])[] = [
    ["runs/digits", /directory\(path\)/],
    ["https://bucket.s3.amazonaws.com/a", /endpoint/],
    ["gs://bucket/a", /write s3:\/\/, and set AWS_ENDPOINT_URL_S3=https:\/\/storage\.googleapis\.com/],
    ["s3://", /write the bucket/],
    ["s3:///a", /write the bucket/],
    ["s3://Bucket/a", /small letters/],
    ["s3://ab", /3 to 63/],
    ["s3://10.0.0.1/a", /address/],
    ["s3://name--use1-az4--x-s3/a", /directory bucket/],
    ["s3://bucket/a/../b", /"\.\."/],
    ["s3://bucket/./b", /"\."/],
    ["s3://bucket//b", /empty/],
    ["s3://bucket/a//", /empty/],
    ["s3://bucket/a?region=x", /second argument/],
    ["s3://bucket/a\nb", /control/],
    ["s3://bucket/\ud800", /halves/],
    [`s3://bucket/${"é".repeat(mostPrefixBytes / 2 + 1)}`, /1024 bytes/],
    [42, /string/],
  ];
  for (const [url, says] of wrong) {
    assert.throws(
      () => parseS3Url(url as string),
      (error) => error instanceof TypeError && says.test(error.message),
      `${url}`,
    );
  }
  assert.throws(() => parseS3Url("s3://id:secret@bucket/a"), (error) => !String(error).includes("secret"));
});

test("options: the bucket is in the host's name at Amazon, unless it has dots, and in the path elsewhere", () => {
  const styleOf = (bucket: string, endpoint?: string) => {
    const { isVirtual, endpoint: { host } } = settingsOf(bucket, {
      region: "eu-west-1",
      ...(endpoint && { endpoint }),
    });
    return [isVirtual, host];
  };
  assert.deepEqual(styleOf("bucket", "https://s3.eu-west-1.amazonaws.com"), [true, "s3.eu-west-1.amazonaws.com"]);
  assert.deepEqual(styleOf("my.bucket", "https://s3.eu-west-1.amazonaws.com"), [false, "s3.eu-west-1.amazonaws.com"]);
  assert.deepEqual(styleOf("bucket", "http://localhost:9000"), [false, "localhost:9000"]);
  assert.deepEqual(styleOf("bucket", "https://amazonaws.com.example.org"), [false, "amazonaws.com.example.org"]);
});

test("options: at Google a free key is asked for by its generation, unless an option says otherwise", () => {
  const createAt = (endpoint: string, create?: "if-none-match" | "generation"): string =>
    settingsOf("bucket", { endpoint, ...(create && { create }) }).create;
  assert.equal(createAt("https://storage.googleapis.com"), "generation");
  assert.equal(createAt("https://storage.googleapis.com", "if-none-match"), "if-none-match");
  assert.equal(createAt("https://s3.example.com"), "if-none-match");
});

test("options: an endpoint of the environment that is no URL is named by its variable", () => {
  for (const name of ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]) {
    const before = process.env[name];
    process.env[name] = "localhost:9000";
    assert.throws(
      () => settingsOf("bucket", {}),
      new RegExp(`the endpoint in ${name} to be a URL that begins with http`),
    );
    if (before === undefined) delete process.env[name];
    else process.env[name] = before;
  }
});

test("options: wrong ones are a TypeError that shows no keys", () => {
  const keys = { accessKeyId: "a", secretAccessKey: "hidden" };
  checkBucketOptions({ credentials: keys, partSize: 5 * 2 ** 20, timeout: 1000 });
  for (
    const wrong of [
      { credentials: { ...keys, token: "hidden" } },
      { credentials: { secretAccessKey: "hidden" } },
      {
        partSize: 100,
      },
      { concurrency: 0 },
      { timeout: -1 },
      { endpoint: "localhost" },
      { endpoint: "ftp://a" },
      { region: "" },
    ]
  ) {
    assert.throws(
      () => checkBucketOptions(wrong as never),
      (error) => error instanceof TypeError && !error.message.includes("hidden"),
    );
  }
});

test("credentials: without keys and without the package, the failure says which variable is missing, and not where a module was looked for", async () => {
  const names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] as const;
  const set = (name: string, value: string | undefined): void => {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  };
  const before = names.map((name) => process.env[name]);
  const load = (name: string): Promise<never> =>
    Promise.reject(
      Object.assign(new Error(`Cannot find package '${name}' imported from /a`), { code: "ERR_MODULE_NOT_FOUND" }),
    );
  const missing = "and @aws-sdk/credential-provider-node is not installed";
  try {
    for (
      const [values, says] of [
        [[undefined, ""], `AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, ${missing}`],
        [["a", undefined], `AWS_SECRET_ACCESS_KEY is not set, ${missing}`],
        [["", "b"], `AWS_ACCESS_KEY_ID is not set, ${missing}`],
      ] as const
    ) {
      names.forEach((name, i) => set(name, values[i]));
      await assert.rejects(keySource(undefined, load).current(), { code: "ENOKEYS", message: says });
    }
    const broken = keySource(undefined, () => Promise.reject(new Error("no such export\nat a")));
    await assert.rejects(broken.current(), { message: /provider-node cannot be loaded: no such export$/ });
    const keys = { accessKeyId: "a", secretAccessKey: "b" };
    const found = keySource(undefined, () => Promise.resolve({ defaultProvider: () => () => Promise.resolve(keys) }));
    assert.deepEqual(await found.current(), keys);
  } finally {
    names.forEach((name, i) => set(name, before[i]));
  }
  const given = keySource(() => Promise.resolve({} as never));
  await assert.rejects(given.current(), { code: "ENOKEYS" });
});
