/**
 * `dogear verify`: checks that every byte of checkpoints is as committed.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { decodeSummary } from "../../checkpoint/mod.ts";
import { sha256Of } from "../../store/mod.ts";
import { type CommandError, messageOf, type Usage, usage, usageError } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import {
  findCheckpoint,
  findCheckpoints,
  type NamedCheckpoint,
  type OpenRun,
  parseReferences,
  type Reference,
} from "../reference.ts";
import { type CheckpointStatus, checkpointStatus, statusJson, verdictColumn } from "../checkpoint_status.ts";
import { columnsOf, tableLines } from "../table.ts";
import type { Terminal } from "../terminal.ts";
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

type Bar = ReturnType<Terminal["draw"]>;

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
function targetsOf(reference: Reference): TE.TaskEither<CommandError, readonly NamedCheckpoint[]> {
  const toTarget = ({ store }: OpenRun) => (checkpoint: number): NamedCheckpoint => ({
    text: reference.text,
    store,
    checkpoint,
  });
  return pipe(
    findCheckpoint(reference),
    TE.flatMap(() => findCheckpoints(reference)),
    TE.map((run) => run.numbers.map(toTarget(run))),
  );
}

/** Whether a manifest has the SHA-256 of every file. */
function hasDigests(manifest: Uint8Array): boolean {
  return pipe(decodeSummary(manifest), E.exists(({ files }) => files.every(({ sha256 }) => sha256 !== undefined)));
}

/**
 * Reads every byte of a checkpoint. The manifest is read once, so that the bytes that are verified are those that the digest is of.
 *
 * @returns Undefined for a checkpoint that does not exist: it was removed meanwhile, or its folder never became a checkpoint.
 */
async function verifyOne(
  target: NamedCheckpoint,
  expected: string | undefined,
  bar: Bar,
): Promise<Verified | undefined> {
  const { store, checkpoint } = target;
  const bytes = await store.manifest(checkpoint)();
  const status = await checkpointStatus(
    { ...store, manifest: () => () => Promise.resolve(bytes) },
    checkpoint,
    true,
    bar,
  )();
  bar();
  if (E.isLeft(status)) return undefined;
  const digest = E.isRight(bytes) && hasDigests(bytes.right) ? sha256Of(bytes.right) : null;
  if (expected === undefined || expected === digest || status.right.error !== null) {
    return { ...status.right, target, digest };
  }
  const error: UnexpectedDigest = { _tag: "UnexpectedDigest", checkpoint, expected, found: digest };
  return { ...status.right, target, digest, verdict: "unexpected", error };
}

async function verifyAll(
  targets: readonly NamedCheckpoint[],
  expected: string | undefined,
  { draw }: Terminal,
): Promise<readonly Verified[]> {
  const verified: Verified[] = [];
  for (const [i, target] of targets.entries()) {
    const bar = draw(`${i + 1} of ${targets.length}: checkpoint ${target.checkpoint}`);
    const one = await verifyOne(target, expected, bar);
    if (one !== undefined) verified.push(one);
  }
  return verified;
}

// --- showing

function verifiedJson(all: readonly Verified[]): string {
  const unexpected = all.filter(({ verdict }) => verdict === "unexpected").length;
  const faulty = all.filter(({ error }) => error !== null).length;
  const checkpoints = all.map(({ target: { store }, digest, ...status }) => {
    return { location: store.location, ...statusJson(status), digest };
  });
  return jsonText({ checkpoints, verified: all.length - faulty, damaged: faulty - unexpected, unexpected });
}

function verifiedText(all: readonly Verified[], several: boolean, terminal: Terminal): AsyncIterable<string> {
  const digests = all.some(({ digest }) => digest !== null);
  const columns = [
    ...(several ? columnsOf({ run: "cut" }) : []),
    ...columnsOf({ checkpoint: "right", size: "right" }),
    verdictColumn(terminal),
    ...(digests ? columnsOf({ "SHA-256": "left" }) : []),
  ];
  const rows = all.map(({ target, checkpoint, entry, verdict, digest }) => {
    const cells = [`${checkpoint}`, entry === null ? "" : bytesText(entry.bytes), verdict, digest ?? ""];
    return several ? [target.text, ...cells] : cells;
  });
  return tableLines(columns, rows, terminal.width);
}

function errorText(error: NonNullable<Verified["error"]>): string {
  if (error._tag !== "UnexpectedDigest") return messageOf(error);
  const found = error.found ?? 'none: it was saved without { digest: "sha256" }';
  return `Checkpoint ${error.checkpoint} is intact, but not the one expected: expected digest ${error.expected}, found ${found}`;
}

// --- the command

/** `dogear verify`. */
export const verifyCommand: Command = defineCommand({
  name: "verify",
  summary: "read every byte of checkpoints",
  usage: "[RUN[@CHECKPOINT]]... [--expect DIGEST]",
  description:
    `Reads every byte of checkpoints, and names what is damaged. The exit code is then 1. Without CHECKPOINT it verifies all
of a run, or with --expect the newest. For a checkpoint that was saved with { digest: "sha256" } it prints the SHA-256 of
the whole, which the save gave as Saved.digest.`,
  options: { expect: { value: "DIGEST", help: "the SHA-256 that the checkpoint must have" } },
  example: "runs/digits@12",
  json: "{ checkpoints: [{ location, ... as in ls, digest }], verified, damaged, unexpected }",
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
  run: ({ references, expected }, terminal) =>
    pipe(
      expected === undefined
        ? pipe(references, TE.traverseSeqArray(targetsOf), TE.map((targets) => targets.flat()))
        : pipe(references, TE.traverseSeqArray(findCheckpoint)),
      TE.flatMapTask((targets) => () => verifyAll(targets, expected, terminal)),
    ),
  show: (all, terminal) => {
    const several = new Set(all.map(({ target: { store } }) => store.location)).size > 1;
    const messages = all.flatMap(({ target: { store }, error }) =>
      error === null ? [] : [`${several ? `${store.location}: ` : ""}${errorText(error)}`]
    );
    return {
      json: () => [verifiedJson(all)],
      text: () => verifiedText(all, several, terminal),
      messages,
      exitCode: () => messages.length > 0 ? 1 : 0,
    };
  },
});
