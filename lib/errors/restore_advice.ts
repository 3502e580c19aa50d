/**
 * The advice on components that do not fit: a remedy for each difference, and the options of a partial restore that the remedies come to.
 *
 * @module
 */
import type { Mismatch, Problem } from "./errors.ts";
import { nearest } from "./nearest.ts";
import { bothSides, inWords, noName } from "./problem_lines.ts";

// --- types

/** A remedy by its name in a table, and the part that it is about; if that was renamed, also its live name. */
export type Advice = readonly [remedy: string, part: string, live?: string];

/** Remedies by name: the sentence about these parts. */
export type Remedies = Readonly<Record<string, (parts: readonly string[]) => string>>;

/** Options of a partial restore by name. */
export type AdvisedOptions = NonNullable<Mismatch["options"]>;

/** The advice on a restore that failed. */
export interface RestoreAdvice {
  /** The remedies that are options. */
  readonly optioned: ReadonlySet<string>;
  /** The options that they come to, with those that the call was given. */
  readonly options: AdvisedOptions;
}

// --- options

/** The most parts of one component without layers that an option lists; of more it names the component. */
const mostParts = 4;

/** The component around a part. */
export function componentOf(part: string): string {
  return part.split("/")[0]!;
}

/** The parts of an option, in which a component stands for many parts of it: not a model, whose other layers are restored. */
function outerParts(parts: readonly string[], models: ReadonlySet<string> = new Set()): readonly string[] {
  const counts = new Map<string, number>();
  for (const part of parts) counts.set(componentOf(part), (counts.get(componentOf(part)) ?? 0) + 1);
  const named = parts
    .map((part) =>
      counts.get(componentOf(part))! > mostParts && !models.has(componentOf(part)) ? componentOf(part) : part
    )
    .filter((part, _, all) => !all.some((outer) => part.startsWith(`${outer}/`)));
  return [...new Set(named)];
}

function quoted(parts: readonly string[]): string {
  return parts.map((part) => JSON.stringify(part)).join(", ");
}

/** The options that the advice adds to those that the call was given, without passed parts that match nothing. */
function advisedOptions(
  advice: readonly Advice[],
  { problems, following = [], options = {} }: Mismatch,
): AdvisedOptions {
  const all = [...problems, ...following];
  const unmatched = new Set(all.filter(({ remedy }) => remedy !== undefined).map(({ path }) => path));
  const models = new Set(all.flatMap(({ path }) => /\/layers(\/|$)/.test(path) ? [componentOf(path)] : []));
  // The parts of each option; those of `rename` with their live names.
  const found = new Map<string, Map<string, string>>();
  const add = (name: string, part: string, live: string = part): void =>
    void found.set(name, (found.get(name) ?? new Map()).set(part, live));
  for (const [name, value] of Object.entries(options)) {
    // Without its parts, `only` restores nothing.
    if (name === "only") found.set(name, new Map());
    const parts = Array.isArray(value) ? value.map((part) => [part, part] as const) : Object.entries(value);
    for (const [part, live] of parts) if (!unmatched.has(part)) add(name, part, live);
  }
  for (const [remedy, part, live] of advice) {
    const name = optionNames[remedy];
    if (name === undefined) continue;
    add(name, part, live);
    // A kept part is in no other option.
    if (name === "keep") { for (const other of ["only", "convert"]) found.get(other)?.delete(part); }
  }
  // A saved part of a renamed component has the saved name of that, too.
  const savedNames = new Map([...found.get("rename") ?? []].map(([from, to]) => [to, from]));
  const inSaved = (part: string): string => {
    const component = componentOf(part);
    return (savedNames.get(component) ?? component) + part.slice(component.length);
  };
  return Object.fromEntries(
    [...found].filter(([name, parts]) => name === "only" || parts.size > 0).map(([name, parts]) => {
      if (name === "rename") return [name, Object.fromEntries([...parts].map(([from, to]) => [inSaved(from), to]))];
      const names = [...parts.keys()];
      return [name, outerParts(name === "skip" ? names.map(inSaved) : names, models)];
    }),
  );
}

function entriesText(entries: object): string {
  return Object.entries(entries).map((names) => names.map((name) => JSON.stringify(name)).join(": ")).join(", ");
}

export function optionsText(options: AdvisedOptions): string {
  const texts = Object.entries(options).map(([name, value]) =>
    `${name}: ${Array.isArray(value) ? `[${quoted(value)}]` : `{ ${entriesText(value)} }`}`
  );
  return `{ ${texts.join(", ")} }`;
}

