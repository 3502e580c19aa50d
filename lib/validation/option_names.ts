/**
 * Checks the names and values of options, for code that no compiler checks: a misspelt name is a `TypeError` with the nearest name.
 *
 * @module
 */
import { nearest } from "../errors/mod.ts";
import { demand, isPlainRecord, type Rule, shown } from "./types.ts";

// --- types

/**
 * The names of options, written next to their type as `{ step: true } satisfies OptionNames<SaveOptions>`: the compiler rejects a list with
 * a missing or an unknown name.
 */
export type OptionNames<O> = { readonly [K in keyof Required<O>]: true };

/** The types of options, written next to their type as `{ step: ifGiven(integer(0)) } satisfies OptionRules<SaveOptions>`. */
export type OptionRules<O> = { readonly [K in keyof Required<O>]: Rule };

// --- constructors

/** What options are called elsewhere, in small letters, and the options that may be meant. */
const synonyms = inOtherWords({
  to: ["store", "directory", "path", "dir", "folder", "saveto"],
  keep: ["retention", "policy", "keeplast", "maxtokeep", "savetotallimit"],
  codec: ["schema"],
  base: ["lr", "learningrate", "baselr", "initiallearningrate", "rate"],
  peak: ["lr", "learningrate", "maxlr", "base"],
  final: ["minlr", "etamin", "endlearningrate", "min", "end"],
  steps: ["tmax", "totalsteps", "decaysteps", "maxsteps"],
  factor: ["gamma", "decayrate", "decay"],
  separator: ["delimiter", "sep"],
  names: ["header", "headers", "columns"],
  dropLast: ["dropremainder"],
  concurrency: ["numworkers", "workers"],
  every: ["interval", "frequency", "savefreq", "savesteps", "stepsize"],
  stopOn: ["signals"],
  rank: ["index"],
  world: ["numshards"],
});

function inOtherWords(options: Readonly<Record<string, readonly string[]>>): ReadonlyMap<string, readonly string[]> {
  const words = new Set(Object.values(options).flat());
  const named = Object.entries(options);
  return new Map([...words].map((word) => [word, named.flatMap(([name, all]) => all.includes(word) ? [name] : [])]));
}

/** A name as words between hyphens: `-growth-interval-`. */
function hyphenated(name: string): string {
  return `-${name.replace(/[A-Z]/g, (letter) => `-${letter}`).replaceAll("_", "-").toLowerCase()}-`;
}

/** The name that has the words of another, as `growthInterval` has `interval`, or the other way round. */
function containing(found: string, names: readonly string[]): string | undefined {
  const words = hyphenated(found);
  return names.find((name) => hyphenated(name).includes(words) || words.includes(hyphenated(name)));
}

/** What to write in place of an unknown name: what is meant by other words for an option, or by a misspelt one; undefined if nothing is. */
function meantBy(found: string, names: readonly string[]): string | undefined {
  const others = synonyms.get(found.replaceAll("_", "").toLowerCase()) ?? [];
  const meant = others.find((name) => names.includes(name)) ??
    nearest(found, names, (letters) => letters < 5 ? 1 : Math.min(3, Math.ceil(letters / 3))) ??
    containing(found, names);
  if (meant !== undefined) return `did you mean \`${meant}\`?`;
  return found === "keep" || others.includes("keep")
    ? "it is an option of the store: directory(path, { keep })"
    : undefined;
}

// --- combinators

/** The error of something else than options. In place of a number or a text, it shows how to write the first of the names. */
function notOptions(of: string, options: unknown, names: object): TypeError {
  const [first, second, third, ...more] = Object.keys(names);
  const written = [first, second, third, more.length > 0 ? "…" : undefined].filter((name) => name !== undefined);
  const remedy = ["number", "string"].includes(typeof options) ? `: write { ${written.join(", ")} }` : "";
  return new TypeError(`Expected the options of ${of} to be a record of options, found ${shown(options)}${remedy}`);
}

/**
 * Checks that every option has a known name; otherwise throws a `TypeError` with all names and the nearest one.
 *
 * @param of The function, as the user calls it.
 * @param options The options that it received.
 * @param names A record with the names that it accepts.
 * @param remedy The remedy if no name is near; it follows a colon.
 */
export function checkOptionNames(
  of: string,
  options: unknown,
  names: object,
  remedy: string = "write one of these names, or leave it out",
): void {
  if (!isPlainRecord(options)) throw notOptions(of, options, names);
  if (options["_tag"] === "Store" && Object.hasOwn(names, "to")) {
    throw new TypeError(`Expected the options of ${of} to be a record of options, found a store: write { to: store }`);
  }
  const known = Object.keys(names);
  const unknown = Object.keys(options).filter((name) => !Object.hasOwn(names, name));
  if (unknown.length === 0) return;
  const found = unknown.map((name) => {
    const missing = known.filter((other) => !Object.hasOwn(options, other));
    return `\`${name}\`: ${meantBy(name, missing) ?? remedy}`;
  });
  throw new TypeError(`Expected an option of ${of}: ${known.join(", ")}, found ${found.join("; ")}`);
}

/** Checks each option against its type; a wrong one is a `TypeError`. The prefix, such as `save.`, comes before the names in messages. */
export function demandEach(rules: Readonly<Record<string, Rule>>, options: object, prefix: string = ""): void {
  for (const [name, rule] of Object.entries(rules)) demand(prefix + name, rule, Reflect.get(options, name));
}

/** {@link checkOptionNames}, then {@link demandEach}. */
export function checkOptions(
  of: string,
  options: object,
  rules: Readonly<Record<string, Rule>>,
  remedy?: string,
): void {
  checkOptionNames(of, options, rules, remedy);
  demandEach(rules, options);
}

/**
 * Like {@link checkOptionNames}, for a record that may have other fields, such as the exports of a module: rejects only a name that
 * misspells an absent one.
 *
 * @param foreign Names of something else that a record may have too, however near they are.
 */
export function checkMisspelt(of: string, options: unknown, names: object, foreign: readonly string[] = []): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) throw notOptions(of, options, names);
  const missing = Object.keys(names).filter((name) => Reflect.get(options, name) === undefined);
  const isUnknown = (name: string): boolean => !Object.hasOwn(names, name) && !foreign.includes(name);
  const found = Object.keys(options).filter(isUnknown).flatMap((name) => {
    const meant = nearest(name, missing, (letters) => letters < 5 ? 0 : letters < 8 ? 1 : 2);
    return meant === undefined ? [] : [`\`${name}\`: did you mean \`${meant}\`?`];
  });
  if (found.length === 0) return;
  throw new TypeError(`Expected an option of ${of}: ${Object.keys(names).join(", ")}, found ${found.join("; ")}`);
}
