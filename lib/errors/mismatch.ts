/**
 * The sentences of what does not fit: each difference as what is saved and what the script has, then one remedy for each group of them.
 *
 * @module
 */
import type { CursorMismatch, Mismatch, Problem, ProblemKind } from "./errors.ts";

// --- types

/** What the two sides of a difference are called. */
interface Sides {
  readonly saved: string;
  readonly live: string;
}

/** A remedy by its name in a table, and the part that it is about. */
type Advice = readonly [remedy: string, part: string];

/** Remedies by name: the sentence about these parts. */
type Remedies = Readonly<Record<string, (parts: readonly string[]) => string>>;

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
function bothSides({ expected, found, saved }: Problem): readonly [saved: string, live: string] {
  return saved === "expected" ? [expected, found] : [found, expected];
}

/** The fingerprint of data, short enough to be compared by eye. */
function shortened(fingerprint: string): string {
  return fingerprint.replace(/^"|"$/g, "").replace(/([0-9a-f]{8})[0-9a-f]{8,}/g, "$1…");
}

function lineOf(problem: Problem, sides: Sides): string {
  const { kind, expected, found, saved } = problem;
  const place = `\n  ${placeOf(problem)}`;
  if (saved === undefined) return `${place}expected ${expected}, found ${found}`;
  const [there, here] = kind === "data" ? bothSides(problem).map(shortened) : bothSides(problem);
  if (kind === "missing") return `${place}in ${sides.live} but not in ${sides.saved} (${here})`;
  if (kind === "extra") return `${place}in ${sides.saved} but not in ${sides.live} (${there})`;
  return `${place}${nouns[kind] ?? ""}${there} in ${sides.saved}, ${here} in ${sides.live}`;
}

function moreThan(count: number): string {
  return count > listed ? `\n  and ${count - listed} more` : "";
}

/** A line for each problem, at most twenty, then how many more there are. */
export function problemLines(problems: readonly Problem[], sides: Sides = { saved: "", live: "" }): string {
  return problems.slice(0, listed).map((problem) => lineOf(problem, sides)).join("") + moreThan(problems.length);
}

/** The problems in groups of one remedy, each followed by it. */
function grouped(
  problems: readonly Problem[],
  sides: Sides,
  remedies: Remedies,
  adviceOn: (problem: Problem) => Advice,
): string {
  const groups = new Map<string, { readonly problems: Problem[]; readonly parts: Set<string> }>();
  for (const problem of problems) {
    const [remedy, part] = problem.remedy === undefined ? adviceOn(problem) : [problem.remedy, ""];
    const group = groups.get(remedy) ?? { problems: [], parts: new Set() };
    groups.set(remedy, group);
    group.problems.push(problem);
    group.parts.add(part);
  }
  let left = listed;
  const texts = [...groups].map(([remedy, group]) => {
    const lines = group.problems.slice(0, left).map((problem) => lineOf(problem, sides)).join("");
    left -= Math.min(left, group.problems.length);
    const text = remedies[remedy]?.([...group.parts]) ?? remedy;
    return { lines, remedy: text === "" ? "" : `\n${text}` };
  });
  // Differences that are not listed have remedies all the same.
  const end = moreThan(problems.length);
  const lastListed = texts.findLastIndex(({ lines }) => lines !== "");
  return texts.map(({ lines, remedy }, i) => `${lines}${i === lastListed ? end : ""}${remedy}`).join("");
}

// --- restores

/** The most parts of one component that an option lists; of more it names the component. */
const mostParts = 4;

/** The component around a part. */
function componentOf(part: string): string {
  return part.split("/")[0]!;
}

function optionText(name: string, parts: readonly string[]): string {
  const counts = new Map<string, number>();
  for (const part of parts) counts.set(componentOf(part), (counts.get(componentOf(part)) ?? 0) + 1);
  const named = parts.map((part) => counts.get(componentOf(part))! > mostParts ? componentOf(part) : part);
  return `{ ${name}: [${[...new Set(named)].map((part) => JSON.stringify(part)).join(", ")}] }`;
}

