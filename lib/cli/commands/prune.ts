/**
 * `dogear prune`: shows which checkpoints retention policies would remove and why, and with `--yes` removes them.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { entriesOf, type Plan, plan, prune, type Removal } from "../../checkpoint/mod.ts";
import { type Entry, millisecondsOf, Retention, type Span, spanInWords, type Store } from "../../store/mod.ts";
import { type CommandError, type CommandTask, type OptionTable, type Usage, usage, type Values } from "../arguments.ts";
import { type Command, type CommandReport, defineCommand } from "../command.ts";
import { type OpenRun, openRun, parseReferences, withCheckpoints } from "../reference.ts";
import { checkpointStatuses } from "../checkpoint_status.ts";
import { pruneOrphans } from "../orphans.ts";
import { tableLines } from "../table.ts";
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

/** What to prune. */
interface Pruning {
  readonly policies: readonly NamedPolicy[];
  readonly runName: string | undefined;
  readonly dryRun: boolean;
}

// --- parsing

const options = {
  latest: { value: "N", help: "keep the N newest" },
  best: {
    value: "N:METRIC:min",
    multiple: true,
    help: "keep the N with the lowest metric, or with max the highest; may be given several times",
  },
  "keep-unmeasured": { help: "with --best: keep those without the metric, too" },
  every: { value: "N", help: "keep those whose step is a multiple of N" },
  steps: { value: "N,N,...", help: "keep those with these steps" },
  within: { value: "SPAN", help: "keep those saved in the last SPAN, such as 90s, 30m, 12h, 7d or 2w" },
  "one-per": { value: "SPAN", help: "keep the newest of each interval of SPAN, such as 1h or 1d" },
  run: { value: "NAME", help: "prune only this run of the folder; the start of its name is enough" },
  orphans: { help: "remove what killed saves have left instead of checkpoints; what a save may be writing stays" },
  yes: { help: "remove them; without it nothing is removed" },
} as const satisfies OptionTable;

function parseCount(name: "latest" | "every", word: string): E.Either<Usage, NamedPolicy> {
  return /^[1-9]\d*$/.test(word) && Number.isSafeInteger(Number(word))
    ? E.right({ name: `${name} ${word}`, policy: Retention[name](Number(word)) })
    : usage(`Expected --${name} with a whole number from 1, found ${JSON.stringify(word)}`);
}

/** The policy of `--best 3:loss:min`. The metric's name may hold colons. */
function parseBest(word: string, keepUnmeasured: boolean): E.Either<Usage, NamedPolicy> {
  const [, n = "", metric = "", mode] = /^([1-9]\d*):(.+):(min|max)$/s.exec(word) ?? [];
  if ((mode !== "min" && mode !== "max") || !Number.isSafeInteger(Number(n))) {
    return usage(
      `Expected --best with N:METRIC:min or N:METRIC:max, such as 3:loss:min, found ${JSON.stringify(word)}`,
    );
  }
  const name = `best ${n} ${metric} ${mode}${keepUnmeasured ? " or unmeasured" : ""}`;
  return E.right({ name, policy: Retention.best(Number(n), metric, mode, { keepUnmeasured }) });
}

function parseSteps(word: string): E.Either<Usage, NamedPolicy> {
  const steps = word.split(",").map(Number);
  return /^\d+(,\d+)*$/.test(word) && steps.every(Number.isSafeInteger)
    ? E.right({ name: `steps ${word}`, policy: Retention.steps(steps) })
    : usage(`Expected --steps with whole numbers, such as 1000,5000, found ${JSON.stringify(word)}`);
}

const spanPolicies = { within: Retention.within, "one-per": Retention.onePer } as const;

function parseSpan(name: keyof typeof spanPolicies, word: string): E.Either<Usage, NamedPolicy> {
  return millisecondsOf(word) === undefined
    ? usage(`Expected --${name} with ${spanInWords}, found ${JSON.stringify(word)}`)
    : E.right({ name: `${name.replace("-", " ")} ${word}`, policy: spanPolicies[name](word as Span) });
}

