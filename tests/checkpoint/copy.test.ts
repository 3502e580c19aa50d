/**
 * Copies of checkpoints from one store to another.
 */
import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { copyCheckpoint } from "../../lib/checkpoint/copy.ts";
import { verifyCheckpoint } from "../../lib/checkpoint/verify.ts";
import { storeFailed } from "../../lib/store/store.ts";
import { directory, id, list, loadState, memory, readSnapshot, runOrThrow, saveState, type Store } from "../../mod.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-copy-"));
after(() => rm(scratch, { recursive: true, force: true }));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

// --- stores

/** A run of some checkpoints, with more than one view of bytes in each. */
async function saved(store: Store, steps: number, length = 100): Promise<Store> {
  for (let step = 0; step < steps; step++) {
    await runOrThrow(saveState(store)({ w: Float32Array.from({ length }, (_, i) => i + step), note: "a", step }));
  }
  return store;
}

/** Every part of every checkpoint, and the manifests. */
async function contents(store: Store): Promise<unknown> {
  const numbers = await runOrThrow(store.list);
  return await Promise.all(numbers.map(async (number) => {
    const { files } = await runOrThrow(verifyCheckpoint(store, number));
    const parts = await Promise.all(files.map(async ({ name, bytes }) => {
      const into = new Uint8Array(bytes);
      const part = await runOrThrow(store.open(number, name));
      await runOrThrow(part.read(into, 0));
      await part.close();
      return [name, into];
    }));
    return [number, new Uint8Array(await runOrThrow(store.manifest(number))), parts];
  }));
}

/** A store whose parts are changed as they are read. */
function changing(
  store: Store,
  change: (into: Uint8Array, position: number, name: string) => E.Either<string, void>,
): Store {
  const failed = (code: string) => storeFailed("read", "a part", code, "a fault");
  return {
    ...store,
    open: (number, name) =>
      pipe(
        store.open(number, name),
        TE.map((part) => ({
          ...part,
          read: (into: Uint8Array, position: number) =>
            pipe(
              part.read(into, position),
              TE.flatMapEither(() => pipe(change(into, position, name), E.mapLeft(failed))),
            ),
        })),
      ),
  };
}

function leftOf<L>(either: E.Either<L, unknown>): L {
  assert.ok(E.isLeft(either), "it succeeded");
  return either.left;
}

// --- laws

test("copy: any checkpoints in order are the same in the target, byte for byte and by number, also a second time", async () => {
  const source = await saved(memory({ digest: "sha256" }), 6);
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fc.nat(5), { minLength: 1 }), fc.boolean(), async (some, onDisk) => {
      const numbers = some.toSorted((a, b) => a - b);
      const target = onDisk ? directory(place()) : memory();
      for (const isNew of [true, false]) {
        for (const number of numbers) {
          const copied = await runOrThrow(copyCheckpoint(source, target)(number));
          const bytes = (await runOrThrow(list(source))).entries[number]!.bytes;
          assert.deepEqual(copied, { checkpoint: number, isNew, bytes });
        }
      }
      const all = await contents(source) as unknown[];
      assert.deepEqual(await contents(target), numbers.map((number) => all[number]));
    }),
    { numRuns: 5 * torture },
  );
});

test("copy: what was copied is the run: it is resumed there, with its id and its name", async () => {
  const [source, target] = [directory(place()), memory()];
  await saved(source, 3);
  for (const number of [0, 1, 2]) await runOrThrow(copyCheckpoint(source, target)(number));
  assert.deepEqual(await runOrThrow(loadState(target)({ w: new Float32Array(100), note: "", step: 0 })), {
    w: Float32Array.from({ length: 100 }, (_, i) => i + 2),
    note: "a",
    step: 2,
  });
  const { checkpoint } = await runOrThrow(saveState(target)({ step: 3 }));
  const { entries } = await runOrThrow(list(target));
  assert.equal(checkpoint, 3);
  assert.equal(new Set(entries.map(({ run }) => run)).size, 1);
  using original = await runOrThrow(readSnapshot(source, { checkpoint: 1 }));
  using copy = await runOrThrow(readSnapshot(target, { checkpoint: 1 }));
  assert.equal(await id(original)(), await id(copy)());
});

