/**
 * A local store with a remote one behind it: numbers, the line of history, failing uploads, kills, lost disks.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import * as E from "fp-ts/lib/Either.js";
import { copyCheckpoint } from "../../../lib/checkpoint/mod.ts";
import { mirrored } from "../../../lib/store/s3/mod.ts";
import {
  directory,
  list,
  Loader,
  loadState,
  memory,
  resume,
  Retention,
  runOrThrow,
  saver,
  saveState,
  type Store,
  train,
} from "../../../mod.ts";
import { here, start } from "../../support/children.ts";
import { afresh, offline, switched } from "../../support/mirrors.ts";
import { torture } from "../../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-mirror-"));
after(() => rm(scratch, { recursive: true, force: true }));

// --- stores

async function numbers(store: Store): Promise<readonly number[]> {
  return await runOrThrow(store.list);
}

async function manifests(store: Store): Promise<ReadonlyMap<number, string>> {
  const found = new Map<number, string>();
  for (const number of await numbers(store)) {
    const manifest = await store.manifest(number)();
    // Retention may remove it meanwhile.
    if (E.isRight(manifest)) found.set(number, new TextDecoder().decode(manifest.right));
  }
  return found;
}

const weights = (step: number): object => ({ step, w: Float32Array.of(step, 2, 3) });

// --- laws

test("mirror: what is saved is in both stores under one number, after a drain", async () => {
  for (const local of [memory(), directory(join(scratch, "both"))]) {
    const remote = memory();
    const store = mirrored(local, remote);
    for (let step = 0; step < 3; step++) {
      const saved = await saveState(store)(weights(step));
      assert.equal(saved.checkpoint, step);
      assert.equal((await store.drain())._tag, "Right");
    }
    assert.deepEqual(await manifests(remote), await manifests(local));
    assert.deepEqual((await list(store)).entries.map(({ step }) => step), [0, 1, 2]);
  }
});

test("mirror: a machine without a disk goes on from the remote, with the next number", async () => {
  const [first, remote] = [memory(), memory()];
  const store = mirrored(first, remote, {});
  for (let step = 0; step < 2; step++) await saveState(store)(weights(step));
  await store.drain();
  const newDisk = memory();
  const there = mirrored(newDisk, afresh(remote));
  const state = await resume(there)(weights(-1) as { step: number });
  assert.equal(state.step, 1);
  assert.equal((await saveState(there)(weights(2))).checkpoint, 2);
  assert.deepEqual(await numbers(newDisk), [2]);
  await there.drain();
  assert.deepEqual(await numbers(remote), [0, 1, 2]);
  assert.deepEqual(await loadState(there, { checkpoint: 1 })(weights(0) as { step: number }), weights(1));
});

test("mirror: behind a slow upload only the newest waits, and retention does not take it away", async () => {
  let open = (): void => {};
  const on = { gate: new Promise<void>((resolve) => open = resolve) };
  const [local, remote] = [memory({ keep: Retention.latest(1) }), memory()];
  const store = mirrored(local, switched(remote, on));
  for (let step = 0; step < 6; step++) await saveState(store)(weights(step));
  assert.deepEqual(await numbers(local), [0, 1, 5]);
  open();
  await store.drain();
  assert.deepEqual(await numbers(remote), [0, 5]);
});

const losses = [0.9, 0.1, 0.5, 0.4, 0.3, 0.8];

for (const side of ["local", "remote", "neither"] as const) {
  test(`mirror: behind a slow upload, what the policy keeps is uploaded, best included (policy: ${side})`, async () => {
    let open = (): void => {};
    const on = { gate: new Promise<void>((resolve) => open = resolve) };
    const keep = Retention.any(Retention.latest(2), Retention.best(1, "loss", "min"));
    const [local, remote] = [memory(side === "local" ? { keep } : {}), memory(side === "remote" ? { keep } : {})];
    const store = mirrored(local, switched(remote, on));
    for (const [step, loss] of losses.entries()) await saveState(store, { metrics: { loss } })(weights(step));
    open();
    await store.drain();
    assert.deepEqual(await numbers(remote), { local: [0, 1, 4, 5], remote: [1, 4, 5], neither: [0, 5] }[side]);
  });
}

test("mirror: after a drain the local store has what its policy keeps", async () => {
  const [local, remote] = [memory({ keep: Retention.latest(2) }), memory()];
  const store = mirrored(local, remote);
  for (let round = 0; round < 2; round++) {
    for (let step = 0; step < 6; step++) await saveState(store)(weights(6 * round + step));
    await store.drain();
    const newest = 6 * round + 5;
    assert.deepEqual(await numbers(local), [newest - 1, newest]);
    assert.deepEqual((await numbers(remote)).slice(-2), [newest - 1, newest]);
  }
});

test("mirror: the error of an upload comes from the next save once, and drain tries again", async () => {
  const on = { fails: true };
  const [local, remote] = [memory(), memory()];
  const store = mirrored(local, switched(remote, on));
  await saveState(store)(weights(0));
  assert.deepEqual(await store.drain(), E.left(offline));
  await saveState(store)(weights(1));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const failed = await saveState(store)(weights(2))();
  assert.deepEqual(failed, E.left(offline));
  on.fails = false;
  assert.deepEqual(await store.drain(), E.right(undefined));
  assert.deepEqual(await numbers(remote), [1]);
  assert.equal((await saveState(store)(weights(2))).checkpoint, 2);
});

test("mirror: with onFailed, saves go on while uploads fail", async () => {
  const [on, errors] = [{ fails: true }, [] as unknown[]];
  const [local, remote] = [memory(), memory()];
  const store = mirrored(local, switched(remote, on), { onFailed: (error) => errors.push(error) });
  for (let step = 0; step < 4; step++) await saveState(store)(weights(step));
  assert.deepEqual(await numbers(local), [0, 1, 2, 3]);
  await store.drain();
  assert.ok(errors.length > 0);
  on.fails = false;
  assert.equal((await store.drain())._tag, "Right");
  assert.equal((await numbers(remote)).at(-1), 3);
});

test("mirror: the first save of a process must reach the remote", async () => {
  const [on, local] = [{ lists: false }, memory()];
  const store = mirrored(local, switched(memory(), on));
  assert.deepEqual(await saveState(store)(weights(0))(), E.left(offline));
  assert.deepEqual(await numbers(local), []);
});

test("mirror: what was not uploaded before a restart is uploaded by drain", async () => {
  const [local, remote] = [memory(), memory()];
  await saveState(mirrored(local, switched(remote, { fails: true })))(weights(0));
  const again = mirrored(afresh(local), afresh(remote));
  assert.equal((await again.drain())._tag, "Right");
  assert.deepEqual(await manifests(remote), await manifests(local));
});

test("mirror: another machine that has saved since overtakes, and a load follows it", async () => {
  const [local, remote] = [memory(), memory()];
  const store = mirrored(local, remote);
  await saveState(store)(weights(0));
  await store.drain();
  const other = mirrored(memory(), afresh(remote));
  await resume(other)(weights(0) as { step: number });
  await saveState(other)(weights(10));
  await other.drain();
  await saveState(store)(weights(1));
  const drained = await store.drain();
  assert.equal(E.isLeft(drained) && drained.left._tag, "Overtaken");
  const next = await saveState(store)(weights(2))();
  assert.equal(E.isLeft(next) && next.left._tag, "Overtaken");
  assert.deepEqual(await numbers(local), [0, 1]);
  assert.equal((await resume(store)(weights(0) as { step: number })).step, 10);
  assert.equal((await saveState(store)(weights(11))).checkpoint, 2);
  assert.equal((await store.drain())._tag, "Right");
  assert.deepEqual(await numbers(local), [0, 2]);
  assert.deepEqual((await list(store)).entries.map(({ step }) => step), [0, 10, 11]);
});

test("mirror: a damaged local checkpoint is read from the remote", async () => {
  const folder = join(scratch, "damaged");
  const [local, remote] = [directory(folder), memory()];
  const store = mirrored(local, remote);
  await saveState(store)(weights(7));
  await store.drain();
  const files = await readdir(join(folder, "checkpoints", "checkpoint_0"), { recursive: true });
  for (const name of files.filter((name) => name.endsWith(".safetensors") || name.endsWith(".json"))) {
    await writeFile(join(folder, "checkpoints", "checkpoint_0", name), "nonsense");
    const there = mirrored(afresh(local), afresh(remote));
    assert.deepEqual(await resume(there)(weights(0)), weights(7), name);
  }
});

test("mirror: each store applies its own retention", async () => {
  const [local, remote] = [memory({ keep: Retention.latest(1) }), memory({ keep: Retention.latest(3) })];
  const store = mirrored(local, remote);
  for (let step = 0; step < 5; step++) {
    await saveState(store)(weights(step));
    await store.drain();
  }
  assert.deepEqual(await numbers(remote), [2, 3, 4]);
  assert.equal((await numbers(local)).at(-1), 4);
  assert.ok((await numbers(local)).length <= 4);
});

test("mirror: drain of a saver and the end of a training wait for the uploads", async () => {
  const remote = memory();
  const { save, drain } = saver(mirrored(memory(), remote));
  for (let step = 0; step < 3; step++) await save(weights(step));
  await drain;
  assert.equal((await numbers(remote)).at(-1), 2);

  const trained = memory();
  const loader = Loader.batch(2)(Loader.fromArray([1, 2, 3, 4]));
  const to = mirrored(memory(), trained);
  await train({
    loader,
    step: (s: { n: number; cursor: Loader.Cursor }) => ({ ...s, n: s.n + 1 }),
    save: { to, every: 1 },
  })({
    n: 0,
    cursor: Loader.start(loader),
  });
  assert.deepEqual((await numbers(trained)).at(-1), (await numbers(to)).at(-1));
});

test("mirror: a copy is refused if the remote has a newer checkpoint than the one it follows, under whichever number", async () => {
  const [local, remote] = [memory(), memory()];
  for (let step = 0; step < 3; step++) await saveState(local)(weights(step));
  for (let step = 0; step < 2; step++) await saveState(remote)(weights(step + 10));
  const before = await manifests(remote);
  const refused = await copyCheckpoint(local, remote, { after: 0 })(2)();
  assert.equal(E.isLeft(refused) && refused.left._tag === "StoreFailed" && refused.left.code, "ETAKEN");
  assert.deepEqual(await manifests(remote), before);
  assert.deepEqual(await copyCheckpoint(local, remote, { after: 1 })(2)().then(E.isRight), true);
});

// --- kills

test("mirror: a process that is killed has lost nothing that it committed, and on another machine nothing uploaded", async () => {
  const [local, remote] = [join(scratch, "killed"), join(scratch, "kept")];
  let [saved, uploaded] = [0, 0];
  for (let kill = 0; kill < 2 * torture; kill++) {
    const after = 4 + kill * 3;
    let lines = 0;
    const child = start(here, "mirror.ts", [local, remote], {
      onLine: (line) => {
        const [word, step] = [line.split(" ")[0], Number(line.split(" ")[1])];
        if (word === "from") assert.ok(step === saved || step === saved + 1, `saved ${saved}, found ${step}`);
        if (word === "saved") saved = step;
        if (word === "uploaded") uploaded = step;
        if (++lines === after) child.kill("SIGKILL");
      },
    });
    const { signal, errors } = await child.ended;
    assert.equal(signal, "SIGKILL", errors);
    const empty = mirrored(memory(), directory(remote));
    const state = await resume(empty)({ step: 0, w: new Float32Array(1000) });
    assert.ok(state.step >= uploaded && state.step <= saved + 1, `uploaded ${uploaded}, found ${state.step}`);
    const own = await manifests(directory(local));
    for (const [number, text] of await manifests(directory(remote))) assert.equal(text, own.get(number));
  }
});
