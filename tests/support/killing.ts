/**
 * Compares the programs of `examples/` with their versions that cannot be resumed: how many lines were changed, and whether they end the same
 * when they are killed at random.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { directory, id, list, readSnapshot } from "../../mod.ts";
import { here, type Runtime, start, there } from "./children.ts";

// --- types

/** A training program, in the files `NAME.plain.ts` and `NAME.ts`. Its arguments are the length of the training and the folder of the run. */
export interface Program {
  readonly name: string;
  readonly what: string;
  /** The number of lines changed to make it resumable. */
  readonly changed: number;
  /** The number of steps between two lines of progress. It saves about as often. */
  readonly every: number;
  /** The first argument for at least this number of steps. */
  readonly length: (steps: number) => number;
}

/** The result of a program that was killed. */
export interface Killed {
  /** The id of its last checkpoint, and that of an uninterrupted run. */
  readonly id: string;
  readonly whole: string;
  /** When it was killed, in percent of the steps. */
  readonly kills: readonly number[];
  /** The step of the newest checkpoint at its last start, and the first step that it reported then. */
  readonly saved: number;
  readonly next: number;
}

// --- constructors

/** The programs. */
export const programs: readonly Program[] = [
  {
    name: "conv",
    what: "a convolutional classifier, `model.fit`",
    changed: 4,
    every: 2,
    length: (steps) => Math.ceil(steps / 40),
  },
  {
    name: "dates",
    what: "sequence to sequence with attention, `model.fit`",
    changed: 5,
    every: 1,
    length: (steps) => 8 * Math.ceil(steps / 8),
  },
  { name: "lstm", what: "text generation by LSTM, `trainOnBatch`", changed: 6, every: 2, length: (steps) => steps },
  { name: "gan", what: "a GAN, two optimizers, `minimize`", changed: 6, every: 4, length: (steps) => steps },
  {
    name: "dqn",
    what: "a DQN, replay memory, epsilon, `variableGrads`",
    changed: 7,
    every: 20,
    length: (steps) => steps,
  },
  { name: "pole", what: "an actor-critic, `await` within its step", changed: 5, every: 10, length: (steps) => steps },
];

// --- combinators

function source(name: string): Promise<string> {
  return readFile(new URL(`../../examples/${name}.ts`, import.meta.url), "utf8");
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

/** The number of lines changed between two texts. Where lines replace others, the larger number counts. */
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

/** The number of lines changed to make a program resumable. */
export async function changes({ name }: Program): Promise<number> {
  return changedLines(await source(`${name}.plain`), await source(name));
}

interface Leg {
  readonly isKilled: boolean;
  /** The steps that it reported, and their total. */
  readonly steps: readonly number[];
  readonly of: number;
  readonly seconds: number;
}

/** Runs a program to its end, or kills it shortly after some lines of progress. */
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
  const { code, signal, errors } = await child.ended;
  const killed = lines < Infinity && signal === "SIGKILL";
  assert.ok(code === 0 || killed, `${runtime} ${file} ended with ${code ?? signal}:\n${errors}`);
  return { isKilled: killed, steps, of, seconds: (last - first) / 1000 };
}

/** The id of the newest checkpoint of a run, which a program saves at its end. */
async function lastId(run: string): Promise<string> {
  using snapshot = await readSnapshot(directory(run));
  return await id(snapshot);
}

/** Runs the version that cannot be resumed for at least this number of steps, in this runtime. Returns the steps that it reported. */
export async function plain({ name, length }: Program, steps: number): Promise<readonly number[]> {
  return (await leg(here, `${name}.plain`, [`${length(steps)}`])).steps;
}

/**
 * Runs a program once without interruption, and once with kills by SIGKILL at random moments, resuming it in the two runtimes alternately.
 *
 * @param folder An empty folder for the runs.
 */
export async function kill({ name, every, length }: Program, kills: number, folder: string): Promise<Killed> {
  const store = (which: string): string => join(folder, name, which);
  const args = (which: string): readonly string[] => [`${length(every * (3 + 3 * kills))}`, store(which)];
  const whole = await leg(here, name, args("whole"));
  const between = 1000 * whole.seconds / whole.steps.length;
  const points: number[] = [];
  for (let k = 0; k < kills; k++) {
    // Leaves enough lines for the remaining kills.
    const left = (whole.of - (points.at(-1) ?? 0)) / every - 3;
    const lines = 1 + Math.floor(Math.random() * Math.max(1, left / (kills - k)));
    const { isKilled, steps } = await leg([here, there][k % 2]!, name, args("killed"), lines, between * Math.random());
    assert.ok(isKilled, `${name} ended before kill ${k + 1} of ${kills}`);
    points.push(steps.at(-1) ?? 0);
  }
  const saved = (await list(directory(store("killed")))).entries.at(-1)?.step ?? 0;
  const end = await leg([here, there][kills % 2]!, name, args("killed"));
  return {
    id: await lastId(store("killed")),
    whole: await lastId(store("whole")),
    kills: points.map((point) => Math.round(100 * point / whole.of)),
    saved,
    next: end.steps[0] ?? NaN,
  };
}