const restoreRemedies: Remedies = {
  keep: (parts) => `Change your script back, or keep what it has: ${optionText("keep", parts)}`,
  skip: (parts) => `Change your script back, or leave out what is saved: ${optionText("skip", parts)}`,
  create: (parts) =>
    `Create ${parts.join(", ")} before you load, or leave out what is saved: ${optionText("skip", parts)}`,
  convert: (parts) => `Change the dtype back, or convert what is saved: ${optionText("convert", parts)}`,
  rename: (parts) => `Change the name back, or load under the new one: { rename: { ${parts.join(", ")} } }`,
  names: () => "Use the saved names in your script",
  order: () => "Put these layers in the saved order",
  data: (parts) => `Give the loader the same data as before, or begin with the new data: ${optionText("keep", parts)}`,
  seed: (parts) => `Shuffle as before, or begin with the new order: ${optionText("keep", parts)}`,
  share: (parts) => `Use one object in your script for ${parts.join(", and one for ")}`,
  separate: (parts) => `Use separate objects in your script for ${parts.join(", and for ")}`,
  memory: () => "Dispose of tensors and release snapshots that you no longer need, or restore on the cpu backend",
  build: () => "Load into components that are built as they were when they were saved",
};

/** The part to name in an option: the layer, optimizer or other value around a difference. */
function partAround({ path, kind }: Problem): string {
  const layer = /^(.*\/layers\/\d+)(\/.*)?$/.exec(path)?.[1];
  if (layer !== undefined) return layer;
  const inside = /^(.+?)\/(compile|config|fields|graph|inputs|layers|outputs|scalars|slots|weights)(\/.*)?$/.exec(path)
    ?.[1];
  return inside ?? (kind === "config" ? outerOf(path) : path);
}

/** Which dtypes `convert` converts. */
const convertible: readonly string[] = ["float32", "int32", "bool"];

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
  /** The two problems of a component that has another name on each side. */
  readonly renamed: readonly Problem[];
}

function overviewOf(problems: readonly Problem[]): Overview {
  const seeds = new Set(problems.flatMap(({ path }) => path.endsWith("/seed") ? [outerOf(path)] : []));
  const cursors = problems.filter(({ kind, path }) => kind === "data" && path.endsWith("/fingerprint"))
    .map(({ path }) => outerOf(path));
  const components = problems.filter(({ saved, path }) => saved !== undefined && !path.includes("/"));
  const [missing = [], extra = []] = ["missing", "extra"].map((kind) => components.filter((one) => one.kind === kind));
  const [live, saved] = [missing[0], extra[0]];
  // Plain data is shown by its value, so that only objects of one kind are alike.
  const isRenamed = live !== undefined && saved !== undefined && missing.length + extra.length === 2 &&
    bothSides(live)[1] === bothSides(saved)[0];
  return {
    cursors: new Map(cursors.map((path) => [path, seeds.has(path) ? "seed" : "data"])),
    savedNames: new Set(
      problems.filter(({ kind }) => kind === "name").map((one) => `${outerOf(one.path)}: ${bothSides(one)[0]}`),
    ),
    renamed: isRenamed ? [live, saved] : [],
  };
}

/** The entry of `rename` for a layer or component that has another name on the other side. */
function renaming(from: string, to: string): Advice {
  return ["rename", `${JSON.stringify(from)}: ${JSON.stringify(to)}`];
}

function nameAdvice(problem: Problem, { savedNames }: Overview): Advice {
  const [layers, [saved, live]] = [outerOf(problem.path), bothSides(problem)];
  if (!/\/layers\/\d+$/.test(problem.path) || [saved, live].includes("a generated name")) return ["names", ""];
  if (savedNames.has(`${layers}: ${live}`)) return ["order", ""];
  return renaming(`${outerOf(layers)}/${saved}`, `${outerOf(layers)}/${live}`);
}

function sharingAdvice(problem: Problem): Advice {
  const [there, here] = bothSides(problem);
  const other = /^the same object as (.*)$/.exec(there) ?? /^the same object as (.*)$/.exec(here);
  const parts = other === null ? problem.path : `${other[1]} and ${problem.path}`;
  return [there.startsWith("the same") ? "share" : "separate", parts];
}

/** The path of a layer with its name, where the problem has it: `model/head` for `model/layers/1`. */
function byName(problem: Problem): string {
  const name = /^the layer (.*)$/.exec(problem.kind === "extra" ? bothSides(problem)[0] : bothSides(problem)[1])?.[1];
  return name === undefined ? problem.path : problem.path.replace(/layers\/\d+$/, name);
}

