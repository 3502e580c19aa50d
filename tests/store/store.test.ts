/**
 * The laws of a store, for every kind of store.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Either } from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { storeLaws } from "../../lib/store/contract/mod.ts";
import { directory, directoryOn } from "../../lib/store/directory/directory.ts";
import { memory } from "../../lib/store/memory.ts";
import { savingOf } from "../../lib/store/saving.ts";
import { isPartName } from "../../lib/store/checks.ts";
import { type Store, storeFailed, type StoreOptions } from "../../lib/store/store.ts";
import { mirrored } from "../../lib/store/s3/mod.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { profiles } from "../support/profiles.ts";
import { simulatedBucket } from "../support/simulated_bucket.ts";
import { blank, machine } from "../support/simulated_disk.ts";
import { triedHere } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-store-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;

/** A bucket behind a local store. Its uploads fail, because the laws save manifests that are none. */
function mirrorOf(local: Store): Store {
  const { digest } = local;
  const remote = storeOn(simulatedBucket({ page: 5 }).client(), "runs/digits", digest && { digest });
  return mirrored(local, remote, { onFailed: () => {} });
}

/** The kinds of stores. Each call makes a new, empty store. */
const stores: Readonly<Record<string, (options?: StoreOptions) => Store>> = {
  memory,
  "a bucket": (options) => storeOn(simulatedBucket({ page: 5 }).client(), "runs/digits", options),
  "a mirror of memory": (options) => mirrorOf(memory(options)),
  "a mirror of a directory": (options) => mirrorOf(directory(join(scratch, `${made++}`), options)),
  directory: (options) => directory(join(scratch, `${made++}`), options),
  ...Object.fromEntries(
    triedHere(Object.entries(profiles)).map(([name, profile]) => [
      `directory on ${name}`,
      (options?: StoreOptions) => directoryOn(machine(blank, { profile }).process("a"))("/runs/digits", options),
    ]),
  ),
};

/** How a kind opens a location again. */
const reopeners: Readonly<Record<string, (store: Store) => Store>> = {
  directory: ({ location }) => directory(location),
};

/** Whether a kind reuses parts; undefined if a lost answer decides. A part that is not reused is written again. */
function reuses(kind: string): boolean | undefined {
  const { link, losesAnswer } = profiles[kind.replace("directory on ", "")] ?? {};
  return losesAnswer === undefined ? link === undefined : undefined;
}

function right<A>(result: Either<unknown, A>): A {
  assert.equal(result._tag, "Right", JSON.stringify(result));
  return result._tag === "Right" ? result.right : assert.fail();
}

function left<E>(result: Either<E, unknown>): E {
  assert.equal(result._tag, "Left", JSON.stringify(result));
  return result._tag === "Left" ? result.left : assert.fail();
}

function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

for (const [kind, make] of Object.entries(stores)) {
  for (const { law, check } of storeLaws(make, reopeners[kind] && { reopen: reopeners[kind] })) {
    // Each of the stores of a mirror applies its own policy.
    if (kind.startsWith("a mirror") && law.includes("as keep")) continue;
    test(`${kind}: ${law}`, check);
  }

  test(`${kind}: a part is reused where the system can`, async () => {
    const store = make();
    const first = right(await store.begin());
    right(await first.put("a", [bytes(1)])());
    const from = { checkpoint: right(await first.commit(bytes())()), name: "a" };
    const saving = right(await store.begin());
    const isReused = right(await saving.reuse("a", from)());
    assert.equal(isReused, reuses(kind) ?? isReused);
    await saving.abort();
  });
}

test("savingOf: discard is called once for a failed or aborted save, and never for a committed one", async () => {
  const failed = storeFailed("write", "somewhere", "EIO", "a fault");
  for (const [ends, discards] of [["put", 1], ["abort", 1], ["commit", 0]] as const) {
    let discarded = 0;
    const saving = savingOf({
      put: () => TE.left(failed),
      reuse: () => TE.right(false),
      commit: () => TE.right(0),
      discard: () => Promise.resolve(void discarded++),
    });
    if (ends === "put") assert.equal(left(await saving.put("a", [])()), failed);
    if (ends === "commit") right(await saving.commit(bytes())());
    await saving.abort();
    await saving.abort();
    assert.equal(discarded, discards, ends);
  }
});

test("isPartName: at most one folder, and only characters that every file system keeps", () => {
  for (const name of ["model.safetensors", "state/optimizer.safetensors", "a", "...", "state/é😀", "a".repeat(255)]) {
    assert.ok(isPartName(name), name);
  }
  for (const name of [".", "state/.", "state/snapshot.json/x", "a\nb", "a:b", "a?", "é".repeat(128)]) {
    assert.ok(!isPartName(name), name);
  }
});
