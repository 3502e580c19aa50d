/**
 * The answers of file systems: whatever code any operation answers, on any system, nothing is lost, a committed save is no failure, and the
 * next save succeeds.
 */

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { knownCodes, meaningOf, means } from "../../../lib/store/directory/answers.ts";
import { directoryOn } from "../../../lib/store/directory/directory.ts";
import type { FileSystem } from "../../../lib/store/directory/file_system.ts";
import { explain, list, readSnapshot, restoreState, Retention, runOrThrow, saveState } from "../../../mod.ts";
import type { Store } from "../../../lib/store/store.ts";
import { folder, path, stateAt } from "../../support/crashes.ts";
import { root } from "../../gate/runtimes.ts";
import { blank, type Machine, machine } from "../../support/simulated_disk.ts";
import { torture } from "../../support/torture.ts";
import { fault, type Operation, watched } from "../../support/watched_disk.ts";

// --- faults

/** A fault of some operations of one name, counted from the moment it begins. */
interface Fault {
  readonly name: string;
  readonly code: string;
  /** How many operations of the name succeed before it. */
  readonly from: number;
  /** How many operations fail. */
  readonly times: number;
  /** Whether the operations are executed, and only their answers are lost. */
  readonly isExecuted: boolean;
  readonly platform: NodeJS.Platform;
}

/** The codes of the table, and failures that are nothing else. */
const codes: readonly (readonly [name: string, code: string])[] = [
  ...knownCodes,
  ...[...new Set(knownCodes.map(([name]) => name))].flatMap((name) =>
    ["EIO", "ENOSPC", "ETIMEDOUT", "UNKNOWN"].map((code) => [name, code] as const)
  ),
];

const anyFault: fc.Arbitrary<Fault> = fc.record({
  code: fc.constantFrom(...codes),
  from: fc.oneof(fc.constant(0), fc.nat(12)),
  times: fc.constantFrom(1, 1, 2, 5, Infinity),
  isExecuted: fc.boolean(),
  platform: fc.constantFrom("linux", "darwin", "win32"),
}).map(({ code: [name, code], ...rest }) => ({ name, code, ...rest }));

/** A disk with a fault that can be switched on and off. */
function withFault({ name, code, from, times, isExecuted, platform }: Fault, computer: Machine = machine(blank)) {
  let count = -1;
  const failed: Operation[] = [];
  const on: FileSystem = {
    ...computer.process("a"),
    platform,
    wait: () => Promise.resolve(),
  };
  const disk = watched(on, (operation) => {
    if (count < 0 || operation.name !== name) return undefined;
    const n = count++;
    if (n < from || n >= from + times) return undefined;
    failed.push(operation);
    const failure = fault(operation, code);
    return isExecuted ? { after: failure } : failure;
  });
  return { disk, failed, begin: () => void (count = 0), end: () => void (count = -1) };
}

async function stepsOf(store: Store): Promise<readonly (number | null)[]> {
  const steps: (number | null)[] = [];
  for (const { checkpoint, step } of (await runOrThrow(list(store))).entries) {
    using snapshot = await runOrThrow(readSnapshot(store, { checkpoint }));
    assert.deepEqual(restoreState(snapshot), E.right(stateAt(step ?? -1)));
    steps.push(step);
  }
  return steps;
}

