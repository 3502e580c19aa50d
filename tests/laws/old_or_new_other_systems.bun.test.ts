/**
 * Law *old or new* on Windows, macOS, NFS and FUSE, as profiles of the simulated disk: every state after a crash, every lost answer, and
 * readers beside savers that remove. Last the mounts of object stores, on which the law does not hold: `tests/store/directory/mounts.test.ts`
 * has how they are refused.
 *
 * In Bun alone, because the disk is simulated in memory. The laws of stores, the numbers and *one line of history* run on these systems in
 * their own tests.
 *
 * @module
 */

import * as TE from "fp-ts/lib/TaskEither.js";
import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import type { Store } from "../../lib/store/store.ts";
import { loadState, resume, Retention, saveState } from "../../mod.ts";
import {
  explore,
  folder,
  holds,
  interrupted,
  inTurn,
  inTurns,
  loads,
  path,
  removes,
  right,
  saves,
  savesOrNot,
  type Scenario,
  stateAt,
  together,
  type Turn,
} from "../support/crashes.ts";
import { objectMounts, type Profile, profiles, savingProfiles } from "../support/profiles.ts";
import { blank, machine, type Schedule } from "../support/simulated_disk.ts";
import { torture } from "../support/torture.ts";

// --- every state after a crash

/** What is tried on a system. */
function scenarios({ areFoldersDurable = false, losesAnswer, network }: Profile): readonly Scenario[] {
  const alone: readonly Scenario[] = [
    { during: saves("a", 1) },
    { before: saves("a", 1), during: inTurn(saves("a", 2), removes("a", 0)) },
  ];
  const two: Scenario = {
    before: inTurn(saves("a", 1), loads("b")),
    during: together(savesOrNot("a", 2), savesOrNot("b", 3)),
    schedules: () => interrupted(Math.ceil((areFoldersDurable ? 30 : 150) / torture)),
  };
  // Where a crash may keep or lose each change there are many more states.
  const isTried = areFoldersDurable || (losesAnswer !== undefined && network === "machines") || torture > 1;
  return isTried ? [...alone, two] : alone;
}

for (const [system, profile] of Object.entries(profiles)) {
  test(`old or new: every state after a crash, on ${system}`, async () => {
    const explored = [];
    for (const scenario of scenarios(profile)) explored.push(await explore({ ...scenario, profile }));
    holds(system, explored);
  });
}

// --- lost answers

test("old or new: a save that keeps one succeeds whichever answer is lost, and is made once", async () => {
  for (let lost = 1, over = false; !over; lost++) {
    let [left, isSaving] = [lost, false];
    const losesAnswer = (): boolean => isSaving && --left === 0;
    const simulated = machine(blank, { profile: { network: "machines", losesAnswer } });
    const store = directoryOn(simulated.process("a"))(path, { keep: Retention.latest(1) });
    right(await saveState(store)(stateAt(1))());
    isSaving = true;
    const saved = right(await saveState(store)(stateAt(2))());
    isSaving = false;
    over = left > 0;
    assert.deepEqual([saved.checkpoint, saved.removed, saved.notRemoved], [1, [0], []], `answer ${lost}`);
    right(await saveState(store)(stateAt(3))());
    const names = right(await simulated.process("later").names(folder)());
    assert.deepEqual(names, ["checkpoint_2"], `answer ${lost}`);
    const { step } = right(await loadState(store)(stateAt(0))());
    assert.equal(step, 3);
  }
});

// --- readers beside savers

/** Two savers that keep one checkpoint each and a reader, in some order. Every load is whole, every save succeeds, every orphan is removed. */
async function besides(profile: Profile, schedule: Schedule): Promise<void> {
  let isRacing = false;
  const simulated = machine(blank, { schedule: (waiting) => isRacing ? schedule(waiting) : 0, profile });
  const open = (name: string): Store => directoryOn(simulated.process(name))(path, { keep: Retention.latest(1) });
  const load = async (store: Store): Promise<number> => {
    const state = right(await resume(store)(stateAt(0))());
    assert.deepEqual(state, stateAt(state.step));
    return state.step;
  };
  const [a, b, reader] = [open("a"), open("b"), open("reader")];
  right(await saveState(a)(stateAt(1))());
  await load(reader);
  isRacing = true;
  const save = async (store: Store, steps: readonly number[]): Promise<void> => {
    for (const step of steps) right(await saveState(store)(stateAt(step))());
  };
  const read = async (): Promise<void> => assert.ok(await load(reader) > 0, "the store was not empty");
  await Promise.all([save(a, [2, 3]), save(b, [4]), read()]);
  // What was in use when it was to be removed is removed by the next saves.
  const later = machine(simulated.image(), { profile, statusOf: () => "dead" }).process("later");
  const store = directoryOn(later)(path, { keep: Retention.latest(1) });
  await load(store);
  await save(store, [5, 6, 7]);
  const names = right(await later.names(folder)());
  assert.deepEqual(names.filter((name) => !/^checkpoint_/.test(name)), []);
  assert.ok(names.length <= 2, `of each run one: ${names}`);
}