/** The option of each remedy that has one. */
const optionNames: Readonly<Record<string, "keep" | "skip" | "convert" | "rename">> = {
  keep: "keep",
  anew: "keep",
  data: "keep",
  seed: "keep",
  slots: "keep",
  both: "keep",
  inexact: "keep",
  skip: "skip",
  create: "skip",
  convert: "convert",
  component: "rename",
  rename: "rename",
  spelling: "rename",
};

export const restoreRemedies: Remedies = {
  keep: () => "Change your script back, or keep what your script has",
  anew: () =>
    "Change your script back, or build the saved model with loadModel(store) and copy the weights of its layers with setWeights, " +
    "or keep what your script has, which starts that model anew",
  count: (models) =>
    "Change your script back, or name the layers that differ: in keep those of your script alone, in skip those of the checkpoint alone " +
    `(keep: [${quoted(outerParts(models))}] starts that model anew)`,
  skip: () => "Change your script back, or leave out what is saved",
  create: (parts) => `Create ${parts.join(", ")} before you load, or leave out what is saved`,
  convert: () => "Change the dtype back, or convert what is saved, if that changes no value",
  inexact: () => "Change the dtype back, or keep what your script has in place of converting",
  rename: () =>
    "Change the name back, or load under the new one (if it is another layer, keep it and skip the saved one)",
  component: () =>
    "Change the name back, or load under the new one (if these are two different parts, keep the one and skip the other)",
  components: (parts) =>
    `Change the names back, or say which is which: rename: { ${
      parts.map((part) => `${JSON.stringify(part)}: …`).join(", ")
    } }`,
  spelling: () => "Correct the spelling, or load under the name in your script",
  unsure: ([example]) =>
    `They look alike. Say which is which, as in rename: { ${example} }. Put the other saved ones into skip, and new ones into keep`,
  unnamed: () => "Leave out the name in your script, since it was saved without one",
  names: () => "Use the saved names in your script",
  order: () => "Put these layers in the saved order",
  data: () => "Give the loader the same data as before, or begin with the new data",
  seed: () => "Shuffle as before, or begin with the new order",
  slots: (parts) =>
    `It holds values for each variable by position. Add ${quoted(parts)} to keep, so that it begins with new ones`,
  both: () => "Restore both, or keep both",
  share: (parts) => `Use one object in your script for ${parts.join(", and one for ")}`,
  separate: (parts) => `Use separate objects in your script for ${parts.join(", and for ")}`,
  memory: () => "Dispose of tensors and release snapshots that you no longer need, or restore on the cpu backend",
  build: () => "Load into components that are built as they were when they were saved",
};

/** The part to name in an option: the layer, optimizer or other value around a difference. */
function partAround({ path, kind }: Problem): string {
  const layer = /^(.*\/layers\/\d+)(\/.*)?$/.exec(path)?.[1];
  if (layer !== undefined) return layer;
  const compile = /^(.*\/compile)(\/.*)?$/.exec(path)?.[1];
  if (compile !== undefined) return compile;
  const inside = /^(.+?)\/(config|fields|graph|inputs|layers|outputs|scalars|slots|weights)(\/.*)?$/.exec(path)
    ?.[1];
  return inside ?? (kind === "config" ? outerOf(path) : path);
}

/** Which dtypes `convert` converts. */
const convertible: readonly string[] = ["float32", "int32", "bool"];

/** The classes of models. */
const modelClasses: readonly string[] = ["Sequential", "Model", "Functional"];

/** What a path is in. */
function outerOf(path: string): string {
  return path.replace(/\/[^/]*$/, "");
}

/** What the advice on one problem of a restore has to know about the others. */
interface Overview {
  /** The cursors on other data, and whether their shuffle differs. */
  readonly cursors: ReadonlyMap<string, "data" | "seed">;
  /** The paths and saved names of layers with other names: `model/layers: stem`. */
  readonly savedNames: ReadonlySet<string>;
  /** The models with another number of layers where the added or removed layers are unknown. */
  readonly counted: readonly string[];
  /** The parts in which something else differs than their names and configuration. */
  readonly changed: ReadonlySet<string>;
  /** The parts of which only the configuration or the name differs, so that what is saved in them fits. */
  readonly fitting: ReadonlySet<string>;
  /** The two problems of each component that has another name on each side. */
  readonly renamed: readonly {
    readonly live: Problem;
    readonly saved: Problem;
    readonly remedy: "component" | "components" | "spelling";
  }[];
}

