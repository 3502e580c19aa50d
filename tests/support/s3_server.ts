/**
 * A real object store for tests: Ceph's radosgw, from Debian's packages ceph-mon, ceph-osd and radosgw.
 *
 * The tests of a run share one server, which `tests/run.ts` starts. A file that is run alone starts its own. Data is kept in memory, unless a
 * test kills the server. Each test makes a bucket or a prefix of its own. The server ends with the process that started it, even one that is killed.
 *
 * @module
 */
import { AwsClient } from "aws4fetch";
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomBytes, randomInt } from "node:crypto";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline";
import { after } from "node:test";
import { root } from "../gate/runtimes.ts";
import { needs, type Test } from "./portable.ts";

// --- types

/** A server that runs. */
export interface S3Server {
  /** Its URL. */
  readonly endpoint: string;
  /** Where it keeps its data. */
  readonly folder: string;
  /** Kills its daemons (`kill -9`). */
  readonly crash: () => Promise<void>;
  /** Starts the daemons again after {@link S3Server.crash}. */
  readonly restart: () => Promise<void>;
  /** Ends it and removes what it kept. */
  readonly stop: () => Promise<void>;
}

// --- constructors

/** The keys of every server. */
export const credentials: { readonly accessKeyId: string; readonly secretAccessKey: string } = {
  accessKeyId: "test",
  secretAccessKey: "testsecret",
};

/** The variable with the URL of the server that the tests of a run share. */
export const endpointVariable = "DOGEAR_S3_ENDPOINT";

/** The bucket that every server has. */
export const bucket = "test";

/** Whether the text of a test file says that it uses the shared server. */
export function usesS3Server(text: string): boolean {
  return text.includes("/s3_server.ts");
}

/**
 * Starts a server, empty, with the bucket {@link bucket}.
 *
 * @param store Whether it keeps its data in memory, which takes 1.5 s to start, or on disk, where it survives a crash.
 */
export async function startS3Server(store: "memstore" | "bluestore" = "memstore"): Promise<S3Server> {
  const folder = mkdtempSync(join(tmpdir(), "dogear-s3-"));
  // An address of its own, so that no port of it is taken.
  const address = `127.${randomInt(1, 255)}.${randomInt(1, 255)}.${randomInt(1, 255)}`;
  const port = randomInt(20_000, 32_000);
  const { accessKeyId, secretAccessKey } = credentials;
  const script = join(root, "tests/support/ceph.sh");
  const child = spawn(script, [folder, store, address, `${port}`, accessKeyId, secretAccessKey], {
    // Out of the process group of the test, whose end the script outlives to remove the folder.
    detached: true,
    stdio: ["pipe", "pipe", "pipe"],
  });
  let errors = "";
  child.stderr.on("data", (data) => errors += data);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const answers = createInterface(child.stdout)[Symbol.asyncIterator]();
  const answer = async (expected: string): Promise<void> => {
    const { value } = await answers.next();
    assert.equal(value, expected, `Expected the server to be ${expected}, found:\n${errors}`);
  };
  const command = async (text: string, expected: string): Promise<void> => {
    child.stdin.write(`${text}\n`);
    await answer(expected);
  };
  await answer("ready");
  const endpoint = `http://${address}:${port}`;
  await makeBucket(endpoint, bucket);
  return {
    endpoint,
    folder,
    crash: () => command("crash", "crashed"),
    restart: () => command("start", "ready"),
    stop: async () => {
      child.stdin.end();
      await ended;
    },
  };
}

/** Makes a bucket on a server. */
export async function makeBucket(endpoint: string, name: string): Promise<void> {
  const client = new AwsClient({ ...credentials, service: "s3", region: "us-east-1" });
  const answer = await client.fetch(`${endpoint}/${name}`, { method: "PUT" });
  assert.equal(answer.status, 200, await answer.text());
}

/** The server that the tests of this run share; else one of this file, started when it is first asked for. To be called where a file begins. */
export function sharedS3Server(): () => Promise<string> {
  const given = process.env[endpointVariable];
  if (given !== undefined) return () => Promise.resolve(given);
  let started: Promise<S3Server> | undefined;
  after(async () => (await started)?.stop());
  return async () => (await (started ??= startS3Server())).endpoint;
}

/** Sets the variables of the environment that say where the server is, for this process and those that it starts. */
export function setS3Environment(endpoint: string): void {
  Object.assign(process.env, {
    AWS_ENDPOINT_URL_S3: endpoint,
    AWS_ACCESS_KEY_ID: credentials.accessKeyId,
    AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
    AWS_REGION: "us-east-1",
  });
}

/** The URL of a new location in the bucket {@link bucket}. */
export function newLocation(): string {
  return `s3://${bucket}/${randomBytes(8).toString("hex")}`;
}

/** A test that needs a server: left out where Debian's packages are missing, unless `DOGEAR_S3=required`. */
export const testOnS3: Test = needs("S3 server");
