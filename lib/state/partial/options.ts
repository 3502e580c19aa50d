/**
 * Options of a partial restore: which parts to restore, keep, skip, rename or convert, and the report of what became of each.
 *
 * @module
 */
import { demand, isPlainRecord, listOf, must, type OptionNames, type Rule, shown } from "../../validation/mod.ts";
import { segment } from "../mod.ts";

// --- types

/**
 * Partial and modified restores. Each option names parts: a component (`"model"`), a layer by the name you gave it (`"model/head"`), a learning
 * rate (`"optimizer/learningRate"`), or any path from an error message (`"model/layers/1/config/rate"`).
 *
 * Everything else is still an error, including options that match nothing. Layers, cells and list items that exist on both sides must be in
 * the same order, and layers must have the same names; you can add or remove others between them. To put a new part in place of a saved one
 * with the same name, `skip` the saved one and `keep` the live one.
 */
export interface Selection {
  /**
   * Live parts to restore. All others keep their live values.
   * @default all
   */
  readonly only?: readonly string[];
  /**
   * Live parts that keep their values. A live tensor is returned as a new tensor of the same value.
   * @default []
   */
  readonly keep?: readonly string[];
  /**
   * Saved parts to ignore, because they have no live counterpart.
   * @default []
   */
  readonly skip?: readonly string[];
  /**
   * Parts whose name has changed: saved name to live name.
   * @default {}
   */
  readonly rename?: Readonly<Record<string, string>>;
  /**
   * Live parts whose tensors may have another dtype than the saved ones: float32, int32 or bool, if the conversion changes no value.
   * @default []
   */
  readonly convert?: readonly string[];
}

/** The names of the options of a partial restore. */
export const selectionNames: OptionNames<Selection> = {
  only: true,
  keep: true,
  skip: true,
  rename: true,
  convert: true,
};

/** What a restore did with each part, by path as in error messages. */
export interface RestoredParts {
  /** Live parts that were restored, except parts below them that were kept. */
  readonly restored: readonly string[];
  /** Live parts that kept their values. */
  readonly kept: readonly string[];
  /** Saved parts that were ignored, except those at the path of a part in `kept`. */
  readonly skipped: readonly string[];
  /** Parts that were restored under another name. */
  readonly renamed: readonly { readonly from: string; readonly to: string }[];
  /** Tensors that were restored with another dtype. */
  readonly converted: readonly { readonly path: string; readonly from: string; readonly to: string }[];
}

// --- constructors

const names: Rule = listOf(must(`the name of a part, such as "model"`, (u) => typeof u === "string" && u !== ""));
const lists = ["only", "keep", "skip", "convert"] as const;

function checkDistinct(expected: string, found: readonly string[]): void {
  const name = found.find((one, i) => found.indexOf(one) !== i);
  if (name !== undefined) throw new TypeError(`Expected ${expected}, found ${JSON.stringify(name)} twice`);
}

/**
 * Rejects options that are wrong for every snapshot.
 *
 * @param selection The options.
 * @param live The live components.
 * @throws TypeError naming the option.
 */
export function checkSelection(selection: Selection, live: object): void {
  const { rename = {}, only = [], keep = [], convert = [] } = selection;
  for (const list of lists) {
    if (selection[list] === undefined) continue;
    demand(`options.${list}`, names, selection[list]);
    checkDistinct(`each part once in options.${list}`, selection[list]);
  }
  if (!isPlainRecord(rename)) {
    throw new TypeError(`Expected options.rename to be a record of saved and live names, found ${shown(rename)}`);
  }
  const targets = Object.values(rename);
  demand("the live names in options.rename", names, targets);
  demand("the saved names in options.rename", names, Object.keys(rename));
  checkDistinct("each live name once in options.rename", targets);
  checkDistinct("a part in only one of options.only, options.keep and options.rename", [...only, ...keep, ...targets]);
  const components = new Set(Object.keys(live).map(segment));
  for (const name of [...only, ...keep, ...convert, ...targets]) {
    if (components.has(name.split("/")[0] as string)) continue;
    const found = `found only ${[...components].join(", ")}`;
    throw new TypeError(`Expected ${JSON.stringify(name)} to name a live component or a part of one, ${found}`);
  }
}

/** Whether any option is given, so that the restore is partial. */
export function isPartial({ only, rename, keep = [], skip = [], convert = [] }: Selection): boolean {
  return only !== undefined || rename !== undefined || [...keep, ...skip, ...convert].length > 0;
}

/** The report before anything is restored. */
export const noParts: RestoredParts = { restored: [], kept: [], skipped: [], renamed: [], converted: [] };
