/**
 * Copies of checkpoints from one store to another.
 */
import assert from "node:assert/strict";
import { cp, link, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import fc from "fast-check";
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { copyCheckpoint } from "../../lib/checkpoint/copy.ts";
import { verifyCheckpoint } from "../../lib/checkpoint/verify.ts";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import type { Progress } from "../../lib/store/progress.ts";
import { storeFailed } from "../../lib/store/store.ts";
import { directory, id, list, loadState, memory, readSnapshot, runOrThrow, saveState, type Store } from "../../mod.ts";
import { torture } from "../support/torture.ts";
import { fault, watched } from "../support/watched_disk.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-copy-"));
after(() => rm(scratch, { recursive: true, force: true }));

before(async () => void await tf.setBackend("cpu"));

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

test("copy: a checkpoint that is removed while it is copied is not damaged", async () => {
  const source = await saved(memory(), 2);
  const target = memory();
  const vanishing: Store = {
    ...source,
    open: (n, name) => async () => (await source.remove(n)(), await source.open(n, name)()),
  };
  assert.equal(leftOf(await copyCheckpoint(vanishing, target)(0)())._tag, "NoCheckpoint");
  assert.deepEqual(await runOrThrow(target.list), []);
});

test("copy: a folder that was copied by other means has them already", async () => {
  const [from, to] = [place(), place()];
  await saved(directory(from), 2);
  await cp(from, to, { recursive: true });
  for (const number of [1, 0]) {
    assert.equal((await runOrThrow(copyCheckpoint(directory(from), directory(to))(number))).isNew, false);
  }
});

// --- sharing

const base = "state/base.safetensors";

/** A run whose large component `base` does not change, so that its checkpoints share it. */
async function sharing(store: Store, steps: number): Promise<void> {
  const tensor = tf.tensor1d(Float32Array.from({ length: 300_000 }, (_, i) => Math.sin(i)));
  for (let step = 0; step < steps; step++) await runOrThrow(saveState(store)({ base: tensor, step }));
  tensor.dispose();
}

async function linksOf(store: Store, number: number): Promise<number> {
  return (await runOrThrow(store.status!(number, base))).links;
}

for (const digest of ["crc32", "sha256"] as const) {
  test(`copy: what checkpoints share is shared in the target, too (${digest})`, async () => {
    const source = directory(place(), { digest });
    await sharing(source, 3);
    for (const target of [memory(), directory(place())]) {
      for (const number of [0, 1, 2]) {
        let done: Progress | undefined;
        await runOrThrow(copyCheckpoint(source, target, { onProgress: (progress) => void (done = progress) })(number));
        assert.equal(done?.bytes, done?.total);
      }
      assert.deepEqual(await Promise.all([0, 1, 2].map((number) => linksOf(target, number))), [3, 3, 3]);
      assert.deepEqual(await contents(target), await contents(source));
    }
    // Without the parent it is sent.
    const alone = memory();
    await runOrThrow(copyCheckpoint(source, alone)(0));
    await runOrThrow(copyCheckpoint(source, alone)(2));
    assert.equal(await linksOf(alone, 2), 1);
    assert.deepEqual(await runOrThrow(alone.list), [0, 2]);
  });
}

test("copy: bytes that a file shares in the original are checked, too", async () => {
  const path = place();
  await sharing(directory(path), 2);
  const target = memory();
  await runOrThrow(copyCheckpoint(directory(path), target)(0));
  const file = join(path, "checkpoints", "checkpoint_1", base);
  const bytes = await readFile(file);
  bytes[bytes.length - 9]! ^= 4;
  await writeFile(file, bytes);
  const error = leftOf(await copyCheckpoint(directory(path), target)(1)());
  assert.ok(error._tag === "Damaged" && error.problems[0]!.path === base);
});

test("copy: two files of one CRC are two files", async () => {
  const path = place();
  const numbers = Float32Array.from({ length: 300_000 }, (_, i) => Math.sin(i));
  // The generator polynomial of CRC-32: added to any message, it changes no CRC. The first bit is the lowest of the first byte.
  const polynomial = (0x104c11db7).toString(2);
  const other = new Uint8Array(numbers.buffer.slice(0));
  for (const [i, bit] of [...polynomial].entries()) other[400_000 + (i >> 3)]! ^= Number(bit) << (i & 7);
  await runOrThrow(saveState(directory(path))({ base: numbers, step: 0 }));
  await runOrThrow(saveState(directory(path))({ base: new Float32Array(other.buffer), step: 1 }));
  // Another link, as if the file were shared.
  await link(join(path, "checkpoints", "checkpoint_1", base), join(path, "linked"));
  const [first, second] = await Promise.all([0, 1].map((n) => runOrThrow(verifyCheckpoint(directory(path), n))));
  const crcOf = ({ files }: NonNullable<typeof first>) => files.find(({ name }) => name === base)?.crc32;
  assert.equal(crcOf(first!), crcOf(second!));
  const target = memory();
  for (const number of [0, 1]) await runOrThrow(copyCheckpoint(directory(path), target)(number));
  assert.deepEqual(await contents(target), await contents(directory(path)));
});

test("copy: killed at any operation and repeated, the target has whole checkpoints and then all of them", async () => {
  const source = await saved(memory(), 2);
  const copyAll = async (target: Store): Promise<boolean> => {
    for (const number of [0, 1]) if (E.isLeft(await copyCheckpoint(source, target)(number)())) return false;
    return true;
  };
  for (let dies = 0, done = false; !done; dies += 1 + Math.floor((Math.random() * 8) / torture)) {
    const path = place();
    let i = 0;
    done = await copyAll(
      directoryOn(watched(localFileSystem, (asked) => i++ >= dies ? fault(asked, "EKILLED") : undefined))(path),
    );
    const all = await contents(source) as unknown[];
    const found = await contents(directory(path)) as unknown[];
    assert.deepEqual(found, all.slice(0, found.length), `operation ${dies}`);
    // The process that was killed is dead, although it is this one.
    const dead = directoryOn({ ...localFileSystem, processStatus: () => () => Promise.resolve("dead") })(path);
    assert.ok(await copyAll(dead), `operation ${dies}`);
    assert.deepEqual(await contents(directory(path)), all);
  }
});
