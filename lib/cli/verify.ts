/**
 * `dogear verify`: whether every byte is what was committed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { candidates } from "../catalogue.ts";
import { type Chosen, chosen, type Outcome, selections, sentence, type Trouble, type Words } from "./arguments.ts";
import { summaryJson, verdictColumn } from "./ls.ts";
import { summarize, type Summary } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, jsonText, table } from "./text.ts";

// --- the command

/** Every checkpoint that words select, oldest first; all of a folder where none is named. */
async function everyChosen(words: readonly string[]): Promise<E.Either<Trouble, readonly Chosen[]>> {
  const selected = await selections(words)();
  if (E.isLeft(selected)) return selected;
  let all: readonly Chosen[] = [];
  for (const selection of selected.right) {
    const { given, store, checkpoints } = selection;
    const numbers = await candidates(store)();
    if (E.isLeft(numbers)) return numbers;
    const whole = checkpoints.length === 0 && numbers.right.length > 0;
    const found = whole
      ? E.right(numbers.right.map((checkpoint): Chosen => ({ given, store, checkpoint })))
      : await chosen(selection)();
    if (E.isLeft(found)) return found;
    all = all.concat(found.right);
  }
  return E.right(all);
}

/** `dogear verify [run] [checkpoint...]`. */
export function verify({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const all = await everyChosen(rest);
    if (E.isLeft(all)) return all;
    const several = new Set(all.right.map(({ store }) => store.location)).size > 1;
    const checked: (Summary & Pick<Chosen, "given" | "store">)[] = [];
    for (const [i, { given, store, checkpoint }] of all.right.entries()) {
      const draw = terminal.draw(`${i + 1} of ${all.right.length}: checkpoint ${checkpoint}`);
      const summary = await summarize(store, checkpoint, true, draw)();
      draw();
      // One that is not there never was a checkpoint, or was removed since.
      if (E.isRight(summary)) checked.push({ given, store, ...summary.right });
    }
    const faulty = checked.filter(({ error }) => error !== null);
    const [verified, damaged] = [checked.length - faulty.length, faulty.length];
    if (options["json"] === true) {
      const checkpoints = checked.map((one) => ({ location: one.store.location, ...summaryJson(one) }));
      await terminal.print([jsonText({ checkpoints, verified, damaged })]);
      return E.right(damaged > 0 ? 1 : 0);
    }
    const rows = checked.map(({ given, checkpoint, entry, verdict }) => [
      ...(several ? [given] : []),
      `${checkpoint}`,
      entry === null ? "" : bytesText(entry.bytes),
      verdict,
    ]);
    const columns = [
      ...(several ? [{ name: "run", flexible: true }] : []),
      { name: "checkpoint", right: true },
      { name: "size", right: true },
      verdictColumn(terminal),
    ];
    await terminal.print(table(columns, rows, terminal.width));
    for (const { store, error } of faulty) {
      if (error !== null) terminal.say(`${several ? `${store.location}: ` : ""}${sentence(error)}`);
    }
    return E.right(damaged > 0 ? 1 : 0);
  };
}