for (const [system, profile] of Object.entries(savingProfiles)) {
  // On the others an open file does not matter.
  if (profile.inUse === undefined && profile.network === undefined && torture === 1) continue;
  test(`old or new: readers load whole states beside savers that keep one, wherever any of them pauses, on ${system}`, async () => {
    for (const [first, apart] of [["reader", profile.network === undefined ? 4 : 1], ["a", 25]] as const) {
      let over = false;
      for (let i = 0; !over; i += Math.ceil(apart / torture)) {
        const turns: readonly Turn[] = [[first, i], ["b", Infinity], ["a", Infinity], ["reader", Infinity]];
        await besides(profile, inTurns(turns, () => over = true));
      }
    }
  });
}

for (const [system, profile] of Object.entries(profiles)) {
  test(`retention: a checkpoint that is being read fails no save, and is removed at last, on ${system}`, async () => {
    const simulated = machine(blank, { profile });
    const store = directoryOn(simulated.process("a"))(path, { keep: Retention.latest(1) });
    right(await saveState(store)(stateAt(1))());
    for (const [reader, step] of [["a", 2], ["reader", 4]] as const) {
      const [before] = right(await store.list());
      const part = right(await directoryOn(simulated.process(reader))(path).open(before!, "model.safetensors")());
      const saved = right(await saveState(store)(stateAt(step))());
      assert.deepEqual([...saved.removed, ...saved.notRemoved.map(({ checkpoint }) => checkpoint)], [before]);
      if (profile.inUse !== undefined) assert.equal(saved.notRemoved.length, 1);
      const read = await part.read(new Uint8Array(part.bytes), 0)();
      // On NFS, another machine has removed the file.
      if (profile.network !== "machines" || reader === "a") right(read);
      await part.close();
      const next = right(await saveState(store)(stateAt(step + 1))()).checkpoint;
      const names = right(await simulated.process("later").names(folder)());
      const left = profile.losesAnswer === undefined ? names : names.filter((name) => !/^\.removing-/.test(name));
      assert.deepEqual(left, [`checkpoint_${next}`]);
    }
  });
}

test("nothing silent: a folder that shows only what does not exist is no empty run", async () => {
  let waited = 0;
  const wait = (milliseconds: number): Promise<void> => Promise.resolve(void (waited += milliseconds));
  const disk = machine(blank).process("a");
  right(await saveState(directoryOn(disk)(path))(stateAt(1))());
  await disk.rename(`${folder}/checkpoint_0`, `${folder}/another`)();
  const old: FileSystem["names"] = (path) => path === folder ? TE.right(["checkpoint_0"]) : disk.names(path);
  const store = directoryOn({ ...disk, names: old, wait })(path);
  for (const task of [resume(store)(stateAt(0)), store.list]) {
    const result = await task();
    assert(result._tag === "Left" && result.left._tag === "StoreFailed");
    assert.equal(result.left.code, "ESTALE");
    // NFS shows an old listing for up to a minute.
    assert.ok(waited > 60_000);
  }
});

// --- mounts of object stores

test("a broken protocol is detected: folders are renamed file by file", async () => {
  const profile = objectMounts["renames file by file"];
  const isDamaged = (why: string): boolean => /^{"_tag":"Damaged","checkpoint":1/.test(why);
  const { broken } = await explore(
    { before: saves("a", 1), during: saves("a", 2), profile },
    {},
    new Map(),
    isDamaged,
  );
  assert.ok(broken.some(isDamaged), `found:\n${broken.join("\n")}`);
});
