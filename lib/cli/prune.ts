/**
 * `dogear prune`: shows what policies would remove and why, and removes it when told to.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { candidates, entriesOf } from "../catalogue.ts";
import { inOrder } from "../in_order.ts";
import type { LoadError } from "../errors.ts";
import { type Plan, plan, prune as carryOut, type Removal } from "../pruning.ts";
import * as Retention from "../retention.ts";
import type { Entry } from "../retention.ts";
import type { Store } from "../store.ts";
import { type NamedPolicy, type Outcome, policies, selections, type Trouble, usage, type Words } from "./arguments.ts";
import { summarize } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, jsonText, table } from "./text.ts";

// --- why

/** One line of what would be done. */
interface Verdict {
  readonly checkpoint: number;
  readonly entry: Entry | null;
  readonly action: "keep" | "remove";
  readonly why: string;
}

/** Every checkpoint of a plan and why it stays or goes, ascending; of the policies those that keep it are named. */
function verdicts({ keep, remove }: Plan, named: readonly NamedPolicy[]): readonly Verdict[] {
  const runs = new Map<string, Entry[]>();
  for (const entry of [...keep.flatMap(({ entry }) => entry ?? []), ...remove]) {
    const entries = runs.get(entry.run) ?? [];
    entries.push(entry);
    runs.set(entry.run, entries);
  }
  const keepers = new Map<number, string>();
  for (const entries of runs.values()) {
    for (const { name, policy } of named) {
      const { keep, unknownMetrics = [] } = policy(entries, Date.now());
      const why = unknownMetrics.length > 0 ? `${name}: no such metric` : name;
      for (const checkpoint of keep) {
        const before = keepers.get(checkpoint);
        keepers.set(checkpoint, before === undefined ? why : `${before}, ${why}`);
      }
    }
    // Every policy keeps it, whatever else it is about.
    keepers.set(entries.reduce((newest, { checkpoint }) => Math.max(newest, checkpoint), 0), "newest");
  }
  return [
    ...keep.map(({ checkpoint, entry, why }): Verdict => ({
      checkpoint,
      entry,
      action: "keep",
      why: why === "policy" ? keepers.get(checkpoint) ?? why : why,
    })),
    ...remove.map((entry): Verdict => ({
      checkpoint: entry.checkpoint,
      entry,
      action: "remove",
      why: "no policy keeps it",
    })),
  ].sort((a, b) => a.checkpoint - b.checkpoint);
}

/** The one run of a store whose name begins so. */
async function runNamed(store: Store, start: string): Promise<E.Either<Trouble, string>> {
  if (start === "") return usage('Expected --run with the name of a run or the start of it, found ""');
  const numbers = await candidates(store)();
  if (E.isLeft(numbers)) return numbers;
  const runs = new Set((await entriesOf(store, numbers.right)).map(({ run }) => run));
  const [found, ...more] = [...runs].filter((run) => run.startsWith(start));
  return found === undefined || more.length > 0
    ? usage(`Expected a run of ${store.location}, found ${JSON.stringify(start)}: its runs are ${[...runs].join(", ")}`)
    : E.right(found);
}

/** How many bytes the removal of each checkpoint frees, and how many stay because others share them. */
async function sizesOf(
  store: Store,
  entries: readonly Entry[],
): Promise<ReadonlyMap<number, { readonly own: number; readonly shared: number }>> {
  const sizes = new Map<number, { readonly own: number; readonly shared: number }>();
  for await (
    const [{ checkpoint, bytes }, summary] of inOrder(
      entries,
      ({ checkpoint }) => summarize(store, checkpoint, false)(),
    )
  ) {
    const shared = E.isRight(summary) ? summary.right.shared ?? 0 : 0;
    sizes.set(checkpoint, { own: bytes - shared, shared });
  }
  return sizes;
}

/** The document for a reader of JSON. */
function documentOf(lines: readonly Verdict[], rest: Readonly<Record<string, unknown>>): string {
  const checkpoints = lines.map(({ checkpoint, action, why, entry }) => ({
    checkpoint,
    action,
    why,
    step: entry?.step ?? null,
    bytes: entry?.bytes ?? null,
    run: entry?.run ?? null,
  }));
  const { location, dryRun, ...others } = rest;
  return jsonText({ location, dryRun, checkpoints, ...others });
}

