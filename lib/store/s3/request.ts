/**
 * Requests: signed, sent, and tried again.
 *
 * Each body is signed with its SHA-256, so that the server refuses a changed one. An answer, and each piece of its body, is waited for at most
 * `timeout`: the reader is raced with a timer, because the abort signal of Bun does not end a read that waits for a body.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import { AwsV4Signer } from "aws4fetch";
import { Buffer } from "node:buffer";
import { setTimeout as delay } from "node:timers/promises";
import { sha256Of } from "../mod.ts";
import type { ConnectionSettings } from "./options.ts";
import type { S3Keys } from "./credentials.ts";
import { bodyOf } from "./request_body.ts";
import { type FailedRequest, type Fault, faultOf, faultOfAnswer, faultOfException, type Sort } from "./s3_errors.ts";
import { encoded, encodedKey } from "./url.ts";
import { rootOf } from "./xml.ts";

// --- types

/** A request to a bucket. */
export interface S3Request {
  /** The operation in messages, such as `read`. */
  readonly operation: string;
  readonly method: "GET" | "HEAD" | "PUT" | "POST" | "DELETE";
  /** The object; without one, the request is about the bucket. */
  readonly key?: string;
  readonly query?: Readonly<Record<string, string>>;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  /** The SHA-256 of the body in hexadecimal, if it is known. */
  readonly hash?: string;
  /** The time of the signature. */
  readonly at?: Date;
  /** Bytes that the server moves before it answers. */
  readonly work?: number;
  /** Whether the runtime must not send it a second time by itself. */
  readonly isOnce?: boolean;
}

/** The successful answer to a request. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The next piece of the body; undefined at its end. */
  readonly next: () => Promise<Uint8Array | undefined>;
  /** The whole body as text. */
  readonly text: () => Promise<string>;
  /** The whole body as a document with this root. An `<Error>` is a failure, although the status is 200. */
  readonly xml: (root: string) => Promise<string>;
  /** Ends the exchange with a failure. */
  readonly fail: (sort: Sort, detail?: string, more?: Partial<Fault>) => never;
  /** Ends the exchange with the failure that an `<Error>` describes. */
  readonly failWith: (xml: string) => never;
}

/** A connection to a bucket. */
export interface Connection {
  readonly settings: ConnectionSettings;
  /** The bucket in messages. */
  readonly location: string;
  /** Sends a request once, and reads its answer. */
  readonly exchange: <A>(request: S3Request, read: (answer: Answer) => Promise<A>) => Promise<E.Either<Fault, A>>;
  /** {@link Connection.exchange}, tried again while the failure is transient, a bounded number of times; once if another was just given up. */
  readonly send: <A>(request: S3Request, read: (answer: Answer) => Promise<A>) => Promise<E.Either<Fault, A>>;
  /** Tries again as `send` does. Attempts that make progress do not count. */
  readonly retried: <A>(
    attempt: () => Promise<E.Either<Fault, A>>,
    progress?: () => number,
  ) => Promise<E.Either<Fault, A>>;
  /** Runs a request with data when fewer than `concurrency` run. */
  readonly inTurn: <A>(run: () => Promise<A>) => Promise<A>;
}

/** A request with data may take a millisecond more for so many bytes: 256 KiB/s. */
const slowest = 256 * 1.024;
/** The lowest rate that is expected of a server that copies data inside itself: 16 MiB/s. */
const slowestWork = 16_384 * 1.024;
/** An attempt that moved fewer bytes than this made no progress. */
const leastProgress = 65_536;
/** Attempts at a server that was never reached. */
const firstAttempts = 3;
/** A request that begins so soon after another was given up, in milliseconds, cleans up after it or replaces it: it is tried once. */
const soon = 1000;
/** The longest body of an answer that is read as text. */
const mostText = 16 * 2 ** 20;
/** The longest wait that a server can ask for, in milliseconds. */
const mostWait = 30_000;

/** A body of at most this many bytes is sent as it is, a longer one as a stream. */
const shortBody = 256 * 1024;
/** At most so many bytes of a stream are on their way. */
const buffered = 4 * 2 ** 20;
/** Digesting this many bytes takes less than a millisecond. */
const hashedAtOnce = 2 ** 20;
const nothing = new Uint8Array(0);

// --- timers

/** A failure that was found in the middle of an exchange. */
class Failing extends Error {
  readonly fault: Fault;
  constructor(fault: Fault) {
    super(fault.failed.message);
    this.fault = fault;
  }
}

/** Milliseconds in a message. */
function secondsText(milliseconds: number): string {
  return `${Number((milliseconds / 1000).toPrecision(2))} s`;
}