/** The policies of the options. A checkpoint that any of them keeps is kept. For orphans there are none. */
function parsePolicies(given: Values<typeof options>): E.Either<Usage, readonly NamedPolicy[]> {
  if (given.orphans === true) {
    const other = Object.keys(given).find((name) => !["orphans", "yes", "json"].includes(name));
    return other === undefined
      ? E.right([])
      : usage(`Expected --orphans alone or with --yes, found --${other}: run prune twice`);
  }
  const { latest, best = [], every, steps, within, "one-per": onePer, "keep-unmeasured": keepUnmeasured = false } =
    given;
  if (keepUnmeasured && best.length === 0) return usage("Expected --best with --keep-unmeasured, found none");
  const parsed = [
    ...(latest === undefined ? [] : [parseCount("latest", latest)]),
    ...(every === undefined ? [] : [parseCount("every", every)]),
    ...(steps === undefined ? [] : [parseSteps(steps)]),
    ...(within === undefined ? [] : [parseSpan("within", within)]),
    ...(onePer === undefined ? [] : [parseSpan("one-per", onePer)]),
    ...best.map((word) => parseBest(word, keepUnmeasured)),
  ];
  const forms =
    "--latest 3, --best 3:loss:min, --every 1000, --steps 1000,5000, --within 7d or --one-per 1h, or several";
  return parsed.length === 0
    ? usage(`Expected a policy: ${forms}. A checkpoint that any of them keeps is kept`)
    : E.sequenceArray(parsed);
}

