/**
 * The lines of problems: what is saved and what the script has. Differences in data are described in words, from the parts of its fingerprints.
 *
 * @module
 */
import type { Problem, ProblemKind } from "./errors.ts";

// --- types

/** What the two sides of a difference are called. */
export interface Sides {
  readonly saved: string;
  readonly live: string;
}

/** A problem, and its line in words where these are not those of its two sides. */
export interface Told extends Problem {
  readonly text?: string;
}

// --- lines

/** How many problems, checkpoints or calls a sentence lists. */
export const listed = 20;

/** Words before the two values of a difference, where these alone do not say what they are. */
const nouns: Readonly<Partial<Record<ProblemKind, string>>> = { dtype: "dtype ", name: "name ", shape: "shape " };

/** Where a problem is, as the reader knows it: `fit/epochs` is the argument `epochs`. */
function placeOf({ path }: Problem): string {
  return path === "" ? "" : `${path.replace(/^fit\//, "")}: `;
}

/** What is saved and what the script has. */
export function bothSides({ expected, found, saved }: Problem): readonly [saved: string, live: string] {
  return saved === "expected" ? [expected, found] : [found, expected];
}

/** The fingerprint of data, short enough to be compared by eye. */
function shortened(fingerprint: string): string {
  return fingerprint.replace(/^"|"$/g, "").replace(/([0-9a-f]{8})[0-9a-f]{8,}/g, "$1…");
}

/** What a problem has in place of a name that tfjs generated. */
export const noName = "a generated name";

/** The names of a part that is named on one side only. */
function namesText(problem: Problem, { saved, live }: Sides): string {
  const what = /\/layers\/\d+$/.test(problem.path) ? "the layer" : "it";
  const [there, here] = bothSides(problem);
  return there === noName
    ? `${what} has no name of its own in ${saved}; it is ${JSON.stringify(here)} in ${live}`
    : `${what} is ${JSON.stringify(there)} in ${saved}; it has no name of its own in ${live}`;
}

export function lineOf(problem: Told, sides: Sides): string {
  const { kind, expected, found, saved, text } = problem;
  const place = `\n  ${placeOf(problem)}`;
  if (text !== undefined) return place + text;
  if (saved === undefined) return `${place}expected ${expected}, found ${found}`;
  const [there, here] = kind === "data" ? bothSides(problem).map(shortened) : bothSides(problem);
  if (kind === "missing") return `${place}in ${sides.live} but not in ${sides.saved} (${here})`;
  if (kind === "extra") return `${place}in ${sides.saved} but not in ${sides.live} (${there})`;
  if (kind === "name" && [there, here].includes(noName)) return place + namesText(problem, sides);
  return `${place}${nouns[kind] ?? ""}${there} in ${sides.saved}, ${here} in ${sides.live}`;
}

export function moreThan(count: number): string {
  return count > listed ? `\n  and ${count - listed} more` : "";
}

/** A line for each problem, at most twenty, then how many more there are. */
export function problemLines(problems: readonly Problem[], sides: Sides = { saved: "", live: "" }): string {
  return problems.slice(0, listed).map((problem) => lineOf(problem, sides)).join("") + moreThan(problems.length);
}

// --- data

/** The fingerprint of a cursor as itself: problems have it as JSON. */
function fingerprintIn(text: string): string {
  try {
    return String(JSON.parse(text));
  } catch {
    return text;
  }
}

/** The columns in the fingerprint of a CSV file; the first entry of the list is its separator. */
function columnsIn(fingerprint: string): string | undefined {
  const list = /^csv:\d+:(\[.*\]):[0-9a-f]+$/.exec(fingerprint)?.[1];
  return list === undefined ? undefined : (JSON.parse(list) as readonly string[]).slice(1).join(", ");
}

/** What differs between two fingerprints in words; undefined if the lines on the length and the seed say it. */
function dataDifference(problem: Problem, hasLength: boolean, hasSeed: boolean): Told | undefined {
  const [a, b] = bothSides(problem).map(fingerprintIn)
    .map((text) => hasSeed ? text.replace(/ feistel-ab\/\d.*$/, "") : text) as [string, string];
  if (a === b) return undefined;
  const differing = (saved: string, live: string): Told => ({
    ...problem,
    kind: "value",
    expected: problem.saved === "expected" ? saved : live,
    found: problem.saved === "expected" ? live : saved,
  });
  const [from, to] = [a, b].map((text) => /^[\w ]+/.exec(text)?.[0]);
  if (from !== to && from !== undefined && to !== undefined) {
    return differing(`data of the kind ${from}`, `of the kind ${to}`);
  }
  const [before, now] = [columnsIn(a), columnsIn(b)];
  if (before !== undefined && now !== undefined && before !== now) return differing(`the columns ${before}`, now);
  const [form, other] = [a, b].map((text) => text.replace(/[0-9a-f]{32}/g, "").replace(/:\d+/, ""));
  if (form !== other) return problem;
  if (hasLength) return undefined;
  // The length of filtered data is not known, but its source has one.
  const [old, current] = [a, b].map((text) => /(?:^|\()(?:array|csv|folder|lines|parquet):(\d+)/.exec(text)?.[1]);
  if (old !== current) return differing(`a source of ${old} samples`, `of ${current}`);
  return { ...problem, text: "the content of the data differs" };
}

/** The problems, those of cursors in words: how many samples, which shuffle, and whether the content differs. */
export function inWords(problems: readonly Problem[]): readonly Told[] {
  const cursors = new Set(problems.flatMap((one) => one.kind === "data" && isFingerprint(one) ? [cursorOf(one)] : []));
  const has = (name: string, cursor: string): boolean =>
    problems.some((one) => cursorOf(one) === cursor && one.path.endsWith(name));
  const seedText = (seed: string): string =>
    seed === "null" ? "no shuffle" : `shuffle seed ${/^\{"bigint":"(.*)"\}$/.exec(seed)?.[1] ?? seed}`;
  return problems.flatMap((problem): readonly Told[] => {
    const path = cursorOf(problem);
    if (!cursors.has(path) || problem.saved === undefined) return [problem];
    const { expected, found, saved } = problem;
    if (isFingerprint(problem)) {
      const told = dataDifference(problem, has("length", path), has("seed", path));
      return told === undefined ? [] : [{ ...told, path }];
    }
    if (problem.path.endsWith("seed")) {
      return [{ ...problem, path, expected: seedText(expected), found: seedText(found) }];
    }
    if (!problem.path.endsWith("length")) return [problem];
    const counted = (side: "expected" | "found"): string => `${problem[side]}${side === saved ? " samples" : ""}`;
    return [{ ...problem, path, expected: counted("expected"), found: counted("found") }];
  });
}

function isFingerprint({ path }: Problem): boolean {
  return /(^|\/)fingerprint$/.test(path);
}

/** The path of the cursor that a difference in data is in; empty for the cursor itself. */
function cursorOf({ path }: Problem): string {
  return path.replace(/\/?[^/]*$/, "");
}
