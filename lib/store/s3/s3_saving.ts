/**
 * The steps of a save in a bucket, as the description of `s3_store` numbers them.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { Overtaken, StoreFailed } from "../../errors/mod.ts";
import { savingOf, tooLong } from "../mod.ts";
import type { CommitCondition, PartDigest, PartLocation, Saving, StoreWriter } from "../mod.ts";
import { commitRecord, longestCommit } from "./commit.ts";
import { newDataId, partKey } from "./objects.ts";
import { sweep } from "./orphans.ts";
import { probe } from "./probe.ts";
import { encodeRecord, type RecordHead } from "./record.ts";
import { headOf, newest, rememberHead, type S3Place } from "./records.ts";

// --- types

/** The parts of a save. */
interface Parts {
  readonly head: RecordHead;
  readonly put: StoreWriter["put"];
  readonly reuse: StoreWriter["reuse"];
  /** Resolves when no part is being sent any more: whether the bucket has all of them. */
  readonly finished: () => Promise<E.Either<StoreFailed, void>>;
  /** Removes them, as far as it is possible. */
  readonly remove: () => Promise<unknown>;
  /** A time before the last one was written, by the clock of this machine. */
  readonly last: () => number;
}

/** What the first save of a process does in the background. */
interface Examination {
  readonly probed: Promise<E.Either<StoreFailed, void>>;
  readonly swept: Promise<void>;
}

/** The milliseconds between two sweeps of a process. */
const sweepEvery = 3_600_000;

// --- parts

/** Steps 2 and 3. A part is sent while the next one is made; its failure ends the save at the next step. */
function partsOf(place: S3Place): Parts {
  const { bucket, digest, remembered } = place;
  const data = newDataId(remembered.next ?? 0);
  const lengths = new Map<string, number>();
  const keys: string[] = [];
  const sending: Promise<void>[] = [];
  let state: E.Either<StoreFailed, void> = E.right(undefined);
  let last = bucket.now();

  function newKey(name: string): string {
    const key = partKey(place, data, name);
    keys.push(key);
    last = bucket.now();
    return key;
  }

  return {
    head: { data, parts: lengths },
    put: (name, chunks) => async (): Promise<E.Either<StoreFailed, PartDigest>> => {
      if (E.isLeft(state)) return state;
      const written = await bucket.write(newKey(name), chunks, digest)();
      if (E.isLeft(written)) return written;
      const { durable, digest: found } = written.right;
      lengths.set(name, found.bytes);
      sending.push(durable.then((sent) => {
        if (E.isRight(state)) state = sent;
      }));
      return E.right(found);
    },
    reuse: (name, from) => copyPart(place, from, () => newKey(name), (bytes) => lengths.set(name, bytes)),
    finished: async () => {
      await Promise.all(sending);
      return state;
    },
    remove: () => keys.length === 0 ? Promise.resolve() : bucket.remove(keys)(),
    last: () => last,
  };
}

/** Copies a part of a checkpoint; false if there is none. */
function copyPart(
  place: S3Place,
  from: PartLocation,
  newKey: () => string,
  onCopied: (bytes: number) => void,
): TE.TaskEither<StoreFailed, boolean> {
  return async () => {
    const head = await headOf(place, from.checkpoint)();
    if (E.isLeft(head)) return head.left._tag === "NoCheckpoint" ? E.right(false) : E.left(head.left);
    const bytes = head.right.parts.get(from.name);
    if (bytes === undefined) return E.right(false);
    const copied = await place.bucket.copy(partKey(place, head.right.data, from.name), newKey(), bytes)();
    if (E.isRight(copied) && copied.right) onCopied(bytes);
    return copied;
  };
}

// --- saves

function writerOf(place: S3Place, parts: Parts, { probed, swept }: Examination): StoreWriter {
  const { remembered } = place;
  let mayCommit = false;
  let numbers: readonly number[] | undefined;

  async function commit(
    manifest: Uint8Array,
    condition: CommitCondition | undefined,
  ): Promise<E.Either<StoreFailed | Overtaken, number>> {
    const long = tooLong("write", place.location, manifest.length);
    if (long !== undefined) return E.left(long);
    const [sent, examined] = await Promise.all([parts.finished(), probed]);
    if (E.isLeft(sent)) return sent;
    if (E.isLeft(examined)) return examined;
    const { head } = parts;
    const onDoubt = (may: boolean): void => void (mayCommit = may);
    const record = encodeRecord(head, manifest);
    const deadline = parts.last() + longestCommit;
    const result = await commitRecord({ place, data: head.data, record, deadline, condition, onDoubt });
    if (E.isLeft(result)) return result;
    const { checkpoint } = result.right;
    numbers = result.right.numbers;
    remembered.next = checkpoint + 1;
    rememberHead(place, checkpoint, head);
    await swept;
    return E.right(checkpoint);
  }

  return {
    put: parts.put,
    reuse: parts.reuse,
    checksCondition: true,
    listed: () => numbers,
    commit: (manifest, condition) => () => commit(manifest, condition),
    discard: async () => {
      await Promise.all([parts.finished(), probed, swept]);
      // What cannot be removed is an orphan.
      if (!mayCommit) await parts.remove();
    },
  };
}

/** Probes the bucket; after a failure the next save does so again. */
async function examine({ remembered, ...place }: S3Place): Promise<E.Either<StoreFailed, void>> {
  const result = await probe(place)();
  if (E.isLeft(result)) remembered.probe = undefined;
  return result;
}

/**
 * Begins a save.
 *
 * @param place Where.
 */
export function beginSave(place: S3Place): TE.TaskEither<StoreFailed, Saving> {
  const { remembered, bucket } = place;
  return async () => {
    // Step 1. It also finds wrong keys and names before any part is sent.
    const listed = remembered.next === undefined ? await newest(place)() : E.right(undefined);
    if (E.isLeft(listed)) return listed;
    const now = bucket.now();
    const isDue = now - remembered.swept >= sweepEvery;
    if (isDue) remembered.swept = now;
    const probed = remembered.probe ??= examine(place);
    const swept = isDue ? sweep(place)() : Promise.resolve();
    return E.right(savingOf(writerOf(place, partsOf(place), { probed, swept })));
  };
}