function restoreAdvice(problem: Problem, overview: Overview): Advice {
  const { path, kind, saved } = problem;
  if (kind === "memory") return ["memory", ""];
  if (saved === undefined) return ["build", ""];
  const cursor = overview.cursors.get(outerOf(path));
  if (cursor !== undefined) return [cursor, outerOf(path)];
  if (kind === "sharing") return sharingAdvice(problem);
  if (kind === "name") return nameAdvice(problem, overview);
  const [live, old] = overview.renamed;
  if (live !== undefined && old !== undefined && (problem === live || problem === old)) {
    return renaming(old.path, live.path);
  }
  const isInLayer = /\/layers\/\d+\//.test(path);
  if (kind === "extra" && !isInLayer) {
    return [path.includes("/") && !/\/layers\/\d+$/.test(path) ? "create" : "skip", byName(problem)];
  }
  if (kind === "missing" && !isInLayer) return ["keep", byName(problem)];
  if (kind === "dtype" && bothSides(problem).every((dtype) => convertible.includes(dtype))) {
    return ["convert", partAround(problem)];
  }
  return ["keep", partAround(problem)];
}

// --- trainings of fit

/** Every remedy ends with this one, which always helps. */
const orName = 'or give this call another name: { to, name: "fine-tuning" }';

const fitRemedies: Remedies = {
  epochs: ([begun = ""]) => `Ask for at least ${begun} epochs, ${orName}`,
  loop: ([name = ""]) => `Call ${name} as before, ${orName}`,
  call: (parts) => `Call it with the same ${parts.join(" and ")} as before, ${orName}`,
  build: (parts) => `Build the same ${parts.join(" and ")} as before, ${orName}`,
  remove: (parts) => `Leave ${parts.join(" and ")} out as before, ${orName}`,
  create: (parts) => `Create ${parts.join(", ")} before the call, ${orName}`,
};

function fitAdvice(problem: Problem): Advice {
  const { path, kind } = problem;
  if (path === "fit/epochs") return ["epochs", bothSides(problem)[0].replace(/\D+$/, "")];
  if (path === "fit/by") return ["loop", bothSides(problem)[0]];
  if (path.startsWith("fit/")) return ["call", path.slice("fit/".length)];
  if (kind === "missing" && problem.saved !== undefined && !path.includes("/")) return ["remove", path];
  const component = componentOf(path);
  return kind === "extra" && component !== "model" ? ["create", path] : ["build", component];
}

// --- sentences

/** The sentence of a {@link Mismatch}: of a restore, or of a call of `fit` that does not continue the training of its name. */
export function mismatchText({ problems, checkpoint, training, reading }: Mismatch): string {
  if (reading !== undefined) {
    const { checkpoint, location } = reading;
    return `Checkpoint ${checkpoint} of ${location} cannot give what was asked for.` +
      grouped(problems, { saved: "the checkpoint", live: "your script" }, {}, () => ["", ""]);
  }
  if (training !== undefined) {
    const { name, location, checkpoint } = training;
    if (problems.some(({ path }) => path === "fit")) {
      return `${location} holds checkpoint ${checkpoint} of another training loop, which this call cannot continue. ` +
        'Nothing was changed.\nUse another store, or give this call a name: { to, name: "fine-tuning" }';
    }
    const what = `training by the name ${JSON.stringify(name)}`;
    const header = checkpoint === undefined
      ? `This call did not begin a ${what} in ${location}`
      : `${location} holds a ${what} (checkpoint ${checkpoint}), which this call does not continue`;
    return `${header}. Nothing was changed.` +
      grouped(problems, { saved: "the checkpoint", live: "this call" }, fitRemedies, fitAdvice);
  }
  const overview = overviewOf(problems);
  const [saved, name] = checkpoint === undefined
    ? ["the snapshot", "The snapshot"]
    : ["the checkpoint", `Checkpoint ${checkpoint}`];
  return `${name} does not fit your script. Nothing was changed.` +
    grouped(problems, { saved, live: "your script" }, restoreRemedies, (problem) => restoreAdvice(problem, overview));
}

const cursorRemedies: Remedies = {
  data: () => "Give the loader the data that the cursor was made on, or begin again with Loader.start",
  seed: () => "Shuffle as when the cursor was made, or begin again with Loader.start",
};

/** The sentence of a {@link CursorMismatch}. */
export function cursorText({ problems }: CursorMismatch): string {
  const isSeed = problems.some(({ path }) => path === "seed");
  return "The data differs from the data that this run was trained on." +
    grouped(problems, { saved: "the cursor", live: "your data" }, cursorRemedies, () => [isSeed ? "seed" : "data", ""]);
}

/** The problems of data that cannot be read, each group with its remedy. */
export function dataLines(problems: readonly Problem[]): string {
  const repair = "Repair the file or restore the former one, and open it again";
  return grouped(problems, { saved: "", live: "" }, {}, () => [repair, ""]);
}
