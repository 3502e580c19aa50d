/**
 * Leases: of several processes, one holds a name for some time. They share work without a scheduler.
 *
 * ```text
 * <prefix>/leases/<name>/9007199254740979.json     entry 12 of the name: who holds it and for how long, or that it was released or finished
 * ```
 *
 * The newest entry decides. Each step adds the next one by a conditional write: taking a free name, renewing it, taking over one that has expired, releasing and
 * finishing. Of two processes that add entry 13, one succeeds.
 *
 * ## Why at most one holds a name
 *
 * A holder counts its seconds from before it sent the entry, by its own clock. Another process counts them from when the entry was written, by the server's
 * clock, and adds one second because the server may give its times in whole seconds. So the holder gives up first, if both clocks run at the same rate.
 * An entry is signed with the time before the listing, so it cannot arrive more than 30 minutes later; entries are removed after an hour, so that no number is
 * free again for one that is late.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { randomBytes } from "node:crypto";
import { clearInterval, setInterval } from "node:timers";
import * as E from "fp-ts/lib/Either.js";
import type { IO } from "fp-ts/lib/IO.js";
import * as t from "io-ts";
import type { StoreFailed } from "../../errors/mod.ts";
import { type Awaitable, awaitable } from "../../task.ts";
import { checkOptionNames, demand, ifGiven, integer, must } from "../../validation/mod.ts";
import { storeFailed } from "../mod.ts";
import type { Bucket } from "./bucket.ts";
import { httpBucket } from "./http_bucket.ts";
import { type BucketOptions, bucketRules, checkBucketOptions, settingsOf } from "./options.ts";
import { probe } from "./probe.ts";
import { parseS3Url } from "./url.ts";

// --- types

/** The options of {@link lease}. */
export interface LeaseOptions extends BucketOptions {
  /**
   * The seconds after which another process may take over from one that was killed. The holder renews three times in this time.
   * @default 60
   */
  readonly seconds?: number;
}

/** A name that this process holds. It is renewed in the background until it is released or finished; that does not keep the process alive. */
export interface HeldLease {
  /** Tells a held lease from one that another process holds. */
  readonly _tag: "Held";
  /** Whether this process still holds it: false if it could not be renewed in time, and after `release` or `finish` began. */
  readonly isHeld: IO<boolean>;
  /** Gives it back, so that another process can take it at once. After the end of the lease it does nothing. */
  readonly release: Awaitable<StoreFailed, void>;
  /** Marks the name as finished for good. It fails with code `ESTALE` if the lease was lost. */
  readonly finish: Awaitable<StoreFailed, void>;
}

/** The result of taking a lease: this process holds it, another process holds it, or the work is finished. */
export type Lease = HeldLease | { readonly _tag: "Busy" } | { readonly _tag: "Finished" };

/** Where the entries of a name are. */
export interface LeasePlace {
  readonly bucket: Bucket;
  readonly prefix: string;
  readonly milliseconds: number;
}

const Entry = t.type({
  format: t.literal("dogear-lease/1"),
  /** A random name, another one for each lease. */
  holder: t.string,
  state: t.union([t.literal("held"), t.literal("released"), t.literal("finished")]),
  milliseconds: t.number,
  /** The holder's time before it sent the entry, so that no two entries of a holder are equal. */
  sent: t.number,
});
type Entry = t.TypeOf<typeof Entry>;

// --- entries

const hour = 3_600_000;

/** How often an entry without an effect is added again, and the milliseconds before the first repetition, which double. */
const [mostAttempts, firstWait] = [6, 100];

function entryKey({ prefix }: LeasePlace, number: number): string {
  return `${prefix}${`${Number.MAX_SAFE_INTEGER - number}`.padStart(16, "0")}.json`;
}

function numberOf({ prefix }: LeasePlace, key: string): number {
  return Number.MAX_SAFE_INTEGER - Number(key.slice(prefix.length, -".json".length));
}