/** What sort of plain data a description shows: numbers are shown by their value, and a record of the script may be an object. */
function plainKind(shown: string): string {
  if (shown === "an object") return "a record";
  return /^(-?[\d.e+-]+|-?Infinity|NaN)$/.test(shown) ? "a number" : /^(true|false)$/.test(shown) ? "a boolean" : shown;
}

/** The components that have another name on each side: of a similar name, or as many of one kind on each side, in their order. */
function renamedComponents(problems: readonly Problem[]): Overview["renamed"] {
  const components = problems.filter(({ saved, path }) => saved !== undefined && !path.includes("/"));
  const missing = components.filter(({ kind }) => kind === "missing")
    .map((live) => ({ live, kind: plainKind(bothSides(live)[1]) }));
  const extra = components.filter(({ kind }) => kind === "extra")
    .map((saved) => ({ saved, kind: plainKind(bothSides(saved)[0]) }));
  return missing.flatMap(({ live, kind }): Overview["renamed"] => {
    // One typing error: a letter too many, too few or wrong, or two exchanged.
    const isNear = ({ path }: Problem): boolean =>
      nearest(path, [live.path], (letters) => letters > 2 ? 1 : 0) !== undefined;
    const near = extra.filter(({ saved }) => isNear(saved));
    const [here, there] = [missing.filter((one) => one.kind === kind), extra.filter((one) => one.kind === kind)];
    // Several pieces of plain data are likely to be different parts.
    const isObject = /^(an? [A-Z]|what )/.test(kind);
    const isPair = here.length === there.length && (isObject || (missing.length === 1 && extra.length === 1));
    const inOrder = isPair ? there.slice(here.findIndex((one) => one.live === live)) : [];
    const [found, ...others] = near.length > 0 ? near : inOrder.slice(0, 1);
    if (found === undefined || found.kind !== kind || others.length > 0) return [];
    const remedy = near.length === 1 ? "spelling" : here.length === 1 ? "component" : "components";
    return [{ live, saved: found.saved, remedy }];
  });
}

function overviewOf(problems: readonly Problem[]): Overview {
  const seeds = new Set(problems.flatMap(({ path }) => path.endsWith("/seed") ? [outerOf(path)] : []));
  const cursors = problems.filter(({ kind, path }) => kind === "data" && path.endsWith("/fingerprint"))
    .map(({ path }) => outerOf(path));
  // A layer of one side alone has the path of another layer on the other side.
  const isLayer = ({ path, kind }: Problem): boolean =>
    ["missing", "extra"].includes(kind) && /\/layers\/\d+$/.test(path);
  const parts = problems.filter((one) => !isLayer(one)).map((one) => [partAround(one), one.kind] as const);
  return {
    cursors: new Map(cursors.map((path) => [path, seeds.has(path) ? "seed" : "data"])),
    savedNames: new Set(
      problems.filter(({ kind }) => kind === "name").map((one) => `${outerOf(one.path)}: ${bothSides(one)[0]}`),
    ),
    counted: problems.flatMap(({ kind, path }) =>
      kind === "length" && path.endsWith("/layers") ? [path.slice(0, -"/layers".length)] : []
    ),
    changed: new Set(parts.flatMap(([part, kind]) => kind === "name" || kind === "config" ? [] : [part])),
    renamed: renamedComponents(problems),
    fitting: new Set(
      parts.map(([part]) => part).filter((part) =>
        parts.every(([other, kind]) => other !== part || kind === "config" || kind === "name")
      ),
    ),
  };
}

function nameAdvice(problem: Problem, { savedNames, changed }: Overview): Advice {
  const [layers, [saved, live]] = [outerOf(problem.path), bothSides(problem)];
  if (!/\/layers\/\d+$/.test(problem.path) || changed.has(problem.path)) {
    return [saved === noName ? "unnamed" : "names", ""];
  }
  if (savedNames.has(`${layers}: ${live}`)) return ["order", ""];
  const named = (name: string): string => name === noName ? problem.path : `${outerOf(layers)}/${name}`;
  return ["rename", named(saved), named(live)];
}