/** A timer that is set back by each sign of life. */
function watchdog(milliseconds: number): {
  /** Waits for a promise, but not for longer than the timer runs. */
  readonly guard: <A>(promise: Promise<A>) => Promise<A>;
  readonly touch: (milliseconds: number) => void;
  readonly stop: () => void;
} {
  let allowed = milliseconds;
  let last = performance.now();
  let timer: ReturnType<typeof setTimeout>;
  const expired = new Promise<never>((_, reject) => {
    const expire = (): void =>
      reject(Object.assign(new Error(`nothing for ${secondsText(allowed)}`), { code: "ETIMEDOUT" }));
    /** Looks again after a short time: data that arrived while this process computed is read after this timer. */
    const look = (isSecond: boolean) => (): void => {
      const left = last + allowed - performance.now();
      if (left > 0) timer = setTimeout(look(false), left);
      else if (isSecond) expire();
      else timer = setTimeout(look(true), Math.min(1000, allowed / 4));
    };
    timer = setTimeout(look(false), allowed);
  });
  expired.catch(() => undefined);
  return {
    guard: (promise) => Promise.race([promise, expired]),
    touch: (milliseconds) => {
      allowed = milliseconds;
      last = performance.now();
    },
    stop: () => clearTimeout(timer),
  };
}

/** Lets a number of tasks run at once, the others in the order in which they came. */
function turns(most: number): Connection["inTurn"] {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async (run) => {
    if (running < most) running += 1;
    else await new Promise<void>((go) => waiting.push(go));
    try {
      return await run();
    } finally {
      const next = waiting.shift();
      if (next === undefined) running -= 1;
      else next();
    }
  };
}

// --- one request

/** The SHA-256 of a body. A long one is copied and digested on another thread. */
async function hashOf(body: Uint8Array): Promise<string> {
  if (body.length <= hashedAtOnce) return sha256Of(body);
  return Buffer.from(await crypto.subtle.digest("SHA-256", body as Uint8Array<ArrayBuffer>)).toString("hex");
}

function urlOf({ endpoint, isVirtual, bucket }: ConnectionSettings, { key, query = {} }: S3Request): string {
  const base = `${endpoint.protocol}//${isVirtual ? `${bucket}.` : ""}${endpoint.host}${
    endpoint.pathname.replace(/\/$/, "")
  }`;
  const path = `${isVirtual ? "" : `/${bucket}`}/${key === undefined ? "" : encodedKey(key)}`;
  const search = Object.entries(query).map(([name, value]) => `${encoded(name)}=${encoded(value)}`).join("&");
  return `${base}${isVirtual || key !== undefined ? path : path.slice(0, -1)}${search && `?${search}`}`;
}

/** What an exchange knows of its place, its timer and how it fails. */
interface Exchange {
  readonly place: FailedRequest;
  readonly guard: <A>(promise: Promise<A>) => Promise<A>;
  readonly touch: () => void;
}

interface Signing {
  readonly keys: S3Keys;
  readonly cache: Map<string, ArrayBuffer>;
}

/** A request with its signature. The encoding of the answer is not signed, because proxies change it. */
async function signed(
  settings: ConnectionSettings,
  request: S3Request,
  { keys, cache }: Signing,
): Promise<{ readonly url: URL; readonly headers: Headers }> {
  const { method, headers, body, hash = await hashOf(body ?? nothing), at = new Date() } = request;
  const signer = new AwsV4Signer({
    method,
    url: urlOf(settings, request),
    headers: { ...headers, "x-amz-content-sha256": hash },
    accessKeyId: keys.accessKeyId,
    secretAccessKey: keys.secretAccessKey,
    ...(keys.sessionToken !== undefined && { sessionToken: keys.sessionToken }),
    service: "s3",
    region: settings.region,
    cache,
    datetime: at.toISOString().replace(/[:-]|\.\d{3}/g, ""),
  });
  const { url, headers: all } = await signer.sign();
  all.set("accept-encoding", "identity");
  return { url, headers: all };
}

function answerOf(response: Response, { place, guard, touch }: Exchange): Answer & { readonly end: () => boolean } {
  const { status, headers } = response;
  const reader = response.body?.getReader();
  let isOver = reader === undefined;

  const fail: Answer["fail"] = (sort, detail, more) => {
    throw new Failing(faultOf(sort, place, detail, more));
  };

  const failWith: Answer["failWith"] = (xml) => {
    throw new Failing(faultOfAnswer(place, status, headers, xml));
  };

  async function next(): Promise<Uint8Array | undefined> {
    if (reader === undefined || isOver) return undefined;
    const { done, value } = await guard(reader.read());
    touch();
    isOver = done;
    return value;
  }

  async function text(): Promise<string> {
    const pieces: Uint8Array[] = [];
    let length = 0;
    for (let piece = await next(); piece !== undefined; piece = await next()) {
      pieces.push(piece);
      length += piece.length;
      if (length > mostText) return fail("notS3", `its answer is longer than ${mostText} bytes`);
    }
    const expected = headers.get("content-length");
    const isWhole = expected === null || Number(expected) === length || length === 0;
    return isWhole ? Buffer.concat(pieces).toString("utf8") : fail("cut", `${length} of ${expected} bytes`);
  }

  return {
    status,
    headers,
    next,
    text,
    xml: async (root) => {
      const document = await text();
      const found = rootOf(document);
      if (found === root) return document;
      if (found === "Error") return failWith(document);
      return fail("notS3", `expected <${root}>, found ${found === undefined ? "no XML" : `<${found}>`}`);
    },
    fail,
    failWith,
    end: () => {
      // Not awaited: on Bun, it does not end while the body stalls.
      if (!isOver) reader!.cancel().catch(() => undefined);
      return isOver;
    },
  };
}

