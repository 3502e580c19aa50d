/**
 * SHA-256: a store with digest: "sha256" rejects a checkpoint without it, and one digest covers the whole checkpoint.
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { crc32 } from "node:zlib";
import { runCommand } from "../../lib/cli/run_command.ts";
import {
  directory,
  list,
  loadState,
  memory,
  readSnapshot,
  resume,
  runOrThrow,
  saveState,
  type Store,
} from "../../mod.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-sha256-"));
after(() => rm(scratch, { recursive: true, force: true }));
before(async () => void await tf.setBackend("cpu"));

let made = 0;
function place(): string {
  return join(scratch, `${made++}`);
}

const digest = "sha256" as const;

function crc(bytes: Uint8Array): string {
  return (crc32(bytes) >>> 0).toString(16).padStart(8, "0");
}

/** Changes a weight of a checkpoint, and every CRC-32 so that it matches, as an attacker would. */
function forge(
  folder: string,
  change: (file: [string, number, string, string | null], bytes: Uint8Array) => void,
): void {
  const path = join(folder, "snapshot.json");
  const { manifest } = JSON.parse(readFileSync(path, "utf8"));
  const [file] = manifest.files;
  const bytes = readFileSync(join(folder, file[0]));
  bytes[bytes.length - 2]! ^= 0x40;
  writeFileSync(join(folder, file[0]), bytes);
  file[2] = crc(bytes);
  change(file, bytes);
  const body = JSON.stringify(manifest);
  writeFileSync(path, `{"format":"dogear/1","crc32":"${crc(new TextEncoder().encode(body))}","manifest":${body}}\n`);
}

async function saved(path: string, options: Parameters<typeof directory>[1]): Promise<string> {
  const store = directory(path, options);
  for (const step of [1, 2]) await runOrThrow(saveState(store)({ w: tf.tensor1d([1, 2, step]), step }));
  return store.locationOf(1);
}

/** All functions that read the newest checkpoint. */
async function reads(store: Store): Promise<readonly string[]> {
  const live = () => ({ w: tf.tensor1d([0, 0, 0]), step: 0 });
  const all = [loadState(store)(live()), resume(store)(live()), readSnapshot(store)];
  return await Promise.all(all.map(async (task) => (await task())._tag));
}

async function dogear(...words: readonly string[]): Promise<{ code: number; text: string; said: string }> {
  const [lines, said]: [string[], string[]] = [[], []];
  const code = await runCommand(words, {
    width: 200,
    print: async (some) => {
      for await (const line of some) lines.push(line);
    },
    say: (text) => void said.push(text),
    draw: () => () => {},
    paint: (_, word) => word,
  });
  return { code, text: lines.join("\n"), said: said.join("\n") };
}

test("nothing silent: a store with SHA-256 rejects a checkpoint without it, whether forged or saved that way", async () => {
  const path = place();
  const folder = await saved(path, { digest });
  assert.deepEqual(await reads(directory(path, { digest })), ["Right", "Right", "Right"]);
  forge(folder, (file) => void (file[3] = null));
  assert.deepEqual(await reads(directory(path)), ["Right", "Right", "Right"]);
  const store = directory(path, { digest });
  assert.deepEqual(await reads(store), ["Left", "Left", "Left"]);
  const refused = await loadState(store)({ w: tf.tensor1d([0, 0, 0]), step: 0 })();
  assert.ok(refused._tag === "Left" && refused.left._tag === "Damaged");
  assert.deepEqual([refused.left.problems.map(({ kind }) => kind), refused.left.older], [["digest"], 0]);
  assert.equal(
    (await runOrThrow(loadState(store, { fallback: true })({ w: tf.tensor1d([0, 0, 0]), step: 0 }))).step,
    1,
  );
  assert.equal((await runOrThrow(list(store))).entries.length, 2);
  const plain = place();
  await saved(plain, {});
  assert.deepEqual(await reads(directory(plain, { digest })), ["Left", "Left", "Left"]);
});