function sharingAdvice(problem: Problem): Advice {
  const [there, here] = bothSides(problem);
  const other = /^the same object as (.*)$/.exec(there) ?? /^the same object as (.*)$/.exec(here);
  const parts = other === null ? problem.path : `${other[1]} and ${problem.path}`;
  return [there.startsWith("the same") ? "share" : "separate", parts];
}

/** An example of `rename` for a layer that could be each of several saved ones. */
function exampleOf({ path, expected, found }: Problem): string {
  const model = outerOf(outerOf(path));
  const [first = ""] = /^one of the saved layers ([^,]*)/.exec(expected)?.slice(1) ?? [];
  return entriesText({ [`${model}/${first}`]: `${model}/${found}` });
}

/** What has to be kept too, because it belongs to a kept part. */
function keepAdvice({ path, found }: Problem): Advice {
  const other = /^(.*) restored, this kept$/.exec(found)?.[1];
  if (other !== undefined) return ["both", other];
  return [/ kept, this restored$/.test(found) ? "both" : "slots", path];
}

/** The path of a layer with its name, where the problem has it: `model/head` for `model/layers/1`. */
function byName(problem: Problem): string {
  const name = /^the layer (.*)$/.exec(problem.kind === "extra" ? bothSides(problem)[0] : bothSides(problem)[1])?.[1];
  return name === undefined ? problem.path : problem.path.replace(/layers\/\d+$/, name);
}

function restoreAdvice(problem: Problem, overview: Overview): Advice {
  const { path, kind, saved } = problem;
  if (kind === "memory") return ["memory", ""];
  if (saved === undefined && kind === "name") return ["unsure", exampleOf(problem)];
  if (saved === undefined && kind === "value") return ["inexact", path.replace(/\/value$/, "")];
  if (saved === undefined) return kind === "sharing" ? keepAdvice(problem) : ["build", ""];
  const cursor = [path, outerOf(path)].find((one) => overview.cursors.has(one));
  if (cursor !== undefined) return [overview.cursors.get(cursor)!, cursor];
  if (kind === "sharing") return sharingAdvice(problem);
  const counted = overview.counted.find((model) => path.startsWith(`${model}/layers`));
  if (counted !== undefined) return ["count", counted];
  if (kind === "name") return nameAdvice(problem, overview);
  const renamed = overview.renamed.find((one) => problem === one.live || problem === one.saved);
  if (renamed !== undefined) return [renamed.remedy, renamed.saved.path, renamed.live.path];
  const isInLayer = /\/layers\/\d+\//.test(path);
  if (kind === "extra" && !isInLayer) {
    return [path.includes("/") && !/\/layers\/\d+$/.test(path) ? "create" : "skip", byName(problem)];
  }
  if (kind === "missing" && !isInLayer) return ["keep", byName(problem)];
  if (kind === "dtype" && bothSides(problem).every((dtype) => convertible.includes(dtype))) {
    return ["convert", partAround(problem)];
  }
  if (kind === "class" && bothSides(problem).every((name) => modelClasses.includes(name))) return ["anew", path];
  if (kind === "config" && /\/compile\/(loss|metrics)$/.test(path)) return ["keep", path];
  if (kind === "config" && isInLayer && overview.fitting.has(partAround(problem))) return ["keep", path];
  const model = /^(.+?)\/(graph|inputs|outputs)(\/.*)?$/.exec(path)?.[1];
  return model === undefined || isInLayer ? ["keep", partAround(problem)] : ["anew", model];
}

/** The advice on each of these problems. */
export function adviceAmong(problems: readonly Problem[]): (problem: Problem) => Advice {
  const overview = overviewOf(problems);
  return (problem) => restoreAdvice(problem, overview);
}

/** The advice on a restore that failed. */
export function restoreAdviceOn(error: Mismatch): RestoreAdvice {
  // With options, a path may be that of another layer than without.
  const rounds = [error.problems, error.following ?? []];
  const advice = rounds.flatMap((problems) =>
    inWords(problems).filter(({ remedy }) => remedy === undefined).map(adviceAmong(problems))
  );
  const optioned = new Set(advice.flatMap(([remedy]) => remedy in optionNames ? [remedy] : []));
  return { optioned, options: optioned.size === 0 ? {} : advisedOptions(advice, error) };
}

/** The options that the sentence of an error advises, with those that the call was given; undefined if it advises none. */
export function adviceOf(error: Mismatch): AdvisedOptions | undefined {
  const { optioned, options } = restoreAdviceOn(error);
  return optioned.size === 0 ? undefined : options;
}
