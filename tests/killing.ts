/**
 * The programs of `examples/` as they were before they could be resumed and as they are: what was changed in them, and what becomes of them
 * when they are killed at random.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { directory, list, runOrThrow } from "../mod.ts";
import { here, type Runtime, start, there } from "./children.ts";

// --- types

/** A program that trains: `NAME.plain.ts` and `NAME.ts`, whose first argument says how far and whose second where to save. */
export interface Program {
  readonly name: string;
  readonly what: string;
  /** It prints a line of progress after every so many steps; it saves about as often. */
  readonly every: number;
  /** The argument that makes it train for so many steps, or for a few more. */
  readonly length: (steps: number) => number;
}

/** What became of a program that was killed. */
export interface Killed {
  /** The id that it ended with, and the one that it would have ended with had it not been killed. */
  readonly id: string;
  readonly whole: string;
  /** At how many percent of the steps it was killed. */
  readonly kills: readonly number[];
  /** The step of its newest checkpoint when it was started for the last time, and the first that it told of then. */
  readonly saved: number;
  readonly next: number;
}

// --- constructors

/** The programs. */
export const programs: readonly Program[] = [
  { name: "conv", what: "a convolutional classifier, `model.fit`", every: 2, length: (steps) => Math.ceil(steps / 40) },
  {
    name: "dates",
    what: "sequence to sequence with attention, `model.fit`",
    every: 1,
    length: (steps) => 8 * Math.ceil(steps / 8),
  },
  { name: "lstm", what: "text generation by LSTM, `trainOnBatch`", every: 2, length: (steps) => steps },
  { name: "gan", what: "a GAN, two optimizers, `minimize`", every: 4, length: (steps) => steps },
  { name: "dqn", what: "a DQN, replay memory, epsilon, `variableGrads`", every: 20, length: (steps) => steps },
];

// --- combinators

function source(name: string): Promise<string> {
  return readFile(new URL(`../examples/${name}.ts`, import.meta.url), "utf8");
}

/** The lengths of the longest common subsequences of the tails of two lists. */
function common(a: readonly string[], b: readonly string[]): readonly (readonly number[])[] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Array<number>(b.length + 1).fill(0));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i]![j] = a[i] === b[j] ? 1 + lengths[i + 1]![j + 1]! : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
    }
  }
  return lengths;
}

/** How many lines were changed to make one text of another: where some are replaced by others, the more of them count. */
export function changedLines(before: string, after: string): number {
  const [a, b] = [before.split("\n"), after.split("\n")];
  const lengths = common(a, b);
  let [i, j, changed, removed, added] = [0, 0, 0, 0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      changed += Math.max(removed, added);
      [i, j, removed, added] = [i + 1, j + 1, 0, 0];
    } else if (j === b.length || (i < a.length && lengths[i + 1]![j]! >= lengths[i]![j + 1]!)) {
      [i, removed] = [i + 1, removed + 1];
    } else {
      [j, added] = [j + 1, added + 1];
    }
  }
  return changed + Math.max(removed, added);
}

/** How many lines of a program were changed to make it resumable. */
export async function changes({ name }: Program): Promise<number> {
  return changedLines(await source(`${name}.plain`), await source(name));
}

interface Leg {
  readonly id: string | undefined;
  /** The steps that it told of, and of how many. */
  readonly steps: readonly number[];
  readonly of: number;
  readonly seconds: number;
}

/** Runs a program to its end, or kills it a moment after some lines of progress. */
async function leg(runtime: Runtime, file: string, args: readonly string[], lines = Infinity, wait = 0): Promise<Leg> {
  const steps: number[] = [];
  let [of, first, last] = [0, NaN, NaN];
  const child = start(runtime, `../../examples/${file}.ts`, args, {
    onLine: (line) => {
      const [, step, total] = /^step (\d+)\/(\d+) /.exec(line) ?? [];
      if (step === undefined) return;
      of = Number(total);
      last = performance.now();
      if (steps.push(Number(step)) === 1) first = last;
      if (steps.length === lines) setTimeout(() => child.kill("SIGKILL"), wait);
    },
  });
  const { code, signal, lines: output, errors } = await child.ended;
  const killed = lines < Infinity && signal === "SIGKILL";
  assert.ok(code === 0 || killed, `${runtime} ${file} ended with ${code ?? signal}:\n${errors}`);
  const id = output.findLast((line) => line.startsWith("id "))?.slice(3);
  return { id, steps, of, seconds: (last - first) / 1000 };
}

/** Runs a program as it was, in this runtime, for at least so many steps: the steps it told of. */
export async function plain({ name, length }: Program, steps: number): Promise<readonly number[]> {
  return (await leg(here, `${name}.plain`, [`${length(steps)}`])).steps;
}

/**
 * Runs a program once without interruption, and once so that it is killed at random, by SIGKILL, as often as is said, and resumed in the
 * one runtime and the other by turns.
 *
 * @param folder An empty one, for its stores.
 */
export async function kill({ name, every, length }: Program, kills: number, folder: string): Promise<Killed> {
  const store = (which: string): string => join(folder, name, which);
  const args = (which: string): readonly string[] => [`${length(every * (6 + 3 * kills))}`, store(which)];
  const whole = await leg(here, name, args("whole"));
  const between = 1000 * whole.seconds / whole.steps.length;
  const points: number[] = [];
  for (let k = 0; k < kills; k++) {
    // At most so many lines that enough are left for the kills to come.
    const left = (whole.of - (points.at(-1) ?? 0)) / every - 3;
    const lines = 1 + Math.floor(Math.random() * Math.max(1, left / (kills - k)));
    const { id, steps } = await leg([here, there][k % 2]!, name, args("killed"), lines, between * Math.random());
    assert.equal(id, undefined, `${name} ended before kill ${k + 1} of ${kills}`);
    points.push(steps.at(-1) ?? 0);
  }
  const saved = (await runOrThrow(list(directory(store("killed"))))).entries.at(-1)?.step ?? 0;
  const end = await leg([here, there][kills % 2]!, name, args("killed"));
  return {
    id: end.id ?? "",
    whole: whole.id ?? "",
    kills: points.map((point) => Math.round(100 * point / whole.of)),
    saved,
    next: end.steps[0] ?? NaN,
  };
}