test('Saved.digest: the SHA-256 of the manifest, only from a store with digest: "sha256"', async () => {
  for (
    const make of [
      (options: Parameters<typeof memory>[0]) => memory(options),
      (options: Parameters<typeof memory>[0]) => directory(place(), options),
    ]
  ) {
    const store = make({ digest });
    const first = await runOrThrow(saveState(store)({ w: tf.tensor1d([1]), step: 1 }));
    assert.equal(first.digest, createHash("sha256").update(await runOrThrow(store.manifest(0))).digest("hex"));
    const second = await runOrThrow(saveState(store)({ w: tf.tensor1d([1]), step: 2 }));
    assert.notEqual(second.digest, first.digest);
    assert.ok(!("digest" in await runOrThrow(saveState(make({}))({ step: 1 }))));
  }
});

test("verify --expect: the digest of a save covers every byte, and detects a change even if all inner digests were adapted", async () => {
  const path = place();
  const store = directory(path, { digest });
  for (const step of [1, 2]) await runOrThrow(saveState(store)({ w: tf.tensor1d([1, 2, step]), step }));
  const pinned = (await runOrThrow(saveState(store)({ w: tf.tensor1d([7]), step: 3 }))).digest!;
  for (const words of [[path], [`${path}@2`], [`${path}@latest`]]) {
    for (const word of [pinned, pinned.toUpperCase(), `sha256:${pinned}`]) {
      const { code, text } = await dogear("verify", ...words, "--expect", word);
      assert.deepEqual([code, text.includes(pinned)], [0, true]);
    }
  }
  const other = await dogear("verify", `${path}@1`, "--expect", pinned);
  const { digest: own } = JSON.parse((await dogear("verify", `${path}@1`, "--json")).text).checkpoints[0];
  assert.equal(other.code, 1);
  assert.match(other.text, / unexpected /);
  assert.equal(
    other.said,
    `Checkpoint 1 is intact, but not the one expected: expected digest ${pinned}, found ${own}`,
  );
  const { checkpoints: [row], ...counts } = JSON.parse(
    (await dogear("verify", `${path}@1`, "--expect", pinned, "--json")).text,
  );
  assert.deepEqual(counts, { verified: 0, damaged: 0, unexpected: 1, orphans: [] });
  assert.deepEqual([row.verdict, row.error], ["unexpected", {
    _tag: "UnexpectedDigest",
    checkpoint: 1,
    expected: pinned,
    found: own,
  }]);
  assert.equal((await dogear("verify", path)).code, 0);
  const { checkpoints } = JSON.parse((await dogear("verify", path, "--json")).text);
  assert.equal(checkpoints[2].digest, pinned);
  const changes: Parameters<typeof forge>[1][] = [
    (file, bytes) => void (file[3] = createHash("sha256").update(bytes).digest("hex")),
    (file) => void (file[3] = null),
  ];
  for (const change of changes) {
    const copy = place();
    await cp(path, copy, { recursive: true });
    forge(directory(copy).locationOf(2), change);
    assert.equal((await dogear("verify", copy)).code, 0);
    const { code, said } = await dogear("verify", copy, "--expect", pinned);
    assert.equal(code, 1);
    assert.match(
      said,
      /^Checkpoint 2 is intact, but not the one expected: expected digest [0-9a-f]{64}, found ([0-9a-f]{64}|none: it was saved)/,
    );
  }
  // Without the SHA-256 of the files, the digest of the manifest does not cover their bytes.
  const plain = place();
  await saved(plain, {});
  const manifest = createHash("sha256").update(await runOrThrow(directory(plain).manifest(1))).digest("hex");
  assert.equal((await dogear("verify", plain, "--expect", manifest)).code, 1);
  assert.equal((await dogear("verify", path, "--expect", "12ab")).code, 2);
  assert.equal((await dogear("verify", `${path}@0`, "@1", "--expect", pinned)).code, 2);
});
