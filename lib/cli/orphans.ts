/**
 * What killed saves have left at a location: listed by `verify`, removed by `prune --orphans`.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { Orphan, Store } from "../store/mod.ts";
import { type CommandTask, messageOf } from "./arguments.ts";
import type { CommandReport } from "./command.ts";
import { bytesText, jsonText } from "./format.ts";
import { spanText } from "../terminal/mod.ts";
import type { OpenRun } from "./reference.ts";
import { tableLines } from "./table.ts";
import type { Terminal } from "./terminal.ts";

// --- types

/** What happens to an orphan. */
interface OrphanLine {
  readonly orphan: Orphan;
  readonly action: "keep" | "remove";
  readonly why: string;
}

/** The orphans of runs, and notes on those that can be removed. */
export interface LeftBehind {
  readonly found: readonly (Orphan & { readonly location: string })[];
  readonly notes: readonly string[];
}

// --- listing

/** The orphans of a store. A store that cannot list them has none. */
function orphansOf({ orphans }: Store): CommandTask<readonly Orphan[]> {
  return orphans?.list ?? TE.right([]);
}

function isDead({ isLive }: Orphan): boolean {
  return !isLive;
}

/** Some orphans in words. */
function inWords(orphans: readonly Orphan[]): string {
  const bytes = orphans.reduce((sum, { bytes }) => sum + (bytes ?? 0), 0);
  const least = orphans.some(({ bytes }) => bytes === null) ? "at least " : "";
  return `${orphans.length} ${orphans.length === 1 ? "orphan" : "orphans"}, ${least}${bytesText(bytes)}`;
}

/**
 * The orphans of runs, and notes on those that can be removed. A store that cannot be searched for orphans gets a note, not an error, because its checkpoints are not affected.
 *
 * @param runs The runs, each of another location.
 */
export async function orphansOfRuns(runs: readonly OpenRun[]): Promise<LeftBehind> {
  const found: (Orphan & { readonly location: string })[] = [];
  const notes: string[] = [];
  for (const { store, text } of runs) {
    const listed = await orphansOf(store)();
    if (E.isLeft(listed)) {
      notes.push(`${store.location} was not searched for what killed saves have left: ${messageOf(listed.left)}`);
      continue;
    }
    found.push(...listed.right.map((orphan) => ({ location: store.location, ...orphan })));
    const dead = listed.right.filter(isDead);
    if (dead.length === 0) continue;
    const remedy = `dogear prune ${text} --orphans shows and removes it`;
    notes.push(`Killed saves have left something in ${store.location} (${inWords(dead)}): ${remedy}`);
  }
  return { found, notes };
}

// --- pruning

/** What happens to each orphan and why. */
function linesOf(found: readonly Orphan[], removed: readonly Orphan[]): readonly OrphanLine[] {
  const names = new Set(removed.map(({ name }) => name));
  return found.map((orphan): OrphanLine => {
    if (orphan.isLive) return { orphan, action: "keep", why: "live" };
    return names.has(orphan.name)
      ? { orphan, action: "remove", why: "no checkpoint has it" }
      : { orphan, action: "keep", why: "changed meanwhile" };
  });
}

async function* orphansText(
  { location }: Store,
  lines: readonly OrphanLine[],
  dryRun: boolean,
  { width }: Terminal,
): AsyncGenerator<string> {
  const now = Date.now();
  const done = dryRun ? "would" : "done";
  const columns = { [done]: "left", kind: "left", size: "right", age: "right", orphan: "cut" } as const;
  const rows = lines.map(({ orphan: { name, kind, bytes, modified }, action, why }) => {
    const inside = name.startsWith(`${location}/`) ? name.slice(location.length + 1) : name;
    const size = bytes === null ? "?" : bytesText(bytes);
    return [action === "keep" ? `keep: ${why}` : action, kind, size, spanText((now - modified) / 1000), inside];
  });
  if (rows.length > 0) yield* tableLines(columns, rows, width, ["age", "size", "kind"]);
  const gone = lines.filter(({ action }) => action === "remove").map(({ orphan }) => orphan);
  if (!dryRun) yield `Removed ${inWords(gone)}`;
  else yield gone.length === 0 ? "Nothing to remove" : `Would remove ${inWords(gone)}: run it again with --yes`;
}

/**
 * Shows the orphans of killed saves in a store, and removes them.
 *
 * @param store The store.
 * @param dryRun Whether nothing is removed.
 * @param terminal Where the report is shown.
 */
export function pruneOrphans(store: Store, dryRun: boolean, terminal: Terminal): CommandTask<CommandReport> {
  return pipe(
    orphansOf(store),
    TE.bindTo("found"),
    TE.bind("removed", ({ found }): CommandTask<readonly Orphan[]> => {
      const dead = found.filter(isDead);
      return dryRun || store.orphans === undefined ? TE.right(dead) : store.orphans.remove(dead);
    }),
    TE.map(({ found, removed }): CommandReport => {
      const lines = linesOf(found, removed);
      const orphans = lines.map(({ orphan, action, why }) => ({ ...orphan, action, why }));
      const names = removed.map(({ name }) => name);
      return {
        json: [jsonText({ location: store.location, dryRun, orphans, removed: dryRun ? [] : names })],
        text: orphansText(store, lines, dryRun, terminal),
      };
    }),
  );
}