// --- constructors

/** What messages call an object of a bucket, or the objects of a prefix. */
function pathOf(location: string, key: string = ""): string {
  return key === "" ? location : `${location}/${key}`;
}

function exchanging(settings: ConnectionSettings, location: string, reached: () => void): Connection["exchange"] {
  const cache = new Map<string, ArrayBuffer>();
  const { timeout } = settings;
  let canStream = true;
  return async (request, read) => {
    const { operation, method, key, query, body = nothing, isOnce = false, work = 0 } = request;
    const isStream = canStream && body.length > (isOnce ? 0 : shortBody);
    const patience = timeout + Math.min(body.length, isStream ? buffered : Infinity) / slowest + work / slowestWork;
    const { guard, touch, stop } = watchdog(patience);
    const controller = new AbortController();
    let place: FailedRequest = { operation, path: pathOf(location, key ?? query?.["prefix"]), keys: undefined };
    let end = (): boolean => false;
    try {
      const keys = await guard(settings.keys.current());
      place = { ...place, keys };
      const { url, headers } = await guard(signed(settings, request, { keys, cache }));
      touch(patience);
      const sent = fetch(url, {
        method,
        headers,
        redirect: "manual",
        signal: controller.signal,
        ...(request.body !== undefined && bodyOf(body, headers, isStream, () => touch(patience))),
      });
      const response = await guard(sent);
      reached();
      touch(timeout);
      const answer = answerOf(response, { place, guard, touch: () => touch(timeout) });
      end = answer.end;
      if (!response.ok) answer.failWith(await answer.text());
      return E.right(await read(answer));
    } catch (cause) {
      const fault = cause instanceof Failing ? cause.fault : faultOfException(place, cause);
      if (fault.failed.code === "EBADMSG") canStream = false;
      return E.left(fault);
    } finally {
      stop();
      if (!end()) controller.abort();
    }
  };
}

/** The milliseconds to wait before another attempt: random up to a limit that doubles ("full jitter"). */
function waitBefore({ limits }: ConnectionSettings, failures: number, { wait = 0 }: Fault): number {
  const most = Math.min(limits.longestWait, limits.firstWait * 2 ** (failures - 1));
  return Math.max(Math.random() * most, Math.min(wait, mostWait));
}

/** A failure that says how often a request was tried. */
function triedOften(fault: Fault, times: number): Fault {
  return { ...fault, failed: { ...fault.failed, message: `${fault.failed.message}, tried ${times} times` } };
}

/**
 * A connection to a bucket. Nothing is sent yet.
 *
 * @param settings The settings.
 */
export function connect(settings: ConnectionSettings): Connection {
  const location = `s3://${settings.bucket}`;
  let wasReached = false;
  let givenUp = -Infinity;
  const exchange = exchanging(settings, location, () => {
    wasReached = true;
  });

  async function retried<A>(
    attempt: () => Promise<E.Either<Fault, A>>,
    progress: () => number = () => 0,
  ): Promise<E.Either<Fault, A>> {
    const isAfterOne = performance.now() - givenUp < soon;
    for (let failures = 0;;) {
      const before = progress();
      const result = await attempt();
      if (E.isRight(result)) return result;
      const fault = result.left;
      if (fault.failed.code === "EKEYEXPIRED" && settings.keys.renew()) continue;
      if (!fault.isTransient) return result;
      failures = progress() - before >= leastProgress ? 1 : failures + 1;
      if (isAfterOne || failures >= (wasReached ? settings.limits.attempts : firstAttempts)) {
        givenUp = performance.now();
        return E.left(failures > 1 ? triedOften(fault, failures) : fault);
      }
      await delay(waitBefore(settings, failures, fault));
    }
  }

  return {
    settings,
    location,
    exchange,
    send: (request, read) => retried(() => exchange(request, read)),
    retried,
    inTurn: turns(settings.concurrency),
  };
}

// --- reading answers

/** Reads an answer that says nothing; its body is read, so that the connection is used again. */
export async function readNothing(answer: Answer): Promise<void> {
  await answer.text();
}
