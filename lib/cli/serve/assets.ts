/**
 * The files of the page. They are served as they are: no build makes them.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type CommandTask, type Usage, usageError } from "../arguments.ts";

// --- types

/** A file of the page. */
export interface Asset {
  readonly type: string;
  readonly path: string;
}

/** The files of the page by their path in the URL; the empty one is the page itself. */
export type Assets = ReadonlyMap<string, Asset>;

// --- constructors

const types: readonly (readonly [end: string, type: string])[] = [
  [".html", "text/html; charset=utf-8"],
  [".js", "text/javascript; charset=utf-8"],
  [".css", "text/css; charset=utf-8"],
];

function typeOf(name: string): string | undefined {
  return types.find(([end]) => name.endsWith(end))?.[1];
}

/** The folder of the page: beside this module in the source, beside the command in the package. */
function pageFolder(): string | undefined {
  const url = new URL("./page/", import.meta.url);
  const folder = url.protocol === "file:" ? fileURLToPath(url) : undefined;
  return folder !== undefined && existsSync(join(folder, "index.html")) ? folder : undefined;
}

/** The folder of uPlot's built files. */
function uPlotFolder(): string | undefined {
  try {
    return dirname(createRequire(import.meta.url).resolve("uplot/dist/uPlot.esm.js"));
  } catch {
    return undefined;
  }
}

const missing = (what: string): Usage =>
  usageError(`Expected ${what}, found none: install @dogear/dogear with its dependencies, and run its dogear`);

/** Finds the files of the page. */
export const findAssets: CommandTask<Assets> = async () => {
  const [page, uPlot] = [pageFolder(), uPlotFolder()];
  if (page === undefined) return E.left(missing("the files of the page beside the command"));
  if (uPlot === undefined) return E.left(missing("the package uplot, which draws curves"));
  const assets = new Map<string, Asset>();
  const add = (url: string, path: string): void => {
    const type = typeOf(path);
    if (type !== undefined) assets.set(url, { type, path });
  };
  for (const name of await readdir(page)) add(name === "index.html" ? "" : `page/${name}`, join(page, name));
  add("uplot.js", join(uPlot, "uPlot.esm.js"));
  add("uplot.css", join(uPlot, "uPlot.min.css"));
  return E.right(assets);
};

/** The text of a file of the page. */
export function readAsset({ path }: Asset): Promise<string> {
  return readFile(path, "utf8");
}
