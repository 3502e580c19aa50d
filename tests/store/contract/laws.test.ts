/**
 * The law suite of stores catches broken stores, each by the name of the law that it breaks.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import {
  type OpenPart,
  type Saving,
  type Store,
  storeLaws,
  type StoreOptions,
} from "../../../lib/store/contract/mod.ts";
import { memory } from "../../../lib/store/memory.ts";

type Make = (options?: StoreOptions) => Store;

/** A store in memory, with members of its own. */
const withMembers = (change: (store: Store) => Partial<Store>): Make => (options) => {
  const store = memory(options);
  return Object.freeze({ ...store, ...change(store) });
};

/** A store in memory whose saves have steps of their own. */
const withSteps = (change: (saving: Saving, store: Store) => Partial<Saving>): Make =>
  withMembers((store) => ({
    begin: TE.map<Saving, Saving>((saving) => ({ ...saving, ...change(saving, store) }))(store.begin),
  }));

/** A store in memory whose open parts have members of their own. */
const withParts = (change: (part: OpenPart) => Partial<OpenPart>): Make =>
  withMembers((store) => ({
    open: (checkpoint, name) =>
      TE.map<OpenPart, OpenPart>((part) => ({ ...part, ...change(part) }))(store.open(checkpoint, name)),
  }));

const broken: Readonly<Record<string, readonly [law: RegExp, make: Make]>> = {
  "every checkpoint gets number 0": [
    /^numbers: the first/,
    withSteps((saving) => ({ commit: (manifest) => TE.map(() => 0)(saving.commit(manifest)) })),
  ],
  "a copy does not get its number": [
    /gets the number that its condition names/,
    withSteps((saving) => ({
      commit: (manifest, condition) => {
        if (condition === undefined) return saving.commit(manifest);
        const { key, parent, check } = condition;
        return saving.commit(manifest, { key, parent, check });
      },
    })),
  ],
  "a part is visible before the commit": [
    /^old or new/,
    withSteps((saving, store) => ({
      put: (name, chunks) => async () => {
        const other = await store.begin();
        if (E.isRight(other)) await other.right.commit(new Uint8Array())();
        return saving.put(name, chunks)();
      },
    })),
  ],
  "a commit whose condition fails leaves the checkpoint": [
    /condition fails leaves no checkpoint/,
    withSteps((saving) => ({
      commit: (manifest, condition) => async () => {
        const number = await saving.commit(manifest)();
        const checked = condition && E.isRight(number) ? await condition.check([number.right])() : E.right(undefined);
        return E.isLeft(checked) ? checked : number;
      },
    })),
  ],
  "a second commit of one parent succeeds": [
    /of two commits that follow one parent/,
    withSteps((saving) => ({ commit: (manifest) => saving.commit(manifest) })),
  ],
  "the manifest that is returned is the store's own": [
    /copies the bytes/,
    withMembers((store) => {
      const own = new Map<number, Uint8Array>();
      return {
        manifest: (checkpoint) =>
          TE.map((bytes: Uint8Array) => own.get(checkpoint) ?? (own.set(checkpoint, bytes), bytes))(
            store.manifest(checkpoint),
          ),
      };
    }),
  ],
  "chunks are written after all of them have been requested": [
    /alternate between two arrays/,
    withSteps((saving) => ({
      put: (name, chunks) => async () => {
        const all: Uint8Array[] = [];
        for await (const chunk of chunks) all.push(chunk);
        return saving.put(name, all)();
      },
    })),
  ],
  "abort commits": [
    /^abort discards/,
    withSteps((saving) => ({ abort: async () => void await saving.commit(new Uint8Array())().catch(() => undefined) })),
  ],
  "abort does nothing": [/^a step after the end/, withSteps(() => ({ abort: () => Promise.resolve() }))],
  "the CRC-32 has no leading zeros": [
    /^put returns the length/,
    withSteps((saving) => ({
      put: (name, chunks) =>
        TE.map((found: { bytes: number; crc32: string }) => ({ ...found, crc32: found.crc32.replace(/^0+/, "") }))(
          saving.put(name, chunks),
        ),
    })),
  ],
  "the digest that was asked for is left out": [/^a part reads back/, () => memory()],
  "a short read is filled with zeros": [
    /^read returns any range/,
    withParts((part) => ({
      read: (into, position) =>
        TE.fromTask(async () => {
          if (E.isLeft(await part.read(into, position)())) into.fill(0);
        }),
    })),
  ],
  "a read fills one byte less": [
    /^a part reads back/,
    withParts((part) => ({
      read: (into, position) => part.read(into.subarray(0, Math.max(0, into.length - 1)), position),
    })),
  ],
  "reuse of a missing part is said to succeed": [
    /^reuse of a missing part/,
    withSteps(() => ({ reuse: () => TE.right(true) })),
  ],
  "remove does nothing": [/^remove removes/, withMembers(() => ({ remove: () => TE.right(undefined) }))],
  "the candidates lack the newest": [
    /^candidates/,
    withMembers((store) => ({ candidates: TE.map((all: readonly number[]) => all.slice(0, -1))(store.list) })),
  ],
  "arguments are checked late": [
    /before the task runs$/,
    withMembers((store) => ({ open: (checkpoint, name) => async () => await store.open(checkpoint, name)() })),
  ],
  "a missing part is a missing checkpoint": [
    /^opening a part that was never put/,
    withMembers((store) => ({
      open: (checkpoint, name) =>
        TE.mapLeft(() => ({ _tag: "NoCheckpoint" as const, location: "memory", checkpoint, available: [] }))(
          store.open(checkpoint, name),
        ),
    })),
  ],
  "the store is not frozen": [/^a store is frozen/, (options) => ({ ...memory(options) })],
};

/** The laws that a store breaks. */
async function brokenLaws(make: Make, reopen: (store: Store) => Store): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { law, check } of storeLaws(make, { reopen })) {
    const error: unknown = await check().then(() => undefined, (thrown: unknown) => thrown);
    if (error === undefined) continue;
    assert.ok(error instanceof Error && error.message.startsWith(`${law}: `), String(error));
    found.push(law);
  }
  return found;
}

for (const [name, [law, make]] of Object.entries(broken)) {
  test(`storeLaws: catches a store where ${name}`, async () => {
    const found = await brokenLaws(make, (store) => store);
    assert.ok(found.some((one) => law.test(one)), `${law} is not among ${JSON.stringify(found)}`);
  });
}

test("storeLaws: a good store breaks no law, and one that is empty when it is reopened breaks both laws of reopening", async () => {
  assert.deepEqual(await brokenLaws(memory, (store) => store), []);
  assert.deepEqual((await brokenLaws(memory, () => memory())).length, 2);
});
