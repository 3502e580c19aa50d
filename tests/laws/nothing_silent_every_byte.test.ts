/**
 * Laws *nothing silent* and *all or nothing*, for every byte: a load reports any change in the files of a checkpoint, before it changes
 * anything live.
 */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { decodeHeader } from "../../lib/checkpoint/safetensors.ts";
import { manifestName, type OpenPart } from "../../lib/store/store.ts";
import {
  directory,
  explain,
  loadState,
  memory,
  readSnapshot,
  Rng,
  runOrThrow,
  saveState,
  type Store,
} from "../../mod.ts";
import { observed } from "../support/laws.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-bytes-"));
before(async () => void await tf.setBackend("cpu"));
after(() => rm(scratch, { recursive: true, force: true }));

// --- a checkpoint

/** A state with several files of tensors, some of which have several tensors of different types. */
function build(): object {
  const model = tf.variable(tf.randomNormal([5, 3]));
  const optimizer = tf.train.adam(0.1);
  optimizer.minimize(() => model.square().sum().asScalar(), false, [model]);
  return {
    model,
    optimizer,
    data: { x: tf.randomUniform([4], 0, 9, "int32"), names: tf.tensor(["é", "", "b"]), mask: tf.tensor([true, false]) },
    rng: Rng.make(7),
    bytes: [Uint8Array.of(1, 2, 3), Float64Array.of(0.1, -0), BigInt64Array.of(-1n)],
  };
}

/** The files of a checkpoint by name, including the manifest. */
type Files = ReadonlyMap<string, Uint8Array>;

/** A checkpoint on disk. */
interface Checkpoint {
  readonly folder: string;
  readonly store: Store;
  readonly files: Files;
}

async function saved(): Promise<Checkpoint> {
  const store = directory(await mkdtemp(join(scratch, "run-")));
  await runOrThrow(saveState(store)(build()));
  const folder = store.locationOf(0);
  const names = ["model", "state/optimizer", "state/data", "state/bytes"].map((name) => `${name}.safetensors`);
  const files = await Promise.all(
    [...names, manifestName].map(async (name) => [name, new Uint8Array(await readFile(join(folder, name)))] as const),
  );
  return { folder, store, files: new Map(files) };
}

/** A store with one checkpoint, of these files. */
function serving(files: Files): Store {
  const partOf = (bytes: Uint8Array): OpenPart => ({
    bytes: bytes.length,
    read: (into, position) => () => {
      assert.ok(position + into.length <= bytes.length);
      return Promise.resolve({ _tag: "Right", right: into.set(bytes.subarray(position, position + into.length)) });
    },
    close: () => Promise.resolve(),
  });
  const found = (name: string): Uint8Array => files.get(name) ?? assert.fail(name);
  return {
    ...memory(),
    list: () => Promise.resolve({ _tag: "Right", right: [0] }),
    manifest: () => () => Promise.resolve({ _tag: "Right", right: found(manifestName) }),
    open: (_, name) => () => Promise.resolve({ _tag: "Right", right: partOf(found(name)) }),
  };
}

/** The boundaries in a file: after the length of the header, the header and each tensor; in a manifest, after each field. */
function boundariesOf(name: string, bytes: Uint8Array): readonly number[] {
  if (name === manifestName) {
    const text = new TextDecoder().decode(bytes);
    return [
      0,
      text.indexOf(',"crc32"'),
      text.indexOf(',"manifest"'),
      text.indexOf("{", 1),
      bytes.length - 2,
      bytes.length,
    ];
  }
  const header = decodeHeader(bytes, bytes.length);
  if (header._tag === "Left") return assert.fail(JSON.stringify(header.left));
  const { dataStart, tensors } = header.right;
  return [...new Set([0, 8, dataStart, ...tensors.flatMap(({ begin, end }) => [dataStart + begin, dataStart + end])])];
}

type Attempt = (store: Store, what: string) => Promise<void>;