/** A store that uses each piece as late as it may: until the next but one is asked for. */
function late(store: Store): Store {
  async function* held(chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    let before: Uint8Array | undefined;
    for await (const piece of chunks) {
      // So that a read that is in progress changes what it may change.
      await new Promise((resolve) => setTimeout(resolve, 5));
      if (before !== undefined) yield before.slice();
      before = piece;
    }
    if (before !== undefined) yield before;
  }
  return {
    ...store,
    begin: pipe(
      store.begin,
      TE.map((saving) => ({ ...saving, put: (name, chunks) => saving.put(name, held(chunks)) })),
    ),
  };
}

test("copy: parts of many views are read ahead into memory that the store no longer uses", async () => {
  const source = await saved(memory(), 1, 9 * 2 ** 20);
  const target = memory();
  let progress = 0;
  const onProgress = ({ bytes }: { readonly bytes: number }): void => void (progress = bytes);
  const { bytes } = await runOrThrow(copyCheckpoint(source, late(target), { onProgress })(0));
  assert.deepEqual(await contents(target), await contents(source));
  assert.ok(progress > 36 * 2 ** 20 && progress < bytes);
});

test("copy: a byte that is not as committed is Damaged, a failed read is told, and nothing is committed", async () => {
  const source = await saved(memory(), 2);
  for (const onDisk of [false, true]) {
    const path = place();
    const target = onDisk ? directory(path) : memory();
    await fc.assert(
      fc.asyncProperty(fc.nat(399), async (at) => {
        const flipped = changing(source, (into, position, name) => {
          if (name === "state/w.safetensors") into[at % into.length]! ^= position === 0 ? 1 : 0;
          return E.right(undefined);
        });
        const error = leftOf(await copyCheckpoint(flipped, target)(1)());
        assert.ok(error._tag === "Damaged" && error.problems[0]!.path === "state/w.safetensors");
      }),
      { numRuns: 10 * torture },
    );
    const failing = changing(source, () => E.left("EIO"));
    assert.equal((leftOf(await copyCheckpoint(failing, target)(1)()) as { code: string }).code, "EIO");
    const short: Store = {
      ...source,
      open: (n, name) => pipe(source.open(n, name), TE.map((p) => ({ ...p, bytes: 3 }))),
    };
    assert.equal(leftOf(await copyCheckpoint(short, target)(1)())._tag, "Damaged");
    assert.equal(leftOf(await copyCheckpoint(source, target)(7)())._tag, "NoCheckpoint");
    assert.deepEqual(await runOrThrow(target.list), []);
  }
});

test("copy: never overwrites, and never gives another number", async () => {
  const source = await saved(memory(), 3);
  const codeOf = async (target: Store, number: number): Promise<unknown> => {
    const before = await contents(target);
    const { code } = leftOf(await copyCheckpoint(source, target)(number)()) as { code?: string };
    assert.deepEqual(await contents(target), before);
    return code;
  };
  // Another run has the number.
  assert.equal(await codeOf(await saved(memory(), 2), 1), "ETAKEN");
  // A higher number is there.
  const target = memory();
  await runOrThrow(copyCheckpoint(source, target)(2));
  assert.equal(await codeOf(target, 0), "ETAKEN");
  // A store that gives the next number whatever is asked.
  const simple = (inner: Store): Store => ({
    ...inner,
    begin: pipe(
      inner.begin,
      TE.map(({ checksCondition: _, ...saving }) => ({ ...saving, commit: (manifest) => saving.commit(manifest) })),
    ),
  });
  const [plain, lying] = [memory(), memory()];
  assert.equal(await codeOf(simple(plain), 1), "ETAKEN");
  await runOrThrow(copyCheckpoint(source, simple(plain))(0));
  await runOrThrow(copyCheckpoint(source, simple(plain))(1));
  // One that claims to check.
  const claims: Store = {
    ...lying,
    begin: pipe(simple(lying).begin, TE.map((saving) => ({ ...saving, checksCondition: true }))),
  };
  assert.equal(await codeOf(claims, 1), "ETAKEN");
  // A save that commits meanwhile.
  const raced = memory();
  const racing = changing(source, () => E.right(undefined));
  const other: Store = {
    ...racing,
    open: (n, name) => async () => (await runOrThrow(saveState(raced)({ step: 1 })), await racing.open(n, name)()),
  };
  const error = leftOf(await copyCheckpoint(other, raced)(0)()) as { code?: string };
  assert.equal(error.code, "ETAKEN");
});

test("copy: a folder that was copied by other means has them already", async () => {
  const [from, to] = [place(), place()];
  await saved(directory(from), 2);
  await cp(from, to, { recursive: true });
  for (const number of [1, 0]) {
    assert.equal((await runOrThrow(copyCheckpoint(directory(from), directory(to))(number))).isNew, false);
  }
});
