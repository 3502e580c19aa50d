/**
 * A small S3 server in this process, whose answers a test can spoil.
 *
 * It keeps objects in memory, checks signatures and hashes, and knows the operations that the library uses. A test that needs a server as it
 * is in earnest uses a real one.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash, createHmac, randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

// --- types

/** An object of the server. */
export interface FakeObject {
  readonly bytes: Uint8Array;
  readonly etag: string;
  readonly modified: number;
}

/** A request that the server received. */
export interface FakeRequest {
  readonly method: string;
  /** The operation, such as `PutObject`. */
  readonly operation: string;
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: Readonly<Record<string, string>>;
  readonly bytes: Uint8Array;
  /** How many requests of this operation came before. */
  readonly before: number;
}

/** An answer. */
export interface FakeAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | string;
}

/** What happens in place of the right answer. */
export type Mischief =
  /** The connection closes before the request is carried out. */
  | { readonly sort: "lose request" }
  /** The request is carried out, then the connection closes. */
  | { readonly sort: "lose answer" }
  /** The request is carried out, and never answered. */
  | { readonly sort: "never answer" }
  /** The connection closes after so many bytes of the body. */
  | { readonly sort: "cut"; readonly after: number }
  /** Nothing comes after so many bytes of the body. */
  | { readonly sort: "stall"; readonly after: number }
  /** Another answer; the request is carried out only if so said. */
  | { readonly sort: "answer"; readonly answer: FakeAnswer; readonly isDone?: boolean }
  /** The right answer, changed. */
  | { readonly sort: "change"; readonly change: (answer: FakeAnswer) => FakeAnswer };

/** How the server is. */
export interface FakeOptions {
  /** The buckets. */
  readonly buckets?: readonly string[];
  readonly mischief?: (request: FakeRequest) => Mischief | undefined;
  /** Whether a conditional write succeeds although the key is taken. */
  readonly ignoresConditions?: boolean;
  /** The server's time. */
  readonly now?: () => number;
  /** The most keys of a page. */
  readonly pageKeys?: number;
  readonly keys?: { readonly accessKeyId: string; readonly secretAccessKey: string };
}

/** A running server. */
export interface FakeS3 {
  readonly endpoint: string;
  readonly objects: Map<string, FakeObject>;
  /** The unfinished uploads. */
  readonly uploads: ReadonlyMap<string, FakeUpload>;
  /** What it received. */
  readonly requests: readonly FakeRequest[];
  readonly close: () => Promise<void>;
}

/** An unfinished upload. */
export interface FakeUpload {
  readonly key: string;
  readonly begun: number;
  readonly parts: Map<number, Uint8Array>;
}

interface State {
  readonly options: FakeOptions;
  readonly objects: Map<string, FakeObject>;
  readonly uploads: Map<string, FakeUpload>;
}

/** The keys of the server, unless a test says otherwise. */
export const fakeKeys = { accessKeyId: "AKFAKEFAKEFAKEFAKE00", secretAccessKey: "fake/secret/key+0123456789" } as const;

// --- constructors

function digest(algorithm: string, bytes: Uint8Array | string, encoding: "hex" | "base64" = "hex"): string {
  return createHash(algorithm).update(bytes).digest(encoding);
}

function xml(root: string, inside: string, status: number = 200): FakeAnswer {
  const body =
    `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${inside}</${root}>`;
  return { status, headers: { "content-type": "application/xml" }, body };
}