/** Loads damaged checkpoints into live components. Each load must name the damage, and leave all that is live unchanged. */
async function refusing(run: (checkpoint: Checkpoint, attempt: Attempt) => Promise<void>): Promise<void> {
  const checkpoint = await saved();
  const live = build();
  const before = await observed(live);
  let attempts = 0;
  await run(checkpoint, async (store, what) => {
    attempts++;
    const loaded = await loadState(store)(live)();
    if (loaded._tag === "Right") return assert.fail(`${what} is not noticed`);
    assert.match(loaded.left._tag, /^(Damaged|NewerFormat)$/, `${what}: ${explain(loaded.left)}`);
    const { numTensors, numBytes } = tf.memory();
    assert.deepEqual([numTensors, numBytes], [before.memory.numTensors, before.memory.numBytes], what);
  });
  assert.ok(attempts > 0);
  assert.deepEqual(await observed(live), before);
}

test("the undamaged checkpoint loads", async () => {
  const { store, files } = await saved();
  await runOrThrow(loadState(store)(build()));
  await runOrThrow(loadState(serving(files))(build()));
  for (const [name, bytes] of files) assert.ok(boundariesOf(name, bytes).length > 3, name);
});

// --- bits

function flipped(files: Files, name: string, bit: number): Store {
  const bytes = Uint8Array.from(files.get(name) ?? assert.fail(name));
  bytes[bit >> 3]! ^= 1 << (bit & 7);
  return serving(new Map([...files, [name, bytes]]));
}

/** The distance between the bits that are tried. With enough torture, every bit is. */
const stride = Math.max(1, Math.round(20 / torture));

test("nothing silent: a flipped bit in the manifest, a header or the length of a header is reported", () =>
  refusing(async ({ files }, attempt) => {
    for (const [name, bytes] of files) {
      const header = decodeHeader(bytes, bytes.length);
      const end = name === manifestName || header._tag === "Left" ? bytes.length : header.right.dataStart;
      for (let bit = Math.floor(Math.random() * stride); bit < 8 * end; bit += stride) {
        await attempt(flipped(files, name, bit), `bit ${bit} of ${name}`);
      }
    }
  }));

const bits = 800 * torture;

test(`nothing silent: a flipped bit in a tensor is reported, for ${bits} bits of all files`, () =>
  refusing(async ({ files }, attempt) => {
    const tensors = [...files].filter(([name]) => name !== manifestName).map(([name, bytes]) => {
      const header = decodeHeader(bytes, bytes.length);
      const start = header._tag === "Right" ? header.right.dataStart : assert.fail(name);
      assert.ok(start < bytes.length);
      return { name, start, length: bytes.length - start };
    });
    for (let i = 0; i < bits; i++) {
      const { name, start, length } = tensors[i % tensors.length] ?? assert.fail();
      const bit = 8 * start + Math.floor(Math.random() * 8 * length);
      await attempt(flipped(files, name, bit), `bit ${bit} of ${name}`);
    }
  }));

// --- lengths

test("nothing silent: a file that is cut, extended or shifted is reported, at every boundary in it", () =>
  refusing(async ({ folder, store, files }, attempt) => {
    for (const [name, bytes] of files) {
      const file = join(folder, name);
      const tryWith = async (changed: Uint8Array, what: string): Promise<void> => {
        await writeFile(file, changed);
        await attempt(store, `${name} ${what}`);
      };
      for (const boundary of boundariesOf(name, bytes)) {
        for (const at of [boundary - 1, boundary, boundary + 1].filter((at) => at >= 0 && at <= bytes.length)) {
          if (at < bytes.length) {
            await tryWith(bytes.slice(0, at), `cut to ${at}`);
            await tryWith(Uint8Array.from([...bytes.slice(0, at), ...bytes.slice(at + 1)]), `without byte ${at}`);
          }
          for (const more of [[0], [0x20], [...bytes.slice(at, at + 8), 0]]) {
            await tryWith(
              Uint8Array.from([...bytes.slice(0, at), ...more, ...bytes.slice(at)]),
              `with ${more.length} more bytes at ${at}`,
            );
          }
        }
      }
      await writeFile(file, bytes);
      assert.equal((await readSnapshot(store)())._tag, "Right");
    }
  }));

test("nothing silent: two files that are exchanged, or one that replaces another, are reported", () =>
  refusing(async ({ files }, attempt) => {
    for (const [a, inA] of files) {
      for (const [b, inB] of files) {
        if (a === b) continue;
        await attempt(serving(new Map([...files, [a, inB]])), `${b} as ${a}`);
        await attempt(serving(new Map([...files, [a, inB], [b, inA]])), `${a} and ${b} exchanged`);
      }
    }
  }));
