/**
 * A bucket in memory, with the promises of an object store and no others.
 *
 * Each request of a process pauses before it reaches the server, and again before its answer arrives. A schedule decides when it goes on, whether its
 * answer is lost, and whether a create arrives late. Without a schedule every request is answered at once.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../lib/errors/mod.ts";
import { checkedChunk, digester, storeFailed } from "../../lib/store/mod.ts";
import type { Bucket, ObjectListing, UnfinishedUpload } from "../../lib/store/s3/bucket.ts";

// --- types

/** The kinds of requests. */
export type RequestKind =
  | "get"
  | "read"
  | "put"
  | "create"
  | "write"
  | "copy"
  | "list"
  | "remove"
  | "uploads"
  | "abort";

/** What happens to a request: it is lost, its answer is, its answer is lost and it arrives later, or the runtime sends it twice. */
export type Fate = "answered" | "lost" | "answer lost" | "late" | "twice";

/** Decides what happens to the requests of a process. */
export interface Schedule {
  /** Resolves when a request may go on. `apply` carries it out; it can be kept and called after the death of the process. */
  readonly pause: (kind: RequestKind, apply?: () => void) => Promise<void>;
  readonly fate: (kind: RequestKind) => Fate;
  readonly wait: (milliseconds: number) => Promise<void>;
}

/** An object. */
export interface StoredObject {
  readonly bytes: Uint8Array;
  readonly modified: number;
}

/** The server. */
export interface Simulation {
  readonly objects: Map<string, StoredObject>;
  readonly uploads: Map<string, UnfinishedUpload>;
  /** The server's clock. */
  now: number;
  /** How often each kind of request was made. */
  readonly counts: Map<RequestKind, number>;
  /** Creates whose answer was lost, which may still arrive. */
  readonly late: (() => void)[];
  /** A client. */
  readonly client: (schedule?: Schedule) => Bucket;
}

/** Properties of a server. */
export interface SimulationOptions {
  /** Whether it ignores the condition of a create. */
  readonly ignoresConditions?: boolean;
  /** The keys of a page of a listing. */
  readonly page?: number;
  /**
   * Objects of more bytes than this are written as uploads: begun, and completed.
   * @default 1 MiB
   */
  readonly longestPut?: number;
  /** Receives each change, when it was carried out. */
  readonly onChange?: (change: {
    readonly kind: RequestKind;
    readonly key: string;
    readonly before: StoredObject | undefined;
    readonly after: StoredObject | undefined;
  }) => void;
}

const location = "s3://bucket";
const signatureLasts = 15 * 60_000;

const atOnce: Schedule = {
  pause: () => Promise.resolve(),
  fate: () => "answered",
  wait: () => Promise.resolve(),
};

// --- constructors

function failed(kind: RequestKind, key: string, code: string, message: string): E.Either<StoreFailed, never> {
  return E.left(storeFailed(kind, `${location}/${key}`, code, message));
}

