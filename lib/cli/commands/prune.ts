/**
 * `dogear prune`: shows which checkpoints retention policies would remove and why, and with `--yes` removes them.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { entriesOf, type Plan, plan, prune, type Removal } from "../../checkpoint/mod.ts";
import { type Entry, Retention, type Store } from "../../store/mod.ts";
import { type CommandError, type Usage, usage } from "../arguments.ts";
import { type Command, defineCommand } from "../command.ts";
import { type OpenRun, openRun, parseReferences } from "../reference.ts";
import { checkpointStatuses } from "../checkpoint_status.ts";
import { columnsOf, tableLines } from "../table.ts";
import { type Terminal, withBar } from "../terminal.ts";
import { bytesText, jsonText } from "../format.ts";

// --- types

/** A policy and the words that asked for it. */
interface NamedPolicy {
  readonly name: string;
  readonly policy: Retention.Retention;
}

/** What happens to a checkpoint. */
interface PruneLine {
  readonly checkpoint: number;
  readonly entry: Entry | null;
  readonly action: "keep" | "remove";
  readonly why: string;
}

/** What was removed, or would be without `--yes`. */
interface Pruned extends Removal {
  readonly location: string;
  readonly dryRun: boolean;
  readonly lines: readonly PruneLine[];
  /** The bytes that this frees, or at least frees: other checkpoints may share some of the files. */
  readonly freed: number;
  readonly isLeast: boolean;
}

// --- parsing

function parseCount(name: "latest" | "every", word: string): E.Either<Usage, NamedPolicy> {
  return /^[1-9]\d*$/.test(word) && Number.isSafeInteger(Number(word))
    ? E.right({ name: `${name} ${word}`, policy: Retention[name](Number(word)) })
    : usage(`Expected --${name} with a whole number from 1, found ${JSON.stringify(word)}`);
}

/** The policy of `--best 3:loss:min`. The metric's name may hold colons. */
function parseBest(word: string): E.Either<Usage, NamedPolicy> {
  const [, n = "", metric = "", mode] = /^([1-9]\d*):(.+):(min|max)$/s.exec(word) ?? [];
  return (mode === "min" || mode === "max") && Number.isSafeInteger(Number(n))
    ? E.right({ name: `best ${n} ${metric} ${mode}`, policy: Retention.best(Number(n), metric, mode) })
    : usage(`Expected --best with N:METRIC:min or N:METRIC:max, such as 3:loss:min, found ${JSON.stringify(word)}`);
}

/** The policies of the options. A checkpoint that any of them keeps is kept. */
function parsePolicies(
  { latest, best = [], every }: {
    readonly latest?: string;
    readonly best?: readonly string[];
    readonly every?: string;
  },
): E.Either<Usage, readonly NamedPolicy[]> {
  const counts = Object.entries({ latest, every }) as readonly ["latest" | "every", string | undefined][];
  const counted = counts.flatMap(([name, word]) => word === undefined ? [] : [parseCount(name, word)]);
  const forms = "--latest 3, --best 3:loss:min or --every 1000, or several";
  return counted.length + best.length === 0
    ? usage(`Expected a policy: ${forms}. A checkpoint that any of them keeps is kept`)
    : E.sequenceArray([...counted, ...best.map(parseBest)]);
}

/** The folder of the only run. A checkpoint is an error: the policies choose. */
function parseFolder(words: readonly string[]): E.Either<Usage, string> {
  return pipe(
    parseReferences(words),
    E.flatMap(([{ run, checkpoint } = { run: "." }, ...more]) =>
      checkpoint === undefined && more.length === 0
        ? E.right(run)
        : usage(`Expected one run and no checkpoint, found ${words.join(" ")}: the policies choose the checkpoints`)
    ),
  );
}

// --- running

/** The label of the progress bar. */
const checking = "checking what stays";

/** The option that limits a plan to the run whose name begins like this. */
function findRun({ store, numbers }: OpenRun, start: string): TE.TaskEither<CommandError, { readonly run?: string }> {
  return async () => {
    const names = [...new Set((await entriesOf(store, numbers)).map(({ run }) => run))];
    const [run, ...more] = start === "" ? [] : names.filter((name) => name.startsWith(start));
    if (run !== undefined && more.length === 0) return E.right({ run });
    const expected = `Expected --run with the name of a run in ${store.location} or its start`;
    return usage(`${expected}, found ${JSON.stringify(start)}: its runs are ${names.join(", ")}`);
  };
}

