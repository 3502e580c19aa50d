/**
 * What the demonstration shows: bars, the table at its end, the commands to try on its runs.
 *
 * @module
 */
import { barText } from "../lib/terminal/mod.ts";

// --- types

/** How far a training is. */
export interface Progress {
  readonly step: number;
  readonly steps: number;
  /** The epoch, from 1, such as `3/8`. */
  readonly epoch: string;
  /** The last loss; empty before the first. */
  readonly loss: string;
}

/** How a training ended. */
export interface Ending {
  readonly steps: number;
  readonly accuracy: string;
  readonly id: string;
}

/** The three trainings of the demonstration; also the names of their folders. */
export const names = ["uninterrupted", "killed", "cold"] as const;
export type Name = typeof names[number];

// --- constructors

/** The progress in a line that `train` writes: `epoch 3/8  141/376  52 batches/s  5 s left  saved 14 (1 s ago)  loss 0.43`. */
export function progressOf(line: string): Progress | undefined {
  const [, epoch = "", step, steps] = /^epoch (\d+\/\d+) +(\d+)\/(\d+)/.exec(line) ?? [];
  if (step === undefined) return undefined;
  return { step: Number(step), steps: Number(steps), epoch, loss: / {2}loss (\S+)/.exec(line)?.[1] ?? "" };
}

/** A bar on one line of at most `width` columns. Parts that do not fit are left out; no number is cut. */
export function barLine(name: Name, { step, steps, loss }: Progress, width: number): string {
  const count = `${`${step}`.padStart(`${steps}`.length)}/${steps}`;
  const named = name.padEnd(13);
  const room = width - named.length - count.length - 4;
  const bar = (columns: number): string => `${named}  ${barText(step / steps, Math.min(40, columns))}  ${count}`;
  // The room for a loss is free before the first, so that the bar keeps its width.
  const lines = [
    ...room >= 26 ? [bar(room - 16) + (loss === "" ? "" : `  loss ${loss}`)] : [],
    ...room >= 5 ? [bar(room)] : [],
    `${named}  ${count}`,
    count,
  ];
  return lines.find((line) => line.length <= width) ?? "";
}

/** A plain line for an output that is no terminal. */
export function plainLine(name: Name, { step, steps, epoch, loss }: Progress): string {
  const parts = [name.padEnd(13), `epoch ${epoch}`, `step ${`${step}`.padStart(`${steps}`.length)}/${steps}`];
  return [...parts, ...loss === "" ? [] : [`loss ${loss}`]].join("  ");
}

/** The characters of an id that are shown. */
const shown = 12;

/** The table at the end, and what it means. Its lines have at most 60 columns. */
export function summary(
  endings: Readonly<Record<Name, Ending>>,
): { readonly isProved: boolean; readonly lines: readonly string[] } {
  const { uninterrupted, killed, cold } = endings;
  const titles: Readonly<Record<Name, string>> = {
    uninterrupted: "uninterrupted",
    killed: "killed twice and resumed",
    cold: "started cold",
  };
  const row = (title: string, steps: string, accuracy: string, id: string): string =>
    `${title.padEnd(24)}  ${steps.padStart(5)}  ${accuracy.padStart(8)}  ${id}`;
  const isSame = killed.id === uninterrupted.id;
  const isOther = cold.id !== uninterrupted.id;
  return {
    isProved: isSame && isOther,
    lines: [
      row("training", "steps", "accuracy", "id of its end"),
      ...names.map((name) =>
        row(titles[name], String(endings[name].steps), endings[name].accuracy, endings[name].id.slice(0, shown))
      ),
      "",
      isSame
        ? `Killed twice and resumed = uninterrupted:\n  same weights, id ${uninterrupted.id.slice(0, shown)}`
        : "FAILED: killed twice and resumed differs from uninterrupted",
      isOther
        ? `Started cold: different, as it should be.\n  It trained as many steps as the last resume, from nothing.`
        : "FAILED: started cold is the same as uninterrupted",
      "",
      "The id is the SHA-256 of all that was trained: weights,\noptimizer, random numbers, position in the data.",
    ].flatMap((text) => text.split("\n")),
  };
}

/**
 * The commands to try on the runs.
 *
 * @param folder Where the runs are, as the reader writes it.
 * @param bun How the reader starts Bun.
 */
export function nextCommands(folder: string, bun: string): readonly string[] {
  const dogear = `${bun} run dogear`;
  return [
    `The runs are kept in ${folder}. Try:`,
    "",
    `  ${dogear} ls ${folder}`,
    `  ${dogear} diff ${folder}/killed ${folder}/uninterrupted`,
    `  ${dogear} diff ${folder}/cold ${folder}/uninterrupted`,
    `  ${dogear} inspect ${folder}/killed model`,
    `  ${dogear} plot ${folder} loss`,
    `  ${dogear} serve ${folder}`,
    "",
    "Train one yourself, kill it with Ctrl+C, and run it again:",
    "",
    `  ${bun} examples/digits.ts --store ${folder}/mine`,
    "",
    "Remove the runs:",
    "",
    `  rm -r ${folder}`,
  ];
}