/** The table for a terminal, and what it comes to. */
async function* text(
  lines: readonly Verdict[],
  sure: boolean,
  [count, freed, shared]: readonly [count: number, freed: number, shared: number],
  width: number,
): AsyncGenerator<string> {
  const columns = [
    { name: "checkpoint", right: true },
    { name: "step", right: true },
    { name: "size", right: true },
    { name: sure ? "done" : "would" },
    { name: "why", flexible: true },
  ];
  const rows = lines.map(({ checkpoint, entry, action, why }) => [
    `${checkpoint}`,
    `${entry?.step ?? "-"}`,
    entry === null ? "" : bytesText(entry.bytes),
    action,
    why,
  ]);
  yield* table(columns, rows, width);
  const what = `${count} ${count === 1 ? "checkpoint" : "checkpoints"}, ${shared > 0 ? "at least " : ""}${
    bytesText(freed)
  }`;
  yield sure ? `Removed ${what}` : count === 0 ? "Nothing to remove" : `Would remove ${what}: run it again with --yes`;
}

/** `dogear prune [run] --latest n --best n:metric:min --every n [--run name] [--yes]`. */
export function prune({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const named = policies(options);
    if (E.isLeft(named)) return named;
    const selected = await selections(rest)();
    if (E.isLeft(selected)) return selected;
    const [selection, ...others] = selected.right;
    if (selection === undefined || others.length > 0 || selection.checkpoints.length > 0) {
      return usage("Expected one run folder and no checkpoint: the policies choose");
    }
    const { store } = selection;
    const given = options["run"];
    const run = typeof given === "string" ? await runNamed(store, given) : E.right(undefined);
    if (E.isLeft(run)) return run;
    const draw = terminal.draw("checking what stays");
    const asked = { onProgress: draw, ...(run.right === undefined ? {} : { run: run.right }) };
    const planned = await plan(store, asked)(Retention.any(...named.right.map(({ policy }) => policy)))();
    draw();
    if (E.isLeft(planned)) return planned;
    const { remove } = planned.right;
    const sizes = await sizesOf(store, remove);
    const sure = options["yes"] === true;
    let report: Removal = { removed: [], notRemoved: [], notes: [] };
    const carried = carryOut(store, { onProgress: draw, onReport: (removal) => void (report = removal) })(
      planned.right,
    );
    const outcome = await (sure ? carried : TE.right<LoadError, readonly number[]>([]))();
    draw();
    if (E.isLeft(outcome)) return outcome;
    const { removed, notRemoved } = report;
    const notes = [...planned.right.notes, ...report.notes];
    const gone = new Set(removed);
    const left = new Map(notRemoved.map(({ checkpoint, reason }) => [checkpoint, reason]));
    const lines = verdicts(planned.right, named.right).map((line): Verdict =>
      sure && line.action === "remove" && !gone.has(line.checkpoint)
        ? { ...line, action: "keep", why: left.get(line.checkpoint) ?? "changed meanwhile" }
        : line
    );
    for (const note of notes) terminal.say(note);
    for (const { checkpoint, reason } of notRemoved) {
      terminal.say(`Checkpoint ${checkpoint} was not removed: ${reason}`);
    }
    const going = sure ? removed : remove.map(({ checkpoint }) => checkpoint);
    const [freed, shared] = going.reduce(([own, others], checkpoint) => {
      const size = sizes.get(checkpoint);
      return [own + (size?.own ?? 0), others + (size?.shared ?? 0)] as const;
    }, [0, 0] as readonly [number, number]);
    await terminal.print(
      options["json"] === true
        ? [documentOf(lines, { location: store.location, dryRun: !sure, removed, notRemoved, notes, freed })]
        : text(lines, sure, [going.length, freed, shared], terminal.width),
    );
    return E.right(notRemoved.length > 0 ? 2 : 0);
  };
}
