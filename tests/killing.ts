/**
 * The programs of `examples/` as they were before they could be resumed and as they are: what was changed in them, and what becomes of them
 * when they are killed at random.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { here, type Runtime, start, there } from "./children.ts";

// --- types

/** A program that trains: `NAME.plain.ts` and `NAME.ts`, whose first argument says how far and whose second where to save. */
export interface Program {
  readonly name: string;
  readonly what: string;
  /** The argument that makes it print so many lines of progress; it saves about as often as it prints one. */
  readonly length: (lines: number) => number;
}

/** What became of a program that was killed. */
export interface Killed {
  /** The id that it ended with, and the one that it would have ended with had it not been killed. */
  readonly id: string;
  readonly whole: string;
  /** How far it had come at each kill, in percent. */
  readonly kills: readonly number[];
  /** How far it had come by its newest checkpoint when it was started for the last time, in percent. */
  readonly resumedAt: number;
}

// --- constructors

/** The programs. */
export const programs: readonly Program[] = [
  { name: "gan", what: "a GAN that draws digits, two optimizers", length: (lines) => 4 * lines },
  { name: "dqn", what: "a DQN that plays snake, a replay memory", length: (lines) => 20 * lines },
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

/** How far a line of progress says that a program has come, from 0 to 1. */
function reached(line: string): number | undefined {
  const [, at, of] = /(\d+)\/(\d+)/.exec(line) ?? [];
  return at === undefined ? undefined : Number(at) / Number(of);
}

interface Leg {
  readonly id: string | undefined;
  readonly progress: readonly number[];
  readonly seconds: number;
}

/** Runs a program to its end, or kills it a moment after some lines of progress. */
async function leg(runtime: Runtime, name: string, args: readonly string[], lines = Infinity, wait = 0): Promise<Leg> {
  const progress: number[] = [];
  let [first, last] = [NaN, NaN];
  const child = start(runtime, `../../examples/${name}.ts`, args, {
    onLine: (line) => {
      const at = reached(line);
      if (at === undefined) return;
      last = performance.now();
      if (progress.push(at) === 1) first = last;
      if (progress.length === lines) setTimeout(() => child.kill("SIGKILL"), wait);
    },
  });
  const { code, signal, lines: output, errors } = await child.ended;
  assert.ok(
    code === 0 || (lines < Infinity && signal === "SIGKILL"),
    `${runtime} ${name} ended with ${code}:\n${errors}`,
  );
  const id = output.findLast((line) => line.startsWith("id "))?.slice(3);
  return {
    id: code === 0 ? id ?? assert.fail("no id was printed") : undefined,
    progress,
    seconds: (last - first) / 1000,
  };
}

/** The plain program to its end: how many lines of progress it printed. */
export async function plain({ name, length }: Program, lines: number): Promise<number> {
  const child = start(here, `../../examples/${name}.plain.ts`, [`${length(lines)}`]);
  const { code, lines: output, errors } = await child.ended;
  assert.equal(code, 0, `${name} ended with ${code}:\n${errors}`);
  return output.filter((line) => reached(line) !== undefined).length;
}

/**
 * Runs a program once without interruption, and once so that it is killed at random, by SIGKILL, as often as is said, and resumed in the
 * one runtime and the other by turns.
 *
 * @param folder An empty one, for its stores.
 */
export async function kill({ name, length }: Program, kills: number, folder: string): Promise<Killed> {
  const lines = 12 + 4 * kills;
  const args = (store: string): readonly string[] => [`${length(lines)}`, join(folder, name, store)];
  const whole = await leg(here, name, args("whole"));
  const between = 1000 * whole.seconds / whole.progress.length;
  const points: number[] = [];
  for (let k = 0; k < kills; k++) {
    // So many lines that as many are left for the kills to come.
    const left = lines * (1 - (points.at(-1) ?? 0)) - 3;
    const most = Math.max(1, Math.floor(left / (kills - k)));
    const runtime = k % 2 === 0 ? here : there;
    const { id, progress } = await leg(
      runtime,
      name,
      args("killed"),
      1 + Math.floor(most * Math.random()),
      between * Math.random(),
    );
    assert.equal(id, undefined, `${name} ended before kill ${k + 1} of ${kills}`);
    points.push(progress.at(-1) ?? 0);
  }
  const end = await leg(kills % 2 === 0 ? here : there, name, args("killed"));
  return {
    id: end.id ?? "",
    whole: whole.id ?? "",
    kills: points.map((point) => Math.round(100 * point)),
    resumedAt: Math.round(100 * ((end.progress[0] ?? 1) - 1 / lines)),
  };
}
