/**
 * `dogear verify`: checks that every byte of checkpoints is as committed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as T from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { decodeSummary } from "../../checkpoint/mod.ts";
import { printable } from "../../errors/mod.ts";
import { sha256Of } from "../../store/mod.ts";
import { type CommandTask, messageOf, type Usage, usage, usageError } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import {
  findCheckpoints,
  type NamedCheckpoint,
  noCheckpoint,
  type OpenRun,
  parseReferences,
  type Reference,
} from "../reference.ts";
import type { OpenUrl } from "../stores.ts";
import { type LeftBehind, orphansOfRuns } from "../orphans.ts";
import { type CheckpointStatus, checkpointStatus, colourVerdict, statusJson } from "../checkpoint_status.ts";
import { type Columns, tableLines } from "../table.ts";
import { type Terminal, withBar } from "../terminal.ts";
import { bytesText, jsonText } from "../format.ts";

// --- types

/** A checkpoint that is intact, but not the expected one. */
interface UnexpectedDigest {
  readonly _tag: "UnexpectedDigest";
  readonly checkpoint: number;
  readonly expected: string;
  /** Null for a checkpoint that was saved without SHA-256. */
  readonly found: string | null;
}

/** A checkpoint of which every byte was read. */
interface Verified extends CheckpointStatus<"unexpected", UnexpectedDigest> {
  readonly target: NamedCheckpoint;
  /** The SHA-256 of its manifest, if that has the SHA-256 of every file: it is then a digest of the whole checkpoint. */
  readonly digest: string | null;
}

// --- parsing

/** The digest of `--expect`: 64 hexadecimal digits in either case, with or without `sha256:` before them. */
function parseDigest(word: string | undefined): E.Either<Usage, string | undefined> {
  if (word === undefined) return E.right(undefined);
  const digest = /^(?:sha256:)?([0-9a-f]{64})$/i.exec(word)?.[1]?.toLowerCase();
  return digest === undefined
    ? usage(`Expected --expect with a SHA-256 of 64 hexadecimal digits, found ${JSON.stringify(word)}`)
    : E.right(digest);
}

// --- running

/** The checkpoints of a reference. A run without checkpoints is an error: nothing would be verified. */
function targetsOf(reference: Reference, open: OpenUrl): CommandTask<OpenRun & { readonly isWhole: boolean }> {
  return pipe(
    findCheckpoints(reference, open),
    TE.filterOrElseW(({ numbers }) => numbers.length > 0, (run) => noCheckpoint(run)),
    TE.map((run) => ({ ...run, isWhole: reference.checkpoint === undefined })),
  );
}

/** Whether a manifest has the SHA-256 of every file. */
function hasDigests(manifest: Uint8Array): boolean {
  return pipe(decodeSummary(manifest), E.exists(({ files }) => files.every(({ sha256 }) => sha256 !== undefined)));
}

/**
 * Reads every byte of a checkpoint. The manifest is read once, so that the bytes that are verified are those that the digest is of.
 *
 * @returns `NoCheckpoint` for a checkpoint that does not exist: it was removed meanwhile, or its folder never became a checkpoint.
 */
function verifyOne(target: NamedCheckpoint, expected: string | undefined, place: string, terminal: Terminal) {
  const { store, checkpoint } = target;
  return pipe(
    TE.fromTask(store.manifest(checkpoint)),
    TE.bindTo("bytes"),
    TE.bind("status", ({ bytes }) => {
      const readOnce = { ...store, manifest: () => () => Promise.resolve(bytes) };
      const label = `${place}: checkpoint ${checkpoint}`;
      return withBar(terminal, label, (bar) => checkpointStatus(readOnce, checkpoint, true, bar));
    }),
    TE.map(({ bytes, status }): Verified => {
      const digest = E.isRight(bytes) && hasDigests(bytes.right) ? sha256Of(bytes.right) : null;
      const isFine = expected === undefined || expected === digest;
      if (isFine || status.error !== null) return { ...status, target, digest };
      const error = { _tag: "UnexpectedDigest", checkpoint, expected, found: digest } as const;
      return { ...status, target, digest, verdict: "unexpected", error };
    }),
  );
}

// --- showing

function errorText(error: NonNullable<Verified["error"]>): string {
  if (error._tag !== "UnexpectedDigest") return messageOf(error);
  const found = error.found ?? "none: it was saved without SHA-256";
  return `Checkpoint ${error.checkpoint} is intact, but not the one expected: expected digest ${error.expected}, found ${found}`;
}

/** The least width of a terminal whose table has a column for digests. */
const digestWidth = 110;

