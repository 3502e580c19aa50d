/**
 * A save and a load of 256 MiB in 200 tensors in a real object store on this machine (Ceph, in memory), against the same bytes sent and fetched by
 * the same client alone: a bare multipart upload, and bare ranged reads into
 * memory, of pieces of 16 MiB, 4 at once. curl's times are beside them. Then the
 * memory and the longest stall of a save, against those of a save to a folder and of a process that only
 * waits for curl, because the server takes the same two cores; and what is sent of a model whose frozen base is 95 %.
 *
 *     bun run bench s3
 *
 * It needs Debian's packages ceph-mon, ceph-osd and radosgw.
 *
 * @module
 */
import { directory, list, readSnapshot, release, Retention, saveState, type Store } from "@dogear/dogear";
import { s3 } from "@dogear/dogear/s3";
import { AwsClient } from "aws4fetch";
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import { Buffer } from "node:buffer";
import { setTimeout } from "node:timers/promises";
import { bucket, credentials, startS3Server } from "../tests/support/s3_server.ts";
import { compare, median, type Watched, watched } from "./rounds.ts";
import { inFolder, mebi, useBackend, variables } from "./scene.ts";

const [total, piece, atOnce] = [256 * mebi, 16 * mebi, 4];
const server = await startS3Server();
const client = new AwsClient({ ...credentials, service: "s3", region: "us-east-1", retries: 0 });
const objectUrl = (key: string): string => `${server.endpoint.replace(/\/$/, "")}/${bucket}/${key}`;

/** One signed request. Its body is hashed, as the store does. */
async function send(method: string, url: string, body?: Uint8Array<ArrayBuffer>, headers = {}): Promise<Response> {
  const hash = body === undefined
    ? createHash("sha256").digest("hex")
    : Buffer.from(await crypto.subtle.digest("SHA-256", body)).toString("hex");
  const init = { method, headers: { "x-amz-content-sha256": hash, ...headers }, ...(body && { body }) };
  const response = await client.fetch(url, init);
  if (!response.ok) throw new Error(`${method}: ${response.status} ${await response.text()}`);
  return response;
}

/** Runs tasks in order, so many at once. */
async function allOf(count: number, run: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) await run(next++);
  };
  await Promise.all(Array.from({ length: atOnce }, worker));
}

const bytes: Uint8Array<ArrayBuffer> = new Uint8Array(total).fill(1);
const pieces = total / piece;

async function bareUpload(key: string): Promise<void> {
  const begun = await (await send("POST", `${objectUrl(key)}?uploads=`)).text();
  const id = encodeURIComponent(/<UploadId>(.*?)</.exec(begun)?.[1] ?? "");
  const tags: string[] = [];
  await allOf(pieces, async (i) => {
    const url = `${objectUrl(key)}?partNumber=${i + 1}&uploadId=${id}`;
    const sent = await send("PUT", url, bytes.subarray(i * piece, (i + 1) * piece));
    tags[i] = sent.headers.get("etag") ?? "";
    await sent.arrayBuffer();
  });
  const parts = tags.map((tag, i) => `<Part><PartNumber>${i + 1}</PartNumber><ETag>${tag}</ETag></Part>`).join("");
  const end = Uint8Array.from(new TextEncoder().encode(`<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`));
  await (await send("POST", `${objectUrl(key)}?uploadId=${id}`, end)).arrayBuffer();
}

/** Reads of all pieces, which stay in memory as those of a load do. */
async function bareReads(key: string): Promise<void> {
  const kept: ArrayBuffer[] = [];
  await allOf(pieces, async (i) => {
    const range = `bytes=${i * piece}-${(i + 1) * piece - 1}`;
    kept.push(await (await send("GET", objectUrl(key), undefined, { range })).arrayBuffer());
  });
}

/** curl, whole object in one request. */
async function curl(...args: readonly string[]): Promise<void> {
  const { accessKeyId, secretAccessKey } = credentials;
  const user = ["--aws-sigv4", "aws:amz:us-east-1:s3", "-u", `${accessKeyId}:${secretAccessKey}`];
  const hash = ["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD"];
  await once(spawn("curl", ["-sf", ...user, ...hash, ...args], { stdio: "ignore" }), "exit");
}