/** Why policies keep checkpoints, by number. */
function reasonsToKeep(entries: readonly Entry[], policies: readonly NamedPolicy[]): ReadonlyMap<number, string> {
  const reasons = new Map<number, string>();
  for (const run of new Set(entries.map(({ run }) => run))) {
    const ofRun = entries.filter((entry) => entry.run === run);
    for (const { name, policy } of policies) {
      const { keep, unknownMetrics = [] } = policy(ofRun, Date.now());
      const reason = unknownMetrics.length > 0 ? `${name}: no such metric` : name;
      for (const checkpoint of keep) {
        const before = reasons.get(checkpoint);
        reasons.set(checkpoint, before === undefined ? reason : `${before}, ${reason}`);
      }
    }
    // Every policy keeps the newest.
    reasons.set(ofRun.reduce((newest, { checkpoint }) => Math.max(newest, checkpoint), 0), "newest");
  }
  return reasons;
}

/** What happens to each checkpoint of a plan and why, ascending. */
function pruneLines(made: Plan, policies: readonly NamedPolicy[], removal: Removal): readonly PruneLine[] {
  const reasons = reasonsToKeep([...made.keep.flatMap(({ entry }) => entry ?? []), ...made.remove], policies);
  const removed = new Set(removal.removed);
  const failed = new Map(removal.notRemoved.map(({ checkpoint, reason }) => [checkpoint, reason]));
  const kept = made.keep.map(({ checkpoint, entry, why }): PruneLine => {
    return { checkpoint, entry, action: "keep", why: why === "policy" ? reasons.get(checkpoint) ?? why : why };
  });
  const rest = made.remove.map((entry): PruneLine => {
    const { checkpoint } = entry;
    return removed.has(checkpoint)
      ? { checkpoint, entry, action: "remove", why: "no policy keeps it" }
      : { checkpoint, entry, action: "keep", why: failed.get(checkpoint) ?? "changed meanwhile" };
  });
  return [...kept, ...rest].sort((a, b) => a.checkpoint - b.checkpoint);
}

/** How many bytes of each checkpoint others share. It is read before any is removed. */
async function sharedBytes(store: Store, entries: readonly Entry[]): Promise<ReadonlyMap<number, number>> {
  const found = new Map<number, number>();
  const numbers = entries.map(({ checkpoint }) => checkpoint);
  for await (const { checkpoint, shared } of checkpointStatuses(store, numbers, false)) {
    found.set(checkpoint, shared ?? 0);
  }
  return found;
}

/** Carries out a plan, or only says that it would. */
function carryOut(store: Store, made: Plan, yes: boolean, terminal: Terminal): TE.TaskEither<CommandError, Removal> {
  let removal: Removal = { removed: made.remove.map(({ checkpoint }) => checkpoint), notRemoved: [], notes: [] };
  const onReport = (report: Removal): void => void (removal = report);
  const carried = withBar(terminal, checking, (onProgress) => prune(store, { onProgress, onReport })(made));
  return pipe(yes ? carried : TE.right<CommandError, unknown>(undefined), TE.map(() => removal));
}

/** The result of a plan and its removal. */
function prunedOf(
  made: Plan,
  removal: Removal,
  policies: readonly NamedPolicy[],
  shared: ReadonlyMap<number, number>,
): Omit<Pruned, "location" | "dryRun"> {
  const removed = made.remove.filter(({ checkpoint }) => removal.removed.includes(checkpoint));
  return {
    ...removal,
    lines: pruneLines(made, policies, removal),
    notes: [...made.notes, ...removal.notes],
    freed: removed.reduce((sum, { checkpoint, bytes }) => sum + bytes - (shared.get(checkpoint) ?? 0), 0),
    isLeast: removed.some(({ checkpoint }) => (shared.get(checkpoint) ?? 0) > 0),
  };
}

// --- showing

