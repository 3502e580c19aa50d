/**
 * Law *old or new*, in every state that a crash can leave while two processes save at once; and the numbers that their checkpoints get.
 *
 * In Bun alone, because the disk is simulated in memory.
 *
 * @module
 */

import fc from "fast-check";
import assert from "node:assert/strict";
import { test } from "node:test";
import { directoryOn } from "../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import { Retention, saveState } from "../../mod.ts";
import {
  explore,
  folder,
  holds,
  interrupted,
  inTurn,
  inTurns,
  layered,
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
import { blank, machine, type Schedule } from "../support/simulated_disk.ts";
import { linux, type Profile, savingProfiles } from "../support/profiles.ts";
import { torture } from "../support/torture.ts";

// --- every state

const scenarios = {
  "two first saves at once": { during: together(saves("a", 1), saves("b", 2)), schedules: interrupted },
  "two later saves at once": {
    before: saves("a", 1),
    during: together(saves("a", 2), saves("b", 3)),
    schedules: interrupted,
  },
  "two saves at once of one run": {
    before: inTurn(saves("a", 1), loads("b")),
    during: together(savesOrNot("a", 2), savesOrNot("b", 3)),
    schedules: () => interrupted(3),
  },
  "two saves at once of two runs, keeping one checkpoint each": {
    keep: Retention.latest(1),
    before: inTurn(saves("a", 1), saves("b", 2)),
    during: together(saves("a", 3), saves("b", 4)),
    schedules: () => interrupted(7),
  },
} satisfies Readonly<Record<string, Scenario>>;

test("old or new: every state after a crash in a removal in place, while another process saves", async () => {
  const scenario: Scenario = {
    before: inTurn(saves("a", 1), saves("a", 2)),
    during: together(removes("a", 0), saves("b", 3)),
    schedules: interrupted,
  };
  holds("a removal in place, while another process saves", [await explore(scenario, { disk: layered })]);
});

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`old or new: every state after a crash in ${name}`, async () => holds(name, [await explore(scenario)]));
}

// --- numbers

/**
 * Runs processes that save concurrently, each keeping one checkpoint. Returns the numbers of their checkpoints in ascending order.
 *
 * @param plan The steps to save, by process.
 * @param schedule The order of their operations.
 * @param beside Another program that uses the disk.
 */
async function numbersOf(
  plan: Readonly<Record<string, readonly number[]>>,
  schedule: Schedule,
  beside: (disk: FileSystem) => Promise<unknown> = () => Promise.resolve(),
  profile: Profile = linux,
): Promise<readonly number[]> {
  const simulated = machine(blank, { schedule, profile });
  const numbers: number[] = [];
  const save = async (name: string, steps: readonly number[]): Promise<void> => {
    const store = directoryOn(simulated.process(name))(path, { keep: Retention.latest(1) });
    for (const step of steps) numbers.push(right(await saveState(store)(stateAt(step))()).checkpoint);
  };
  await Promise.all([
    beside(simulated.process("user")),
    ...Object.entries(plan).map(([name, steps]) => save(name, steps)),
  ]);
  const later = machine(simulated.image()).process("later");
  const left = right(await later.names(folder)()).filter((name) => !/^checkpoint_/.test(name));
  // A removal whose answers were lost, or that a scanner has disturbed, is finished by the next save.
  assert.deepEqual(left.filter((name) => profile === linux || !/^\.removing-/.test(name)), []);
  if (left.length > 0) {
    right(await saveState(directoryOn(later)(path))(stateAt(100))());
    assert.ok(right(await later.names(folder)()).every((name) => /^checkpoint_/.test(name)));
  }
  return numbers.sort((a, b) => a - b);
}

test("numbers: unique and consecutive when two writers pause at any point while a third saves with latest(1)", async () => {
  for (let [i, over] = [0, false]; !over; i++) {
    for (let j = 0; j < 60; j += Math.ceil(12 / torture)) {
      const turns: readonly Turn[] = [["a", i], ["c", j], ["b", Infinity], ["c", Infinity], ["a", Infinity]];
      const numbers = await numbersOf({ a: [1], b: [2, 3, 4], c: [5] }, inTurns(turns, () => over = true));
      assert.deepEqual(numbers, [0, 1, 2, 3, 4], `after ${i} and ${j} operations`);
    }
  }
});

test("numbers: unique when any writers pause at any point, and when another program makes folders with their names, on every system", async () => {
  const systems = fc.constantFrom(...Object.keys(savingProfiles));
  const turns = fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d", "user"), fc.nat(60)), { maxLength: 16 });
  await fc.assert(
    fc.asyncProperty(turns, fc.array(fc.nat(5), { maxLength: 3 }), systems, async (turns, taken, system) => {
      const intrude = async (disk: FileSystem): Promise<void> => {
        for (const number of taken) await disk.makeFolder(`${folder}/checkpoint_${number}`)();
      };
      const plan = { a: [1, 2], b: [3, 4, 5], c: [6, 7], d: [8] };
      const numbers = await numbersOf(plan, inTurns(turns, () => {}), intrude, savingProfiles[system]);
      assert.equal(new Set(numbers).size, numbers.length, `${numbers}`);
      if (taken.length === 0) assert.equal(numbers.at(-1), numbers.length - 1, `${numbers}`);
    }),
    { numRuns: 100 * Math.min(torture, 5) },
  );
});