function decode(bytes: Uint8Array): Entry | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return Entry.is(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Adds an entry, unless its number has one: of another process, or an earlier one of this lease whose answer was lost. */
async function add(
  place: LeasePlace,
  number: number,
  entry: Entry,
): Promise<E.Either<StoreFailed, "added" | "another's" | "earlier">> {
  const { bucket } = place;
  const [key, bytes] = [entryKey(place, number), Buffer.from(JSON.stringify(entry))];
  for (let attempt = 1;; attempt++) {
    const made = await bucket.create(key, bytes, new Date(entry.sent))();
    if (E.isRight(made)) return E.right("added");
    // An answer can be lost, and a runtime can send a request twice: only the object tells.
    const found = await bucket.get(key)();
    if (E.isLeft(found)) return found;
    if (found.right !== undefined) {
      if (Buffer.compare(found.right, bytes) === 0) return E.right("added");
      return E.right(decode(found.right)?.holder === entry.holder ? "earlier" : "another's");
    }
    if (attempt === mostAttempts) return made;
    await bucket.wait(firstWait * 2 ** attempt)();
  }
}

/** Removes entries that no late request can meet any more. What cannot be removed is some bytes. */
async function forgetOld(place: LeasePlace): Promise<void> {
  const listed = await place.bucket.list(place.prefix)();
  if (E.isLeft(listed)) return;
  const { objects, now } = listed.right;
  const old = objects.slice(1).filter(({ modified }) => now - modified > hour).map(({ key }) => key);
  if (old.length > 0) await place.bucket.remove(old)();
}

// --- leases

const busy: Lease = { _tag: "Busy" };

/** A lease that was just taken with an entry. */
function held(place: LeasePlace, first: Entry, number: number): HeldLease {
  const { bucket, milliseconds } = place;
  let newest = number;
  let deadline = first.sent + milliseconds;
  let state: Entry["state"] | "lost" = "held";
  let isEnding = false;

  /** Adds the next entry; false if the lease is over or another process has it. */
  async function extend(next: Entry["state"]): Promise<E.Either<StoreFailed, boolean>> {
    for (;;) {
      const sent = bucket.now();
      if (next !== "held" && state === next) return E.right(true);
      // After the deadline the entry may still be added, unless another process has taken the lease. Later than half an hour after it, other processes may have removed entries.
      if (state !== "held" || sent > deadline + hour / 2) return E.right(false);
      const added = await add(place, newest + 1, { ...first, state: next, sent });
      if (E.isLeft(added)) return added;
      if (added.right === "another's") {
        state = "lost";
        return E.right(false);
      }
      newest += 1;
      if (added.right === "earlier") continue;
      deadline = sent + milliseconds;
      state = next;
      return E.right(true);
    }
  }
  // The steps come one after another.
  let last: Promise<unknown> = Promise.resolve();
  const step = (next: Entry["state"]): Promise<E.Either<StoreFailed, boolean>> => {
    const result = last.then(() => extend(next));
    last = result.catch(() => {});
    return result;
  };
  let isRenewing = false;
  const timer = setInterval(() => {
    if (isRenewing) return;
    isRenewing = true;
    void step("held").finally(() => isRenewing = false);
  }, milliseconds / 3);
  timer.unref();
  const end = async (next: "released" | "finished"): Promise<E.Either<StoreFailed, boolean>> => {
    clearInterval(timer);
    // Even if this fails: the entry may arrive later.
    isEnding = true;
    const ended = await step(next);
    if (E.isRight(ended) && ended.right) await forgetOld(place);
    return ended;
  };
  return {
    _tag: "Held",
    isHeld: () => state === "held" && !isEnding && bucket.now() < deadline,
    release: awaitable(async () => E.map(() => undefined)(await end("released"))),
    finish: awaitable(async () =>
      E.flatMap((done: boolean): E.Either<StoreFailed, void> => {
        const message = "the lease was not renewed in time, and another process may hold it";
        return done ? E.right(undefined) : E.left(
          storeFailed(
            "finish the lease",
            `${bucket.location}/${place.prefix}`,
            "ESTALE",
            message,
            "Give it more seconds",
          ),
        );
      })(await end("finished"))
    ),
  };
}

/** Takes a lease if no other process holds it and its work is not finished. */
export async function takeLease(place: LeasePlace): Promise<E.Either<StoreFailed, Lease>> {
  const { bucket, prefix, milliseconds } = place;
  const sent = bucket.now();
  const listed = await bucket.list(prefix, { most: 1 })();
  if (E.isLeft(listed)) return listed;
  const { objects: [newest], now } = listed.right;
  if (newest !== undefined) {
    const bytes = await bucket.get(newest.key)();
    if (E.isLeft(bytes)) return bytes;
    // It was forgotten since, so there is a newer one.
    if (bytes.right === undefined) return E.right(busy);
    const entry = decode(bytes.right);
    if (entry === undefined) {
      return E.left(
        storeFailed("take the lease", `${bucket.location}/${newest.key}`, "EINVAL", "it is no lease: remove it"),
      );
    }
    if (entry.state === "finished") return E.right({ _tag: "Finished" });
    if (entry.state === "held" && now - newest.modified < entry.milliseconds + 1000) return E.right(busy);
  }
  const number = newest === undefined ? 0 : numberOf(place, newest.key) + 1;
  const holder = randomBytes(16).toString("hex");
  const entry: Entry = { format: "dogear-lease/1", holder, state: "held", milliseconds, sent };
  const added = await add(place, number, entry);
  if (E.isLeft(added)) return added;
  return E.right(added.right === "added" ? held(place, entry, number) : busy);
}

/** The locations whose bucket was probed by this process. */
const probed = new Set<string>();

/**
 * Takes the name of a piece of work that one of several processes does, such as a trial of a sweep, a fold or a seed.
 *
 * A lease is an object that is made by a conditional write and renewed in the background. If its holder is killed, another process takes over after `seconds`.
 * Law: at most one process holds a name at a time, as long as the clocks of machine and server run at the same rate. A process that was paused and goes
 * on afterwards cannot spoil a run: its saves are `Overtaken` once its successor has saved.
 *
 * @param url Where the leases are: `s3://bucket/prefix`, under `leases/`. A store may have the same prefix.
 * @param name The name, of letters, digits and `._=-`.
 * @param options The seconds, the server, the region and the keys.
 * @returns A task that takes it: `Held` with `isHeld`, `release` and `finish`; `Busy` if another process holds it; or `Finished`. The left is a
 *   `StoreFailed`, with code `ENOCONDITION` for a bucket that ignores conditions. A wrong argument is a `TypeError`.
 *
 * @example
 * ```ts no-run
 * import { lease } from "@dogear/dogear/s3";
 *
 * for (const name of ["rate=0.1", "rate=0.01"]) {
 *   const trial = await lease("s3://experiments/sweep", name, { seconds: 30 });
 *   if (trial._tag !== "Held") continue;
 *   try {
 *     // train, with a separate store: s3(`s3://experiments/sweep/${name}`)
 *     await trial.finish;
 *   } finally {
 *     await trial.release;
 *   }
 * }
 * ```
 */
export function lease(url: string, name: string, options: LeaseOptions = {}): Awaitable<StoreFailed, Lease> {
  const { bucket, prefix } = parseS3Url(url);
  const expected = 'the name of a lease, such as "rate=0.01": letters, digits and ._=-';
  demand("name", must(expected, (u) => typeof u === "string" && /^(?!\.+$)[\w.=-]{1,128}$/.test(u)), name);
  checkOptionNames("lease", options, { seconds: true, ...bucketRules });
  const { seconds = 60, ...connection } = options;
  demand("seconds", ifGiven(integer(1, 86_400)), seconds);
  checkBucketOptions(connection);
  const settings = settingsOf(bucket, connection);
  const root = prefix === "" ? "" : `${prefix}/`;
  const place = { bucket: httpBucket(settings), prefix: `${root}leases/${name}/`, milliseconds: 1000 * seconds };
  const location = `${settings.endpoint.href} ${bucket}`;
  return awaitable(async () => {
    if (!probed.has(location)) {
      const found = await probe({ bucket: place.bucket, prefix: root })();
      if (E.isLeft(found)) return found;
      probed.add(location);
    }
    return await takeLease(place);
  });
}