/** An answer that is an error of S3. */
export function fakeError(status: number, code: string, message: string = "no", more: string = ""): FakeAnswer {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message>${more}</Error>`;
  return { status, headers: { "content-type": "application/xml" }, body };
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** What is wrong with the signature of a request, if anything ("Signature Version 4 signing process"). */
function faultOfSignature(request: FakeRequest, path: string, { keys = fakeKeys, now = Date.now }: FakeOptions) {
  const { authorization = "", "x-amz-date": date = "", "x-amz-content-sha256": hash = "" } = request.headers;
  const [, keyId, scope = "", names = "", signature] =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\S+), SignedHeaders=(\S+), Signature=(\S+)$/.exec(authorization) ?? [];
  if (keyId !== keys.accessKeyId) return fakeError(403, "InvalidAccessKeyId");
  const time = Date.parse(date.replace(/^(....)(..)(..)T(..)(..)(..)Z$/, "$1-$2-$3T$4:$5:$6Z"));
  if (!(Math.abs(time - now()) <= 15 * 60_000)) return fakeError(403, "RequestTimeTooSkewed");
  if (hash !== digest("sha256", request.bytes)) return fakeError(400, "XAmzContentSHA256Mismatch");
  const query = [...request.query].map(([name, value]) => `${encoded(name)}=${encoded(value)}`).sort().join("&");
  const headers = names.split(";").map((name) => `${name}:${request.headers[name] ?? ""}\n`).join("");
  const canonical = [request.method, path, query, headers, names, hash].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", date, scope, digest("sha256", canonical)].join("\n");
  const key = scope.split("/").reduce<Uint8Array | string>(
    (above, text) => createHmac("sha256", above).update(text).digest(),
    `AWS4${keys.secretAccessKey}`,
  );
  const expected = createHmac("sha256", key).update(toSign).digest("hex");
  return signature === expected && names.split(";").includes("host")
    ? undefined
    : fakeError(403, "SignatureDoesNotMatch", "no", `<AWSAccessKeyId>${keyId}</AWSAccessKeyId>`);
}

function operationOf(method: string, key: string, query: URLSearchParams, headers: IncomingMessage["headers"]): string {
  const isCopy = headers["x-amz-copy-source"] !== undefined;
  if (key === "") {
    if (query.has("delete")) return "DeleteObjects";
    return query.has("uploads") ? "ListMultipartUploads" : "ListObjectsV2";
  }
  if (query.has("uploadId")) {
    if (method === "PUT") return isCopy ? "UploadPartCopy" : "UploadPart";
    return method === "POST" ? "CompleteMultipartUpload" : "AbortMultipartUpload";
  }
  if (query.has("uploads")) return "CreateMultipartUpload";
  if (method === "PUT") return isCopy ? "CopyObject" : "PutObject";
  return { GET: "GetObject", HEAD: "HeadObject", DELETE: "DeleteObject" }[method] ?? "?";
}

// --- operations

type Operation = (state: State, request: FakeRequest) => FakeAnswer;

function timeOf({ options }: State): number {
  return Math.floor((options.now ?? Date.now)() / 1000) * 1000;
}

function store(state: State, key: string, bytes: Uint8Array, etag: string = digest("md5", bytes)): FakeObject {
  const object = { bytes, etag: `"${etag}"`, modified: timeOf(state) };
  state.objects.set(key, object);
  return object;
}

const noSuchKey = fakeError(404, "NoSuchKey");
const noSuchUpload = fakeError(404, "NoSuchUpload");

function put(state: State, { key, bytes, headers }: FakeRequest): FakeAnswer {
  const asked = headers["if-none-match"] === "*" || headers["x-goog-if-generation-match"] === "0";
  if (asked && state.objects.has(key) && !state.options.ignoresConditions) return fakeError(412, "PreconditionFailed");
  return { status: 200, headers: { etag: store(state, key, bytes).etag } };
}

function get({ objects }: State, { key, headers, method }: FakeRequest): FakeAnswer {
  const object = objects.get(key);
  if (object === undefined) return noSuchKey;
  const { bytes, etag, modified } = object;
  const match = headers["if-match"];
  if (match !== undefined && match !== etag) return fakeError(412, "PreconditionFailed");
  const about = { etag, "last-modified": new Date(modified).toUTCString() };
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers["range"] ?? "") ?? [];
  if (from === undefined) {
    return {
      status: 200,
      headers: { ...about, ...(method === "HEAD" && { "content-length": `${bytes.length}` }) },
      body: bytes,
    };
  }
  if (Number(from) >= bytes.length) return fakeError(416, "InvalidRange");
  const end = Math.min(to === "" ? Infinity : Number(to) + 1, bytes.length);
  const range = { "content-range": `bytes ${from}-${end - 1}/${bytes.length}` };
  return { status: 206, headers: { ...about, ...range }, body: bytes.subarray(Number(from), end) };
}

function sourceOf({ objects }: State, { headers }: FakeRequest): Uint8Array | undefined {
  const source = decodeURIComponent(headers["x-amz-copy-source"]!).split("/").slice(2).join("/");
  const bytes = objects.get(source)?.bytes;
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers["x-amz-copy-source-range"] ?? "") ?? [];
  return from === undefined ? bytes : bytes?.subarray(Number(from), Number(to) + 1);
}

function copy(state: State, request: FakeRequest): FakeAnswer {
  const bytes = sourceOf(state, request);
  if (bytes === undefined) return noSuchKey;
  return xml("CopyObjectResult", `<ETag>${store(state, request.key, bytes).etag}</ETag>`);
}

function putPart(state: State, request: FakeRequest): FakeAnswer {
  const { query, headers } = request;
  const upload = state.uploads.get(query.get("uploadId")!);
  const isCopy = headers["x-amz-copy-source"] !== undefined;
  const bytes = isCopy ? sourceOf(state, request) : request.bytes;
  if (upload === undefined) return noSuchUpload;
  if (bytes === undefined) return noSuchKey;
  upload.parts.set(Number(query.get("partNumber")), bytes);
  const etag = `"${digest("md5", bytes)}"`;
  return isCopy ? xml("CopyPartResult", `<ETag>${etag}</ETag>`) : { status: 200, headers: { etag } };
}

function complete(state: State, { key, query, bytes }: FakeRequest): FakeAnswer {
  const id = query.get("uploadId")!;
  const upload = state.uploads.get(id);
  if (upload === undefined) return noSuchUpload;
  const listed = [...Buffer.from(bytes).toString().matchAll(/<PartNumber>(\d+)<\/PartNumber><ETag>(.*?)<\/ETag>/g)];
  const parts = listed.map(([, number]) => upload.parts.get(Number(number)));
  const areSame = listed.every(([, , etag], i) => parts[i] && etag === `&quot;${digest("md5", parts[i])}&quot;`);
  if (!areSame) return fakeError(400, "InvalidPart");
  state.uploads.delete(id);
  store(state, key, Buffer.concat(parts as Uint8Array[]), `x-${parts.length}`);
  return xml("CompleteMultipartUploadResult", `<ETag></ETag>`);
}

function list(state: State, { query }: FakeRequest): FakeAnswer {
  const [prefix, delimiter] = [query.get("prefix") ?? "", query.get("delimiter")];
  const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
  const most = Math.min(Number(query.get("max-keys") ?? 1000), state.options.pageKeys ?? 1000);
  const entries = new Map<string, FakeObject | undefined>();
  const keys = [...state.objects.keys()].filter((key) => key.startsWith(prefix)).sort();
  for (const key of keys) {
    const cut = delimiter === null ? -1 : key.indexOf(delimiter, prefix.length);
    const entry = cut < 0 ? key : key.slice(0, cut + 1);
    if (entry > after) entries.set(entry, cut < 0 ? state.objects.get(key) : undefined);
  }
  const page = [...entries].slice(0, most);
  const isTruncated = entries.size > page.length;
  const inside = page.map(([key, object]) =>
    object === undefined
      ? `<CommonPrefixes><Prefix>${encoded(key)}</Prefix></CommonPrefixes>`
      : `<Contents><Key>${encoded(key)}</Key><LastModified>${new Date(object.modified).toISOString()}</LastModified>` +
        `<Size>${object.bytes.length}</Size></Contents>`
  );
  const next = isTruncated ? `<NextContinuationToken>${page.at(-1)![0]}</NextContinuationToken>` : "";
  return xml(
    "ListBucketResult",
    `<EncodingType>url</EncodingType><IsTruncated>${isTruncated}</IsTruncated>${next}${inside.join("")}`,
  );
}

function listUploads(state: State, { query }: FakeRequest): FakeAnswer {
  const prefix = query.get("prefix") ?? "";
  const after = `${query.get("key-marker") ?? ""}\0${query.get("upload-id-marker") ?? ""}`;
  const all = [...state.uploads].filter(([, { key }]) => key.startsWith(prefix))
    .map(([id, { key, begun }]) => ({ id, key, begun, order: `${key}\0${id}` }))
    .sort((a, b) => a.order < b.order ? -1 : 1).filter(({ order }) => order > after);
  const page = all.slice(0, state.options.pageKeys ?? 1000);
  const inside = page.map(({ id, key, begun }) =>
    `<Upload><Key>${encoded(key)}</Key><UploadId>${id}</UploadId><Initiated>${
      new Date(begun).toISOString()
    }</Initiated></Upload>`
  );
  const last = page.at(-1);
  const next = page.length < all.length
    ? `<IsTruncated>true</IsTruncated><NextKeyMarker>${encoded(last!.key)}</NextKeyMarker><NextUploadIdMarker>${
      last!.id
    }</NextUploadIdMarker>`
    : "<IsTruncated>false</IsTruncated>";
  return xml("ListMultipartUploadsResult", `<EncodingType>url</EncodingType>${next}${inside.join("")}`);
}

function removeAll(state: State, { bytes, headers }: FakeRequest): FakeAnswer {
  if (headers["content-md5"] !== digest("md5", bytes, "base64")) return fakeError(400, "InvalidDigest");
  for (const [, key] of Buffer.from(bytes).toString().matchAll(/<Key>(.*?)<\/Key>/g)) {
    state.objects.delete(
      key!.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&quot;", '"').replaceAll("&amp;", "&"),
    );
  }
  return xml("DeleteResult", "");
}

const operations: Readonly<Record<string, Operation>> = {
  PutObject: put,
  GetObject: get,
  HeadObject: get,
  CopyObject: copy,
  UploadPart: putPart,
  UploadPartCopy: putPart,
  CompleteMultipartUpload: complete,
  ListObjectsV2: list,
  ListMultipartUploads: listUploads,
  DeleteObjects: removeAll,
  DeleteObject: ({ objects }, { key }) => {
    objects.delete(key);
    return { status: 204 };
  },
  CreateMultipartUpload: (state, { key }) => {
    const id = randomUUID();
    state.uploads.set(id, { key, begun: timeOf(state), parts: new Map() });
    return xml("InitiateMultipartUploadResult", `<UploadId>${id}</UploadId>`);
  },
  AbortMultipartUpload: ({ uploads }, { query }) =>
    uploads.delete(query.get("uploadId")!) ? { status: 204 } : noSuchUpload,
};

// --- server

function perform(state: State, bucket: string, path: string, request: FakeRequest): FakeAnswer {
  const fault = faultOfSignature(request, path, state.options);
  if (fault !== undefined) return fault;
  if (!(state.options.buckets ?? ["bucket"]).includes(bucket)) return fakeError(404, "NoSuchBucket");
  return operations[request.operation]?.(state, request) ?? fakeError(405, "MethodNotAllowed");
}

/** Sends an answer, or only its beginning. */
function send(
  response: ServerResponse,
  { status, headers = {}, body = "" }: FakeAnswer,
  { now = Date.now }: FakeOptions,
  spoiled: { readonly sort: "cut" | "stall"; readonly after: number } | undefined,
): void {
  const bytes = Buffer.from(body as Uint8Array);
  const length = { "content-length": `${bytes.length}` };
  response.writeHead(status, { date: new Date(now()).toUTCString(), ...(status !== 204 && length), ...headers });
  if (spoiled === undefined) {
    response.end(status === 204 ? undefined : bytes);
    return;
  }
  response.flushHeaders();
  response.write(bytes.subarray(0, spoiled.after));
  if (spoiled.sort === "cut") setTimeout(() => response.socket?.destroy(), 20);
}

async function bodyOf(message: IncomingMessage): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  for await (const piece of message) pieces.push(piece as Uint8Array);
  return Buffer.concat(pieces);
}

/** Starts a server on a free port of this machine. */
export async function startFakeS3(options: FakeOptions = {}): Promise<FakeS3> {
  const state: State = { options, objects: new Map(), uploads: new Map() };
  const requests: FakeRequest[] = [];

  async function handle(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(message.url!, "http://fake");
    const [, bucket = "", ...rest] = url.pathname.split("/");
    const key = rest.map(decodeURIComponent).join("/");
    const method = message.method!;
    const operation = operationOf(method, key, url.searchParams, message.headers);
    const bytes = await bodyOf(message);
    const headers = message.headers as Record<string, string>;
    const before = requests.filter((one) => one.operation === operation).length;
    const request = { method, operation, key, query: url.searchParams, headers, bytes, before };
    requests.push(request);
    const mischief = options.mischief?.(request);
    if (mischief?.sort === "lose request") return void response.socket?.destroy();
    if (mischief?.sort === "answer" && !mischief.isDone) return send(response, mischief.answer, options, undefined);
    const answer = perform(state, bucket, url.pathname, request);
    if (mischief?.sort === "lose answer") response.socket?.destroy();
    else if (mischief?.sort === "answer") send(response, mischief.answer, options, undefined);
    else if (mischief?.sort === "change") send(response, mischief.change(answer), options, undefined);
    else if (mischief?.sort !== "never answer") send(response, answer, options, mischief);
  }

  const server = createServer((message, response) =>
    void handle(message, response).catch(() => response.socket?.destroy())
  );
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    objects: state.objects,
    uploads: state.uploads,
    requests,
    close: async () => {
      const closed = new Promise<void>((done) => server.close(() => done()));
      server.closeAllConnections();
      await Promise.race([closed, new Promise((done) => setTimeout(done, 500))]);
    },
  };
}
