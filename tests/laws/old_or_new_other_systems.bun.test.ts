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

import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOn } from "../../lib/store/directory/directory.ts";
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
} from "../support/crashes.ts";
import { objectMounts, type Profile, profiles } from "../support/profiles.ts";
import { blank, machine } from "../support/simulated_disk.ts";
import { torture } from "../support/torture.ts";

// --- every state after a crash

/** What is tried on a system. */
function scenarios({ areFoldersDurable = false, losesAnswer }: Profile): readonly Scenario[] {
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
  return areFoldersDurable || losesAnswer !== undefined || torture > 1 ? [...alone, two] : alone;
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

test("old or new: readers beside savers that keep one load whole states, and no save fails, on every system", async () => {
  const processes = fc.constantFrom("a", "b", "r", "s");
  const turns = fc.array(fc.tuple(processes, fc.nat(60)), { maxLength: 16 });
  for (const [system, profile] of Object.entries(profiles)) {
    const reads: number[] = [];
    const run = async (turns: readonly (readonly [string, number])[]): Promise<void> => {
      const simulated = machine(blank, { schedule: inTurns(turns, () => {}), profile });
      const open = (name: string) => directoryOn(simulated.process(name))(path, { keep: Retention.latest(1) });
      right(await saveState(open("before"))(stateAt(1))());
      const save = async (name: string): Promise<void> => {
        const store = open(name);
        for (const step of [2, 3, 4]) right(await saveState(store)(stateAt(step))());
      };
      const read = async (name: string): Promise<void> => {
        const store = open(name);
        for (let i = 0; i < 4; i++) {
          const state = right(await resume(store)(stateAt(0))());
          assert.deepEqual(state, stateAt(state.step));
          assert.ok(state.step > 0, "the store was not empty");
          reads.push(state.step);
        }
      };
      await Promise.all([save("a"), save("b"), read("r"), read("s")]);
      // What was in use when it was to be removed is removed by the next save.
      const later = machine(simulated.image(), { profile, statusOf: () => "dead" }).process("later");
      const store = directoryOn(later)(path, { keep: Retention.latest(1) });
      for (const name of ["a", "b"]) {
        right(await resume(store)(stateAt(0))());
        right(await saveState(store)(stateAt(name === "a" ? 5 : 6))());
      }
    };
    await fc.assert(fc.asyncProperty(turns, run), { numRuns: 2 * torture });
    assert.ok(reads.length > 0, system);
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
