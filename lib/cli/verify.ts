/**
 * `dogear verify`: whether every byte is what was committed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { candidates } from "../catalogue.ts";
import { decodeSummary } from "../manifest.ts";
import { sha256Of } from "../digest.ts";
import type { Store } from "../store.ts";
import {
  type Chosen,
  chosen,
  type Outcome,
  selections,
  sentence,
  type Trouble,
  usage,
  type Words,
} from "./arguments.ts";
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

/** What is known of a checkpoint whose bytes have all been read, and its digest. */
type Checked = Summary & Pick<Chosen, "given" | "store"> & { readonly digest: string | null };

/**
 * Reads every byte of a checkpoint, all of it against one reading of its manifest, so that what is verified is what the digest is of.
 *
 * @returns Undefined for one that is not there: it never was a checkpoint, or was removed since.
 */
async function checkOne(
  { given, store, checkpoint }: Chosen,
  expected: string | undefined,
  draw: ReturnType<Terminal["draw"]>,
): Promise<Checked | undefined> {
  const bytes = await store.manifest(checkpoint)();
  // Without the SHA-256 of every file, the digest would prove nothing of them.
  const asked: Store = expected === undefined ? store : { ...store, digest: "sha256" };
  const summary = await summarize({ ...asked, manifest: () => () => Promise.resolve(bytes) }, checkpoint, true, draw)();
  draw();
  if (E.isLeft(summary)) return undefined;
  const known = E.isRight(bytes) ? decodeSummary(bytes.right) : bytes;
  const whole = E.isRight(known) && known.right.files.every(({ sha256 }) => sha256 !== undefined);
  const digest = whole && E.isRight(bytes) ? sha256Of(bytes.right) : null;
  const checked: Checked = { given, ...summary.right, store, digest };
  if (expected === undefined || checked.error !== null || digest === expected) return checked;
  const problem = {
    path: "snapshot.json",
    kind: "digest",
    expected: `SHA-256 ${expected}`,
    found: E.isRight(bytes) ? sha256Of(bytes.right) : "none",
  } as const;
  return { ...checked, verdict: "damaged", error: { _tag: "Damaged", checkpoint, problems: [problem] } };
}

/** The digest that `--expect` names: 64 hexadecimal digits, in any case, with or without `sha256:` before them. */
function expectation(word: unknown): E.Either<Trouble, string | undefined> {
  if (typeof word !== "string") return E.right(undefined);
  const digest = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(word)?.[1]?.toLowerCase();
  return digest === undefined
    ? usage(`Expected --expect with a SHA-256 of 64 hexadecimal digits, found ${JSON.stringify(word)}`)
    : E.right(digest);
}

/** The checkpoints to be verified; with a digest there is one, the newest if none is named. */
async function verified(
  words: readonly string[],
  expected: string | undefined,
): Promise<E.Either<Trouble, readonly Chosen[]>> {
  if (expected === undefined) return await everyChosen(words);
  const selected = await selections(words)();
  if (E.isLeft(selected)) return selected;
  const [selection, ...more] = selected.right;
  if (selection === undefined || more.length > 0 || selection.checkpoints.length > 1) {
    return usage("Expected one checkpoint for --expect, found several");
  }
  return await chosen(selection)();
}

/** `dogear verify [run] [checkpoint...] [--expect digest]`. */
export function verify({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const expected = expectation(options["expect"]);
    if (E.isLeft(expected)) return expected;
    const all = await verified(rest, expected.right);
    if (E.isLeft(all)) return all;
    const several = new Set(all.right.map(({ store }) => store.location)).size > 1;
    const checked: Checked[] = [];
    for (const [i, one] of all.right.entries()) {
      const draw = terminal.draw(`${i + 1} of ${all.right.length}: checkpoint ${one.checkpoint}`);
      const found = await checkOne(one, expected.right, draw);
      if (found !== undefined) checked.push(found);
    }
    const faulty = checked.filter(({ error }) => error !== null);
    const [sound, damaged] = [checked.length - faulty.length, faulty.length];
    if (options["json"] === true) {
      const checkpoints = checked.map((one) => ({
        location: one.store.location,
        ...summaryJson(one),
        digest: one.digest,
      }));
      await terminal.print([jsonText({ checkpoints, verified: sound, damaged })]);
      return E.right(damaged > 0 ? 1 : 0);
    }
    const digests = checked.some(({ digest }) => digest !== null);
    const rows = checked.map(({ given, checkpoint, entry, verdict, digest }) => [
      ...(several ? [given] : []),
      `${checkpoint}`,
      entry === null ? "" : bytesText(entry.bytes),
      verdict,
      ...(digests ? [digest ?? ""] : []),
    ]);
    const columns = [
      ...(several ? [{ name: "run", flexible: true }] : []),
      { name: "checkpoint", right: true },
      { name: "size", right: true },
      verdictColumn(terminal),
      ...(digests ? [{ name: "SHA-256" }] : []),
    ];
    await terminal.print(table(columns, rows, terminal.width));
    for (const { store, error } of faulty) {
      if (error !== null) terminal.say(`${several ? `${store.location}: ` : ""}${sentence(error)}`);
    }
    return E.right(damaged > 0 ? 1 : 0);
  };
}