function prunedJson({ location, dryRun, lines, removed, notRemoved, notes, freed }: Pruned): string {
  const checkpoints = lines.map(({ checkpoint, action, why, entry }) => {
    const { step = null, bytes = null, run = null } = entry ?? {};
    return { checkpoint, action, why, step, bytes, run };
  });
  const done = { removed: dryRun ? [] : removed, notRemoved, notes, freed };
  return jsonText({ location, dryRun, checkpoints, ...done });
}

async function* prunedText({ dryRun, lines, removed, freed, isLeast }: Pruned, width: number): AsyncGenerator<string> {
  const columns = [
    ...columnsOf({ checkpoint: "right", step: "right", size: "right" }),
    ...columnsOf({ [dryRun ? "would" : "done"]: "left", why: "cut" }),
  ];
  const rows = lines.map((
    { checkpoint, entry, action, why },
  ) => [`${checkpoint}`, `${entry?.step ?? "-"}`, entry === null ? "" : bytesText(entry.bytes), action, why]);
  yield* tableLines(columns, rows, width);
  const count = `${removed.length} ${removed.length === 1 ? "checkpoint" : "checkpoints"}`;
  const what = `${count}, ${isLeast ? "at least " : ""}${bytesText(freed)}`;
  if (!dryRun) yield `Removed ${what}`;
  else yield removed.length === 0 ? "Nothing to remove" : `Would remove ${what}: run it again with --yes`;
}

// --- the command

/** `dogear prune`. */
export const pruneCommand: Command = defineCommand({
  name: "prune",
  summary: "remove checkpoints that no policy keeps",
  usage: "[RUN] (--latest N | --best N:METRIC:min | --every N)... [--run NAME] [--yes]",
  description:
    `Shows which checkpoints no policy keeps, and with --yes removes them. Policies apply to each run of the folder separately.
The newest checkpoint of a run and its last one that verifies always stay.`,
  options: {
    latest: { value: "N", help: "keep the N newest" },
    best: {
      value: "N:METRIC:min",
      multiple: true,
      help: "keep the N with the lowest (max: the highest) metric; may be given several times",
    },
    every: { value: "N", help: "keep those whose step is a multiple of N" },
    run: { value: "NAME", help: "prune only this run of the folder; the start of its name is enough" },
    yes: { help: "remove them; without it nothing is removed" },
  },
  example: "runs/digits --latest 3 --best 1:val_loss:min",
  json: `{ location, dryRun, checkpoints: [{ checkpoint, action, why, step, bytes, run }], removed,
  notRemoved: [{ checkpoint, reason }], notes, freed }`,
  parse: ({ options, words }) =>
    pipe(
      E.Do,
      E.bind("policies", () => parsePolicies(options)),
      E.bind("folder", () => parseFolder(words)),
      E.bind("policy", ({ policies }) => E.right(Retention.any(...policies.map(({ policy }) => policy)))),
      E.map((parsed) => ({ ...parsed, runName: options.run, yes: options.yes === true })),
    ),
  run: ({ policies, policy, folder, runName, yes }, terminal) =>
    pipe(
      TE.Do,
      TE.bind("open", () => openRun(folder)),
      TE.bind("only", ({ open }) => runName === undefined ? TE.right({}) : findRun(open, runName)),
      TE.bind("made", ({ open: { store }, only }): TE.TaskEither<CommandError, Plan> =>
        withBar(terminal, checking, (onProgress) =>
          plan(store, { onProgress, ...only })(policy))),
      TE.bind("shared", ({ open: { store }, made }) =>
        TE.fromTask(() => sharedBytes(store, made.remove))),
      TE.bind("removal", ({ open: { store }, made }) => carryOut(store, made, yes, terminal)),
      TE.map(({ open: { store: { location } }, made, shared, removal }): Pruned => {
        return { ...prunedOf(made, removal, policies, shared), location, dryRun: !yes };
      }),
    ),
  show: (pruned, { width }) => ({
    json: () => [prunedJson(pruned)],
    text: () => prunedText(pruned, width),
    messages: [
      ...pruned.notes,
      ...pruned.notRemoved.map(({ checkpoint, reason }) => `Checkpoint ${checkpoint} was not removed: ${reason}`),
    ],
    exitCode: () => pruned.notRemoved.length > 0 ? 2 : 0,
  }),
});