async function check(made: Fault): Promise<string> {
  const { disk, failed, begin, end } = withFault(made);
  const store = directoryOn(disk)(path, { keep: Retention.latest(2) });
  for (const step of [1, 2]) await runOrThrow(saveState(store)(stateAt(step)));
  begin();
  const saved = await saveState(store)(stateAt(3))();
  end();
  const found = await stepsOf(store);
  if (E.isRight(saved)) assert.equal(found.at(-1), 3);
  else {
    assert(saved.left._tag === "StoreFailed", JSON.stringify(saved.left));
    assert.match(explain(saved.left), /^Cannot [a-z ]+ \//i);
    assert.ok(failed.length > 0);
    assert.deepEqual(found.slice(0, 2), [1, 2]);
    if (found.includes(3)) {
      // Only that the commit may not be durable is a failure.
      assert.deepEqual([failed.at(-1)?.name, failed.at(-1)?.path], ["syncFolder", folder]);
      assert.match(saved.left.message, /Checkpoint 2 is in its place/);
    }
  }
  for (const step of [4, 5]) await runOrThrow(saveState(store)(stateAt(step)));
  assert.deepEqual(await stepsOf(store), [4, 5]);
  const names = E.getOrElse((): readonly string[] => ["none"])(await disk.names(folder)());
  // A reservation or temporary folder whose release failed stays until this process ends.
  assert.deepEqual(names.filter((name) => !/^\.(saving|number)-/.test(name)).length, 2, names.join());
  return failed.length === 0 ? "no fault" : saved._tag;
}

/** Faults that lost something once. */
const known: readonly Fault[] = [
  { name: "rename", code: "EPERM", from: 1, times: 1, isExecuted: true, platform: "linux" },
  { name: "rename", code: "ENOENT", from: 1, times: 1, isExecuted: true, platform: "linux" },
  { name: "rename", code: "EPERM", from: 2, times: Infinity, isExecuted: false, platform: "win32" },
  { name: "removeFolder", code: "EBUSY", from: 0, times: Infinity, isExecuted: false, platform: "linux" },
  { name: "syncFolder", code: "EIO", from: 1, times: 1, isExecuted: false, platform: "linux" },
];

test("answers: with any code of any operation, nothing is lost, and a committed save is no failure", async () => {
  const outcomes = new Map<string, number>();
  await fc.assert(
    fc.asyncProperty(anyFault, async (made) => {
      const outcome = await check(made);
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    }),
    { numRuns: 60 * torture, examples: known.map((one) => [one]) },
  );
  assert.ok([...outcomes.values()].every((count) => count > 3), JSON.stringify([...outcomes]));
});

test("answers: with any code for one of two processes, no number is given twice and the saves of both are whole", async () => {
  await fc.assert(
    fc.asyncProperty(anyFault, async (made) => {
      const computer = machine(blank);
      const { disk, failed, begin, end } = withFault(made, computer);
      const [one, two] = [directoryOn(disk)(path), directoryOn(computer.process("b"))(path)];
      await runOrThrow(saveState(one)(stateAt(1)));
      await runOrThrow(saveState(two)(stateAt(2)));
      begin();
      const results = await Promise.all([one, two, one, two].map((store, i) => saveState(store)(stateAt(3 + i))()));
      end();
      const steps = await stepsOf(two);
      const expected = results.flatMap((saved, i) => E.isRight(saved) ? [3 + i] : []);
      // The healthy process saves, whatever happens to the other.
      assert.ok(expected.includes(4) && expected.includes(6), JSON.stringify(results));
      const others = steps.filter((step) => step !== null && !expected.includes(step) && step > 2);
      assert.ok(others.length <= results.filter((saved) => E.isLeft(saved)).length);
      if (others.length > 0) assert.ok(failed.some(({ name, path }) => name === "syncFolder" && path === folder));
      for (const step of [1, 2, ...expected]) assert.equal(steps.filter((found) => found === step).length, 1);
      const numbers = results.flatMap((saved) => E.isRight(saved) ? [saved.right.checkpoint] : []);
      assert.equal(new Set(numbers).size, numbers.length);
    }),
    { numRuns: 40 * torture, examples: known.map((one) => [one]) },
  );
});

test("answers: the table has each code once per operation, in every one what it has for all", () => {
  for (const [operation, code] of knownCodes) {
    const meaning = meaningOf(operation, { ...fault({ name: "open", path: "/" }, code) });
    assert.ok(meaning !== undefined && means(meaning, operation)(fault({ name: "open", path: "/" }, code)));
  }
  assert.equal(meaningOf("open", fault({ name: "open", path: "/" }, "EIO")), undefined);
  assert.equal(meaningOf("open", fault({ name: "open", path: "/" }, "constructor")), undefined);
});

test("answers: no other file of the store knows what a code means", () => {
  const place = join(root, "lib", "store", "directory");
  // It asks the system for processes, not files.
  const others = readdirSync(place).filter((file) => !["answers.ts", "process_identity.ts"].includes(file));
  for (const file of others) {
    const compared = readFileSync(join(place, file), "utf8").split("\n")
      .filter((line) =>
        /\bcode\b.*([!=]==|includes).*"E[A-Z]+"|\["E[A-Z]+"/.test(line) || /includes\(.*\.code\)/.test(line)
      );
    assert.deepEqual(compared, [], file);
  }
});
