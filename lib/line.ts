/**
 * Law *one line of history*: a save goes after the newest checkpoint of its run or is refused; to branch off is asked for, and makes a new run.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { candidates, readEntry } from "./catalogue.ts";
import { readSummary } from "./checkpoint.ts";
import type { Overtaken, StepWentBack, StoreFailed } from "./errors.ts";
import { isPassedOver, type Line, lineOf, newLine } from "./runs.ts";
import type { CommitCondition, Store } from "./store.ts";

// --- types

/** What a save says of its run. */
export interface Branch {
  /** Whether to begin a new run at the checkpoint that was loaded or saved last. */
  readonly fork?: boolean | undefined;
  /** The name of one of several trainings that share the place. */
  readonly training?: string | undefined;
}

/** Codes of a manifest that this process may not read: it is another user's, and of no run of ours. */
const forbidden = ["EACCES", "EPERM"];

// --- combinators

/** The checkpoints of a place of which the one that a line has come to is gone; undefined if it is there. */
async function withoutParent(store: Store, { parent }: Line): Promise<readonly number[] | undefined> {
  if (parent === null) return undefined;
  // Of any name: what is asked is whether the checkpoint is there.
  const looked = await (store.status ?? store.open)(parent, "any")();
  if (E.isLeft(looked)) return looked.left._tag === "NoCheckpoint" ? looked.left.available : undefined;
  if ("close" in looked.right) await looked.right.close();
  return undefined;
}

/** A line, moved to the checkpoint of a commit that failed and has made one all the same. */
async function settled(store: Store, line: Line): Promise<E.Either<StoreFailed, Line>> {
  const { doubtful = [], ...rest } = line;
  if (doubtful.length === 0) return E.right(line);
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return numbers;
  for (const checkpoint of numbers.right.toReversed()) {
    if (checkpoint <= (line.parent ?? -1)) break;
    const summary = await readSummary(store, checkpoint)();
    if (E.isLeft(summary) || summary.right.run !== line.run) continue;
    const made = doubtful.find(({ time }) => time === summary.right.time);
    if (made !== undefined) {
      return E.right({ ...rest, isNew: false, isDoubtful: true, parent: checkpoint, step: made.step });
    }
  }
  return E.right(rest);
}

/**
 * The line that a save is to carry on.
 *
 * @param store Where to.
 * @param step The component `step` of what is saved.
 * @param branch What the save says of its run.
 * @returns The line that the save goes on with; or why it may not.
 */
export async function nextLine(
  store: Store,
  step: number | null,
  { fork = false, training }: Branch,
): Promise<E.Either<StoreFailed | StepWentBack, Line>> {
  const known = lineOf(store, training);
  if (known === undefined) return E.right({ ...newLine(), isFork: fork });
  const without = await withoutParent(store, known);
  // All checkpoints were removed by hand: what is saved begins anew.
  if (without?.length === 0) return E.right({ ...newLine(), isFork: fork });
  const line = await settled(store, known);
  if (E.isLeft(line)) return line;
  const { parent, step: parentStep, isFork = false } = line.right;
  const back = step !== null && parentStep !== null && step < parentStep && without === undefined;
  if (fork && (back || !isFork)) return E.right(newLine(line.right));
  return back ? E.left({ _tag: "StepWentBack", step, parent: parent ?? 0, parentStep }) : line;
}

/**
 * What the commit of a save must look at.
 *
 * @param store Where to.
 * @param line The line that it carries on.
 * @returns Undefined for a run that nobody else can have.
 */
export function afterOf(
  store: Store,
  { run, parent, isNew = false, isDoubtful = false }: Line,
): CommitCondition | undefined {
  if (isNew || parent === null) return undefined;
  return {
    key: run,
    parent,
    isDoubtful,
    check: (checkpoints) => async () => {
      for (const checkpoint of checkpoints.toReversed()) {
        if (checkpoint <= parent) continue;
        const entry = await readEntry(store, checkpoint)();
        if (E.isRight(entry)) {
          if (entry.right.run === run && !isPassedOver(store, checkpoint, entry.right.time)) {
            return E.left(await overtaken(store, checkpoint));
          }
        } else if (entry.left._tag === "StoreFailed" && !forbidden.includes(entry.left.code)) return E.left(entry.left);
        // One whose manifest cannot be read is of no run.
      }
      return E.right(undefined);
    },
  };
}

async function overtaken(store: Store, checkpoint: number): Promise<Overtaken> {
  const summary = await readSummary(store, checkpoint)();
  const [step, by] = E.isLeft(summary)
    ? [null, "another process"]
    : [summary.right.step, `${summary.right.environment.runtime} at ${new Date(summary.right.time).toISOString()}`];
  return { _tag: "Overtaken", checkpoint, step, by };
}