/** The table, then the digests that it has no column for, which are never cut. */
async function* verifiedText(table: AsyncIterable<string>, others: readonly Verified[]): AsyncGenerator<string> {
  yield* table;
  for (const { checkpoint, target, digest } of others) {
    if (digest !== null) yield* ["", `SHA-256 of checkpoint ${checkpoint} of ${printable(target.text)}`, digest];
  }
}

function verification(
  all: readonly Verified[],
  { found: orphans, notes }: LeftBehind,
  terminal: Terminal,
): CommandReport {
  const hasRoom = terminal.width >= digestWidth;
  const several = new Set(all.map(({ target: { store } }) => store.location)).size > 1;
  const columns: Columns = {
    ...(several ? { run: "cut" } : {}),
    ...{ checkpoint: "right", size: "right", verdict: colourVerdict(terminal) },
    ...(hasRoom && all.some(({ digest }) => digest !== null) ? { "SHA-256": "left" } : {}),
  };
  const rows = all.map(({ target, checkpoint, entry, verdict, digest }) => {
    const cells = [`${checkpoint}`, entry === null ? "" : bytesText(entry.bytes), verdict, hasRoom ? digest ?? "" : ""];
    return several ? [target.text, ...cells] : cells;
  });
  const messages = all.flatMap(({ target: { store }, error }) =>
    error === null ? [] : [`${several ? `${store.location}: ` : ""}${errorText(error)}`]
  );
  const unexpected = all.filter(({ verdict }) => verdict === "unexpected").length;
  const checkpoints = all.map(({ target: { store: { location } }, digest, ...status }) => {
    return { location, ...statusJson(status), digest };
  });
  const [verified, damaged] = [all.length - messages.length, messages.length - unexpected];
  return {
    json: [jsonText({ checkpoints, verified, damaged, unexpected, orphans })],
    text: verifiedText(tableLines(columns, rows, terminal.width), hasRoom ? [] : all),
    messages: [...messages, ...notes],
    exitCode: () => messages.length > 0 ? 1 : 0,
  };
}

// --- the command

/** `dogear verify`. */
export const verifyCommand: Command = defineCommand({
  name: "verify",
  summary: "read every byte of checkpoints",
  usage: "[RUN[@CHECKPOINT]]... [--expect DIGEST]",
  description:
    `Reads every byte of checkpoints, and names what is damaged. The exit code is then 1. Without CHECKPOINT it verifies all
of a run, or with --expect the newest. For a checkpoint that was saved with SHA-256 it prints the SHA-256 of the whole, which
the script got when it saved. Of a whole run it also says what killed saves have left; that is no damage.`,
  options: { expect: { value: "DIGEST", help: "the SHA-256 that the checkpoint must have" } },
  examples: [
    ["runs/digits", "every checkpoint of a run"],
    ["runs/digits@12", "one checkpoint"],
    ["runs/a runs/b --json", "two runs, as JSON"],
  ],
  json: `{ checkpoints: [{ location, ... as in ls, digest }], verified, damaged, unexpected,
  orphans: [{ location, name, kind, bytes, modified, isLive }] }`,
  parse: ({ options: { expect }, words }) =>
    pipe(
      E.Do,
      E.bind("expected", () => parseDigest(expect)),
      E.bind("references", () => parseReferences(words)),
      E.filterOrElseW(
        ({ expected, references }) => expected === undefined || references.length === 1,
        () => usageError(`Expected one checkpoint for --expect, found ${words.length}`),
      ),
    ),
  run: ({ references, expected }, terminal, open) =>
    pipe(
      references,
      // With a digest only the newest checkpoint of a run is meant.
      TE.traverseSeqArray((one) => targetsOf(expected === undefined ? one : { checkpoint: { back: 0 }, ...one }, open)),
      TE.bindTo("runs"),
      TE.bind("found", ({ runs }) => {
        const targets = runs.flatMap(({ text, store, numbers }) =>
          numbers.map((checkpoint) => ({ text, store, checkpoint }))
        );
        const verify = (i: number, target: NamedCheckpoint) =>
          verifyOne(target, expected, `${i + 1} of ${targets.length}`, terminal);
        return TE.fromTask(T.traverseSeqArrayWithIndex(verify)(targets));
      }),
      TE.bind("left", ({ runs }) => TE.fromTask(() => orphansOfRuns(runs.filter(({ isWhole }) => isWhole)))),
      TE.map(({ found, left }) =>
        verification(found.flatMap((one) => E.isRight(one) ? [one.right] : []), left, terminal)
      ),
    ),
});
