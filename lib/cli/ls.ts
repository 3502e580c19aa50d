/**
 * `dogear ls`: the checkpoints of run folders.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Task } from "fp-ts/lib/Task.js";
import { candidates } from "../catalogue.ts";
import { chosen, type Outcome, selections, sentence, type Words } from "./arguments.ts";
import { summaries, type Summary } from "./summary.ts";
import type { Terminal } from "./terminal.ts";
import { bytesText, type Column, jsonText, metricsText, plainText, spanText, table } from "./text.ts";

// --- what a line says

/** Whether something is wrong with a checkpoint. */
export const isBad = ({ verdict }: Summary): boolean => verdict === "damaged" || verdict === "unreadable";

/** The column of verdicts, red where something is wrong. */
export function verdictColumn({ paint }: Terminal): Column {
  return {
    name: "verdict",
    paint: (verdict) => verdict === "complete" ? verdict : paint(verdict === "verified" ? "green" : "red", verdict),
  };
}

/** One summary as JSON. */
export function summaryJson({ checkpoint, entry, shared, verdict, error }: Summary): Record<string, unknown> {
  const { step = null, metrics = {}, time = null, bytes = null, run = null } = entry ?? {};
  return { checkpoint, step, metrics, time, bytes, shared, run, verdict, error };
}

function row({ checkpoint, entry, shared, verdict }: Summary, now: number): readonly string[] {
  if (entry === null) return [`${checkpoint}`, "", "", "", "", "", "", verdict];
  const { time, step, metrics, bytes, run } = entry;
  // As wide as ages are, for those of the first rows are the shortest.
  const age = spanText((now - time) / 1000).padStart(6);
  const own = shared === null ? "?" : bytesText(shared);
  return [
    `${checkpoint}`,
    age,
    `${step ?? "-"}`,
    metricsText(metrics),
    bytesText(bytes),
    own,
    run.slice(0, 8),
    verdict,
  ];
}

/** `dogear ls [run...]`. */
export function ls({ options, rest }: Words, terminal: Terminal): Task<Outcome> {
  return async () => {
    const selected = await selections(rest)();
    if (E.isLeft(selected)) return selected;
    const runs: { given: string; location: string; found: AsyncIterable<Summary> }[] = [];
    for (const selection of selected.right) {
      const { given, store, checkpoints } = selection;
      const numbers = await candidates(store)();
      if (E.isLeft(numbers)) return numbers;
      const asked = checkpoints.length === 0 ? E.right([]) : await chosen(selection)();
      if (E.isLeft(asked)) return asked;
      const named = new Set(asked.right.map(({ checkpoint }) => checkpoint));
      const wanted = named.size === 0 ? numbers.right : numbers.right.filter((number) => named.has(number));
      if (wanted.length === 0) {
        terminal.say(sentence({ _tag: "NoCheckpoint", location: store.location, available: [] }));
      }
      const found = summaries(store, wanted.toReversed(), options["verify"] === true);
      runs.push({ given, location: store.location, found });
    }
    let bad = false;
    async function* seen(found: AsyncIterable<Summary>): AsyncGenerator<Summary> {
      for await (const summary of found) {
        bad ||= isBad(summary);
        yield summary;
      }
    }
    async function* json(): AsyncGenerator<string> {
      yield '{"runs":[';
      for (const [i, { location, found }] of runs.entries()) {
        yield `${i === 0 ? "" : ","}{"location":${jsonText(location)},"checkpoints":[`;
        let first = true;
        for await (const summary of seen(found)) {
          yield `${first ? "" : ","}${jsonText(summaryJson(summary))}`;
          first = false;
        }
        yield "]}";
      }
      yield "]}";
    }
    const columns: readonly Column[] = [
      { name: "checkpoint", right: true },
      { name: "age", right: true },
      { name: "step", right: true },
      { name: "metrics", flexible: true },
      { name: "size", right: true },
      { name: "shared", right: true },
      { name: "run" },
      verdictColumn(terminal),
    ];
    async function* text(): AsyncGenerator<string> {
      const now = Date.now();
      for (const [i, { given, found }] of runs.entries()) {
        if (runs.length > 1) yield `${i === 0 ? "" : "\n"}${plainText(given)}`;
        const rows = async function* (): AsyncGenerator<readonly string[]> {
          for await (const summary of seen(found)) yield row(summary, now);
        };
        yield* table(columns, rows(), terminal.width);
      }
    }
    await terminal.print(options["json"] === true ? json() : text());
    return E.right(bad ? 1 : 0);
  };
}
