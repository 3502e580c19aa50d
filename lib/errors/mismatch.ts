/**
 * The sentences of what does not fit: each difference as what is saved and what the script has, then one remedy for each group of them.
 *
 * @module
 */
import type { CursorMismatch, DataFailed, Mismatch, Problem } from "./errors.ts";
import { bothSides, inWords, lineOf, listed, moreThan, type Sides, type Told } from "./problem_lines.ts";
import {
  type Advice,
  adviceAmong,
  type AdvisedOptions,
  componentOf,
  optionsText,
  type Remedies,
  restoreAdviceOn,
  restoreRemedies,
} from "./restore_advice.ts";

// --- groups

/** The problems in groups of one remedy, each followed by it. */
function grouped(
  problems: readonly Told[],
  sides: Sides,
  remedies: Remedies,
  adviceOn: (problem: Problem) => Advice,
): string {
  const groups = new Map<string, { readonly problems: Told[]; readonly parts: Set<string> }>();
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

// --- trainings of fit

/** Every remedy ends with this one, which always helps. */
const orName = 'or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }';

const fitRemedies: Remedies = {
  epochs: ([begun = ""]) => `Ask for at least ${begun} epochs, ${orName}`,
  loop: ([name = ""]) => `Call ${name} as before, ${orName}`,
  call: (parts) => `Call it with the same ${parts.join(" and ")} as before, ${orName}`,
  build: (parts) =>
    `Build the same ${parts.join(" and ")} as before, ${orName}` +
    (parts.includes("model") ? ". The trained model is in loadModel(store)" : ""),
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
export function mismatchText(error: Mismatch): string {
  const { problems, training, reading } = error;
  if (reading !== undefined) {
    const { checkpoint, location } = reading;
    return `This cannot be read from checkpoint ${checkpoint} of ${location}.` +
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
  return restoreText(error);
}

/** How each call of a restore is given options. */
const calls: Readonly<Record<string, string>> = {
  loadState: "loadState(store, ",
  resume: "resume(store, ",
  restoreInto: "restoreInto(live, ",
};

function restoreText(error: Mismatch): string {
  const { checkpoint, call, savedBy, unused, isPartlySolved, following = [] } = error;
  const { optioned, options } = restoreAdviceOn(error);
  const saved = checkpoint === undefined ? "the snapshot" : "the checkpoint";
  const headline = checkpoint === undefined
    ? "The snapshot cannot be restored"
    : `Checkpoint ${checkpoint} does not fit your script`;
  const sides = { saved, live: "your script" };
  const object = optionsText(options);
  const written = `${calls[call ?? (checkpoint === undefined ? "restoreInto" : "loadState")]}${object})`;
  // Only options of this very call can part an optimizer from its variables: they must stay.
  const isComplete = checkpoint !== undefined || !optioned.has("slots");
  const all = isComplete
    ? `${isPartlySolved ? "These options solve a part of it" : "All these options at once"}: ${written}`
    : `Add all of these to your options: ${object}`;
  const isInline = optioned.size === 1 && following.length === 0 && isComplete;
  const withCall = ([remedy, text]: readonly [string, Remedies[string]]): readonly [string, Remedies[string]] => [
    remedy,
    (parts) => `${text(parts)}${isInline && optioned.has(remedy) ? `: ${written}` : ""}`,
  ];
  const remedies = Object.fromEntries(Object.entries(restoreRemedies).map(withCall));
  const groups = (problems: readonly Problem[]): string =>
    grouped(inWords(problems), sides, remedies, adviceAmong(problems));
  return `${headline}. Nothing was changed.${groups(error.problems)}` +
    (following.length === 0 ? "" : `\nWith that:${groups(following)}`) +
    (optioned.size > 0 && !isInline ? `\n${all}` : "") +
    (savedBy === undefined ? "" : runtimeText(savedBy)) +
    unusedText(unused, optioned.has("anew")) +
    (checkpoint === undefined ? "" : onceText(options, unused !== undefined));
}

/** That a script may compute other data in another runtime. */
function runtimeText(savedBy: string): string {
  return `\n${savedBy} saved it. Math.sin, Math.exp and their like can differ in the last bit between runtimes. ` +
    "If your script computes the data with them, write it to a file once and read that";
}

/** What of the checkpoint the options do not restore. */
function unusedText(unused: Mismatch["unused"], isOtherModel: boolean): string {
  if (unused === undefined) return "";
  if (unused === "all") {
    return `\nNo saved tensor is restored with that${isOtherModel ? "" : ". Is this the right run?"}`;
  }
  return `\nNot restored with that: ${unused.slice(0, listed).join(", ")}${unused.length > listed ? ", …" : ""}`;
}

/** That options of a load are passed once: `keep` would reset its parts at every restart, and the others would match nothing. */
function onceText(options: AdvisedOptions, isUnusedListed: boolean): string {
  const names = Object.keys(options);
  if (names.length === 0) return "";
  const kept = names.includes("keep") && !isUnusedListed
    ? "keep uses the values of your script for these parts, not the saved ones. "
    : "";
  const once = names.length === 1
    ? "This option is needed once: take it out after the next save"
    : "These options are needed once: take them out after the next save";
  return `\n${kept}${once}${names.includes("keep") ? ", or every restart resets the kept parts" : ""}`;
}

const cursorRemedies: Remedies = {
  data: () => "Give the loader the data that the cursor was made on, or begin again with Loader.start",
  seed: () => "Shuffle as when the cursor was made, or begin again with Loader.start",
};

/** The sentence of a {@link CursorMismatch}. */
export function cursorText({ problems }: CursorMismatch): string {
  const isSeed = problems.some(({ path }) => path === "seed");
  return "The data differs from the data that this run was trained on." +
    grouped(
      inWords(problems),
      { saved: "the cursor", live: "your data" },
      cursorRemedies,
      () => [isSeed ? "seed" : "data", ""],
    );
}

/**
 * The sentence of a {@link DataFailed}.
 *
 * @param at Where the data was read, in brackets, if an iteration read it.
 */
export function dataText({ location, problems }: DataFailed, at?: string): string {
  const place = at === undefined ? "" : ` (${at})`;
  const [first] = problems;
  if (first?.kind === "missing" && first.found === "ENOENT") {
    return `There is no ${first.expected.slice(2)} ${location}${place}`;
  }
  const repair = `Repair the file or restore the former one, ${at === undefined ? "and open it" : "then run"} again`;
  if (first === undefined || problems.length > 1 || first.path === "") {
    return `The data in ${location} cannot be read${place}.` +
      grouped(problems, { saved: "", live: "" }, {}, () => [repair, ""]);
  }
  const { path, expected, found, remedy = repair } = first;
  return `Cannot read ${location}${place}, ${path}: expected ${expected}, found ${found}\n${remedy}`;
}