const curlTime = async (run: () => Promise<void>): Promise<string> => {
  const times: number[] = [];
  for (let i = 0; i < 3; i++) {
    const begun = performance.now();
    await run();
    times.push(performance.now() - begun);
  }
  return `${median(times).toFixed(0)} ms`;
};

function bucketStore(name: string): Store {
  return s3(`s3://${bucket}/${name}`, { endpoint: server.endpoint, credentials, keep: Retention.latest(1) });
}

/** Tensors, and what gives all of them other values: an unchanged tensor would not be sent. */
function changingWeights(): {
  readonly weights: ReturnType<typeof variables>;
  readonly change: () => void;
  readonly dispose: () => void;
} {
  const weights = variables(total, 200);
  const values = [1, 2].map((by) => weights.map((weight) => weight.add(by)));
  let round = 0;
  return {
    weights,
    change: () => {
      round++;
      weights.forEach((weight, i) => weight.assign(values[round % 2]?.[i] ?? weight));
    },
    dispose: () => [weights, ...values].flat().forEach((value) => value.dispose()),
  };
}

/** The longest stall in a save, and the most memory, from the first save on. */
async function stallAndMemory(folder: string): Promise<void> {
  const { weights, change, dispose } = changingWeights();
  const file = join(folder, "bytes");
  await writeFile(file, bytes);
  const save = (store: Store) => async (): Promise<void> => void await saveState(store)({ weights });
  const works = [
    ["a save to s3", save(bucketStore("watched"))],
    ["nothing, while curl uploads", () => curl("-T", file, objectUrl("curl"))],
    ["a save to a directory", save(directory(join(folder, "run"), { keep: Retention.latest(1) }))],
  ] as const;
  for (const [name, work] of works) {
    const seen: Watched[] = [];
    for (let i = 0; i < 6; i++) {
      change();
      seen.push(await watched(work));
      await setTimeout(1000);
    }
    const [gap, memory] = [median(seen.map((one) => one.gap)), Math.max(...seen.map((one) => one.memory))];
    process.stdout.write(
      `${name}: longest stall ${gap.toFixed(1)} ms (median of 6); memory above the tensors ${
        memory.toFixed(0)
      } MiB at most\n`,
    );
  }
  dispose();
}

async function saveAndLoad(folder: string): Promise<void> {
  const { weights, change, dispose } = changingWeights();
  const store = s3(`s3://${bucket}/save`, { endpoint: server.endpoint, credentials });
  // The server removes in the background, which takes time of its own.
  const rest = (): Promise<void> => setTimeout(1000);
  await compare(
    {
      name: "save 256 MiB in 200 tensors",
      before: change,
      run: async () => void await saveState(store)({ weights }),
      after: async () => {
        const { entries } = await list(store);
        for (const { checkpoint } of entries.slice(0, -1)) await store.remove(checkpoint)();
        await rest();
      },
    },
    {
      name: "bare multipart upload",
      run: () => bareUpload("bare"),
      after: () => send("DELETE", objectUrl("bare")).then(rest),
    },
  );
  await bareUpload("bare");
  await compare(
    { name: "load and verify", run: async () => release(await readSnapshot(store))() },
    { name: "bare ranged reads", run: () => bareReads("bare") },
  );
  const file = join(folder, "bytes");
  const put = await curlTime(() => curl("-T", file, objectUrl("curl")));
  process.stdout.write(`curl: PUT ${put}, GET ${await curlTime(() => curl("-o", "/dev/null", objectUrl("curl")))}\n`);
  dispose();
}

/** What is sent of a state of which 95 % stays as it is. */
async function frozenBase(): Promise<void> {
  const [base, head] = [variables(total * 0.95, 19), variables(total * 0.05, 1)];
  const store = bucketStore("frozen");
  await saveState(store)({ base, head });
  // The second save finds out what stays.
  for (const round of [1, 2]) {
    head.forEach((weight) => weight.assign(weight.add(round)));
    const { bytesWritten, bytesTotal } = await saveState(store)({ base, head });
    process.stdout.write(
      `frozen base of 95 %, save ${round + 1}: ${(bytesWritten / bytesTotal * 100).toFixed(1)} % of the bytes sent\n`,
    );
  }
  [base, head].flat().forEach((value) => value.dispose());
}

try {
  await useBackend("cpu");
  await inFolder(async (folder) => {
    await stallAndMemory(folder);
    await saveAndLoad(folder);
    await frozenBase();
  });
} finally {
  await server.stop();
}
