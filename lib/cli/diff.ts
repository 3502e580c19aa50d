/**
 * `dogear diff`: where two checkpoints differ, tensor by tensor.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { verifyCheckpoint } from "../verify.ts";
import { type Difference, differences } from "../compare.ts";
import { type Chosen, chosen, type Outcome, selections, type Trouble, usage, type Words } from "./arguments.ts";
import { openCheckpoint } from "./opened.ts";
import type { Terminal } from "./terminal.ts";
import { jsonText, numberText, table, valueText } from "./text.ts";

// --- the command

/** The two checkpoints that words select: two of one folder, or one of each of two, the newest where none is named. */
async function pair(words: readonly string[]): Promise<E.Either<Trouble, readonly [Chosen, Chosen]>> {
  const selected = await selections(words)();
  if (E.isLeft(selected)) return selected;
  const found: Chosen[] = [];
  for (const selection of selected.right) {
    const some = await chosen(selection)();
    if (E.isLeft(some)) return some;
    found.push(...some.right);
  }
  const [left, right, ...more] = found;
  return left === undefined || right === undefined || more.length > 0
    ? usage(`Expected two checkpoints, as in "dogear diff runs/digits 3 7", found ${found.length}`)
    : E.right([left, right]);
}

function differenceRow({ path, kind, left, right, count, largest }: Difference): readonly string[] {
  return [
    path,
    kind,
    left === undefined ? "" : valueText(left),
    right === undefined ? "" : valueText(right),
    count === undefined ? "" : `${count}`,
    largest === undefined ? "" : numberText(largest),
  ];
}

/** `dogear diff [run] <checkpoint> [run] <checkpoint>`. */
export function diff({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const both = await pair(rest);
    if (E.isLeft(both)) return both;
    const opened = [];
    try {
      for (const { store, checkpoint } of both.right) {
        const draw = terminal.draw(`checking checkpoint ${checkpoint}`);
        const sound = await verifyCheckpoint(store, checkpoint, draw)();
        draw();
        if (E.isLeft(sound)) return sound;
        const one = await openCheckpoint(store, checkpoint)();
        if (E.isLeft(one)) return one;
        opened.push(one.right);
      }
      const [left, right] = opened;
      if (left === undefined || right === undefined) return usage("Expected two checkpoints");
      const found = await differences(left.encoded, right.encoded)();
      const [a, b] = both.right.map(({ given, store, checkpoint }) => ({
        given,
        location: store.location,
        checkpoint,
      }));
      if (options["json"] === true) {
        const side = (one: typeof a): unknown => ({ location: one?.location, checkpoint: one?.checkpoint });
        await terminal.print([
          jsonText({ left: side(a), right: side(b), equal: found.length === 0, differences: found }),
        ]);
      } else await terminal.print(text(found));
      return E.right(found.length === 0 ? 0 : 1);
    } finally {
      for (const { close } of opened) await close();
    }
  };

  async function* text(found: readonly Difference[]): AsyncGenerator<string> {
    if (found.length === 0) return yield "equal, by bits";
    const columns = [
      { name: "path" },
      { name: "differs in" },
      { name: "left", flexible: true },
      { name: "right" },
      { name: "elements", right: true },
      { name: "by at most", right: true },
    ];
    yield* table(columns, found.map(differenceRow), terminal.width);
    yield `${found.length} ${found.length === 1 ? "difference" : "differences"}`;
  }
}