/** A server without objects. */
export function simulatedBucket(options: SimulationOptions = {}): Simulation {
  const { ignoresConditions = false, page = 1000, longestPut = 2 ** 20, onChange = () => {} } = options;
  const objects: Simulation["objects"] = new Map();
  const uploads: Simulation["uploads"] = new Map();
  const counts: Simulation["counts"] = new Map();
  const late: Simulation["late"] = [];
  let made = 0;

  function set(kind: RequestKind, key: string, bytes: Uint8Array | undefined): void {
    const before = objects.get(key);
    const after = bytes && { bytes: new Uint8Array(bytes), modified: server.now };
    if (after === undefined) objects.delete(key);
    else objects.set(key, after);
    onChange({ kind, key, before, after });
  }

  function listPage(prefix: string, after: string, most: number, folders: boolean): ObjectListing {
    // Keys are ASCII here, so the order of their bytes is that of their characters.
    const keys = [...objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const found: { readonly objects: ObjectListing["objects"][number][]; readonly folders: string[] } = {
      objects: [],
      folders: [],
    };
    for (const key of keys) {
      const end = folders ? key.indexOf("/", prefix.length) : -1;
      const folder = key.slice(0, end + 1);
      if (end >= 0 && found.folders.at(-1) === folder) continue;
      if (end >= 0 && folder <= after) continue;
      if (found.objects.length + found.folders.length === most) return { ...found, isPartial: true, now: server.now };
      const { bytes, modified } = objects.get(key)!;
      if (end >= 0) found.folders.push(folder);
      else found.objects.push({ key, bytes: bytes.length, modified });
    }
    return { ...found, isPartial: false, now: server.now };
  }

  function client({ pause, fate, wait }: Schedule = atOnce): Bucket {
    /** One request. */
    function request<A>(
      kind: RequestKind,
      key: string,
      apply: () => E.Either<StoreFailed, A>,
    ): TE.TaskEither<StoreFailed, A> {
      const lost = (): E.Either<StoreFailed, A> => failed(kind, key, "ETIMEDOUT", "the connection was lost");
      return async () => {
        counts.set(kind, (counts.get(kind) ?? 0) + 1);
        await pause(kind, apply);
        const happens = fate(kind);
        if (happens === "late") late.push(apply);
        if (happens === "late" || happens === "lost") return lost();
        const first = apply();
        const answer = happens === "twice" ? apply() : first;
        await pause(kind);
        return happens === "answer lost" ? lost() : answer;
      };
    }

    const write = (kind: "put" | "write", key: string, bytes: Uint8Array): TE.TaskEither<StoreFailed, void> =>
      request(kind, key, () => E.right(set(kind, key, bytes)));

    /** An upload: begun, and completed. */
    const upload = (key: string, bytes: Uint8Array): TE.TaskEither<StoreFailed, void> => async () => {
      const id = `${made++}`;
      const begun = await request(
        "write",
        key,
        () => E.right(uploads.set(id, { key, upload: id, begun: server.now })),
      )();
      if (E.isLeft(begun)) return begun;
      return await request<void>("write", key, () => {
        if (!uploads.delete(id)) return failed("write", key, "ENOENT", "the upload was aborted");
        return E.right(set("write", key, bytes));
      })();
    };

    return {
      location,
      get: (key, most = Infinity) =>
        request("get", key, () => {
          const bytes = objects.get(key)?.bytes;
          if ((bytes?.length ?? 0) > most) return failed("get", key, "EFBIG", "the object is too long");
          return E.right(bytes?.slice());
        }),
      read: (key, into, position) =>
        request("read", key, () => {
          const bytes = objects.get(key)?.bytes;
          if (bytes === undefined) return failed("read", key, "ENOENT", "there is no such object");
          const end = position + into.length;
          if (end > bytes.length) return failed("read", key, "ETRUNC", "the object is shorter");
          return E.right(into.set(bytes.subarray(position, end)));
        }),
      put: (key, bytes) => write("put", key, bytes),
      create: (key, bytes, at) =>
        request("create", key, () => {
          if (Math.abs(server.now - at.getTime()) > signatureLasts) {
            return failed("create", key, "ECLOCK", "the signature is too old");
          }
          if (objects.has(key) && !ignoresConditions) return failed("create", key, "EEXIST", "the object exists");
          return E.right(set("create", key, bytes));
        }),
      write: (key, chunks, algorithm) => async () => {
        const digest = digester(algorithm);
        const copies: Uint8Array[] = [];
        for await (const chunk of chunks) {
          copies.push(new Uint8Array(checkedChunk(chunk)));
          digest.update(chunk);
        }
        const bytes = Buffer.concat(copies);
        const durable = (bytes.length > longestPut ? upload(key, bytes) : write("write", key, bytes))();
        return E.right({ digest: digest.result(), durable });
      },
      copy: (from, to, bytes) =>
        request("copy", to, () => {
          const found = objects.get(from);
          if (found?.bytes.length !== bytes) return E.right(false);
          set("copy", to, found.bytes);
          return E.right(true);
        }),
      list: (prefix, { after = "", folders = false, most = Infinity } = {}) => async () => {
        const pages: ObjectListing[] = [];
        for (let [last, left] = [after, most];;) {
          const next = await request("list", prefix, () => {
            return E.right(listPage(prefix, last, Math.min(page, left), folders));
          })();
          if (E.isLeft(next)) return next;
          pages.push(next.right);
          const { objects: keys, folders: names, isPartial } = next.right;
          left -= keys.length + names.length;
          last = [keys.at(-1)?.key ?? "", names.at(-1) ?? "", last].sort().at(-1)!;
          if (isPartial && left > 0) continue;
          const now = pages[0]!.now;
          return E.right({
            objects: pages.flatMap((one) => one.objects),
            folders: pages.flatMap((one) => one.folders),
            isPartial,
            now,
          });
        }
      },
      remove: (keys) => async () => {
        // A server removes them one after the other.
        for (const key of keys) {
          const removed = await request(
            "remove",
            key,
            () => E.right(objects.has(key) && set("remove", key, undefined)),
          )();
          if (E.isLeft(removed)) return removed;
        }
        return E.right(undefined);
      },
      uploads: (prefix) =>
        request("uploads", prefix, () => E.right([...uploads.values()].filter(({ key }) => key.startsWith(prefix)))),
      abort: ({ key, upload: id }) => request("abort", key, () => E.right(void uploads.delete(id))),
      wait: (milliseconds) => () => wait(milliseconds),
      now: () => server.now,
    };
  }

  const server: Simulation = { objects, uploads, now: Date.UTC(2026, 0, 1), counts, late, client };
  return server;
}