/** Policies that take `now` for the time, so that the reasons that are shown are those of the plan. */
function at(now: number, policies: readonly NamedPolicy[]): readonly NamedPolicy[] {
  return policies.map(({ name, policy }) => ({ name, policy: (catalogue) => policy(catalogue, now) }));
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
function findRun({ store, numbers }: OpenRun, start: string): CommandTask<{ readonly run?: string }> {
  return async () => {
    const names = [...new Set((await entriesOf(store, numbers)).map(({ run }) => run))];
    const [run, ...more] = start === "" ? [] : names.filter((name) => name.startsWith(start));
    if (run !== undefined && more.length === 0) return E.right({ run });
    const expected = `Expected --run with the name of a run in ${store.location} or its start`;
    return usage(`${expected}, found ${JSON.stringify(start)}: its runs are ${names.join(", ")}`);
  };
}

/** Why policies keep checkpoints, by number. */
function reasonsToKeep({ keep, remove }: Plan, policies: readonly NamedPolicy[]): ReadonlyMap<number, string> {
  const reasons = new Map<number, string>();
  const entries = [...keep.flatMap(({ entry }) => entry ?? []), ...remove];
  for (const run of new Set(entries.map(({ run }) => run))) {
    const ofRun = entries.filter((entry) => entry.run === run);
    for (const { name, policy } of policies) {
      const { keep, unknownMetrics, nanMetrics } = policy(ofRun, Date.now());
      const reason = unknownMetrics ? `${name}: no such metric` : nanMetrics ? `${name}: the metric is NaN` : name;
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
  const reasons = reasonsToKeep(made, policies);
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
  const statuses = checkpointStatuses(store, entries.map(({ checkpoint }) => checkpoint), false);
  for await (const { checkpoint, shared } of statuses) found.set(checkpoint, shared ?? 0);
  return found;
}

/** Carries out a plan, or only says that it would. */
function carryOut(store: Store, made: Plan, dryRun: boolean, terminal: Terminal): CommandTask<Removal> {
  let removal: Removal = { removed: made.remove.map(({ checkpoint }) => checkpoint), notRemoved: [], notes: [] };
  const onReport = (report: Removal): void => void (removal = report);
  const carried = withBar(terminal, checking, (onProgress) => prune(store, { onProgress, onReport })(made));
  return pipe(dryRun ? TE.right<CommandError, unknown>(undefined) : carried, TE.map(() => removal));
}

/** Shows what policies remove, and removes it. */
function pruneCheckpoints({ policies, runName, dryRun }: Pruning, open: OpenRun, terminal: Terminal) {
  const { store } = open;
  return pipe(
    TE.Do,
    TE.bind("only", () => runName === undefined ? TE.right({}) : findRun(open, runName)),
    TE.bind("made", ({ only }) => {
      const policy = Retention.any(...policies.map(({ policy }) => policy));
      return withBar(terminal, checking, (onProgress) => plan(store, { onProgress, ...only })(policy));
    }),
    TE.bind("shared", ({ made }) => TE.fromTask(() => sharedBytes(store, made.remove))),
    TE.bind("removal", ({ made }) => carryOut(store, made, dryRun, terminal)),
    TE.map(({ made, shared, removal }): CommandReport => {
      const { removed, notRemoved } = removal;
      const notes = [...made.notes, ...removal.notes];
      const lines = pruneLines(made, policies, removal);
      const gone = new Set(removed);
      const { freed, inWords } = freedBy(made.remove.filter(({ checkpoint }) => gone.has(checkpoint)), shared);
      const done = { removed: dryRun ? [] : removed, notRemoved, notes, freed };
      const failures = notRemoved.map(({ checkpoint, reason }) =>
        `Checkpoint ${checkpoint} was not removed: ${reason}`
      );
      return {
        json: [jsonText({ location: store.location, dryRun, checkpoints: lines.map(lineJson), ...done })],
        text: prunedText(lines, dryRun, summaryOf(removed.length, inWords, dryRun), terminal.width),
        messages: [...notes, ...failures],
        exitCode: () => failures.length > 0 ? 2 : 0,
      };
    }),
  );
}

// --- showing

function lineJson({ checkpoint, action, why, entry }: PruneLine): unknown {
  const { step = null, bytes = null, run = null } = entry ?? {};
  return { checkpoint, action, why, step, bytes, run };
}

async function* prunedText(lines: readonly PruneLine[], dryRun: boolean, summary: string, width: number) {
  const rows = lines.map(({ checkpoint, entry, action, why }) => {
    return [`${checkpoint}`, `${entry?.step ?? "-"}`, entry === null ? "" : bytesText(entry.bytes), action, why];
  });
  const done = dryRun ? "would" : "done";
  const columns = { checkpoint: "right", step: "right", size: "right", [done]: "left", why: "cut" } as const;
  yield* tableLines(columns, rows, width, ["size", "step"]);
  yield summary;
}

/** The bytes that a removal frees, and all of it in words. */
function freedBy(removed: readonly Entry[], shared: ReadonlyMap<number, number>) {
  const sharedOf = ({ checkpoint }: Entry): number => shared.get(checkpoint) ?? 0;
  const freed = removed.reduce((sum, entry) => sum + entry.bytes - sharedOf(entry), 0);
  // A shared file is freed too if every checkpoint that links it is removed.
  const size = `${removed.some((entry) => sharedOf(entry) > 0) ? "at least " : ""}${bytesText(freed)}`;
  return { freed, inWords: `${removed.length} ${removed.length === 1 ? "checkpoint" : "checkpoints"}, ${size}` };
}

function summaryOf(removed: number, inWords: string, dryRun: boolean): string {
  if (!dryRun) return `Removed ${inWords}`;
  return removed === 0 ? "Nothing to remove" : `Would remove ${inWords}: run it again with --yes`;
}

// --- the command

/** `dogear prune`. */
export const pruneCommand: Command = defineCommand({
  name: "prune",
  summary: "remove old checkpoints",
  usage: "[RUN] (--latest N | --best N:METRIC:min | --within SPAN | ...)... [--run NAME] [--orphans] [--yes]",
  description:
    `Shows which checkpoints no policy keeps, and with --yes removes them. Policies apply to each run of the folder separately.
The newest checkpoint of a run and its last one that verifies always stay. With --orphans it shows, and with --yes removes,
what killed saves have left; later saves remove that, too.`,
  options,
  examples: [
    ["runs/digits --latest 3", "show what would go if the 3 newest stay"],
    ["runs/digits --best 1:loss:min --yes", "keep the newest and the best, remove the others"],
    ["runs/digits --orphans", "show what killed saves have left"],
  ],
  json: `{ location, dryRun, checkpoints: [{ checkpoint, action, why, step, bytes, run }], removed,
  notRemoved: [{ checkpoint, reason }], notes, freed };
  with --orphans { location, dryRun, orphans: [{ name, kind, bytes, modified, isLive, action, why }], removed }`,
  parse: ({ options, words }) =>
    pipe(
      E.Do,
      E.bind("policies", () => parsePolicies(options)),
      E.bind("folder", () => parseFolder(words)),
      E.map(({ policies, folder }) => {
        const { run: runName, orphans = false, yes = false } = options;
        return { policies: at(Date.now(), policies), folder, runName, orphans, dryRun: !yes };
      }),
    ),
  run: ({ folder, orphans, ...pruning }, terminal, open) =>
    pipe(
      openRun(folder, open),
      TE.flatMap((run) =>
        orphans ? pruneOrphans(run.store, pruning.dryRun, terminal) : pipe(
          withCheckpoints(open, folder)(run),
          TE.flatMap((run) => pruneCheckpoints(pruning, run, terminal)),
        )
      ),
    ),
});
