/**
 * The runs near a place without a run, for the error that says so. The search is small: it looks at few folders, follows no links, and makes few
 * requests.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { opendir } from "node:fs/promises";
import { basename, join, relative, resolve } from "node:path";
import { candidates, inOrder } from "../checkpoint/mod.ts";
import { unprintable } from "../errors/mod.ts";
import { checkpointsName, localFileSystem } from "../store/directory/mod.ts";
import { type CommandError, usageError } from "./arguments.ts";
import { shellWord } from "./format.ts";
import { isUrl, type OpenUrl, storeAt } from "./stores.ts";
import { nearestName } from "./suggestion.ts";

// --- types

/** Looks at places, which are paths as they were typed, or URLs. A place that cannot be read has nothing. */
interface Looking {
  /** The most folders of a place that are looked at. */
  readonly most: number;
  readonly folders: (at: string) => Promise<readonly string[]>;
  readonly hasRun: (at: string) => Promise<boolean>;
}

// --- places

/** The place of a name in a folder or below a URL. */
export function inside(at: string, name: string): string {
  return isUrl(at) ? `${at.replace(/\/$/, "")}/${name}` : join(at, name);
}

/** The last name of a location. */
export function nameOf(location: string): string {
  return isUrl(location) ? location.slice(location.lastIndexOf("/") + 1) : basename(location);
}

/** The place above; itself at the top. */
function above(at: string): string {
  return isUrl(at) ? at.replace(/(?<=:\/\/.+)\/[^/]+\/?$/, "") : join(at, "..");
}

/** The part of a place after another one. */
function after(from: string, at: string): string {
  return isUrl(at) ? at.slice(from.length).replace(/^\/|\/$/g, "") : relative(resolve(from), resolve(at));
}

/** A place as a word to paste into a shell after `dogear ls`. */
export function pasted(at: string): string {
  const closed = /@[^@/\\]*$/.test(at) ? `${at}/` : at;
  const word = closed.startsWith("-") ? `./${closed}` : closed;
  return shellWord(word);
}

// --- looking

/** The most names of a folder that are read. */
const mostNames = 10_000;

/** The most of them that may be runs, in a folder and in a bucket, where each is a request. */
const [mostFolders, mostPrefixes] = [300, 8];

/** The names of the folders in a folder, without links and without those that no one puts runs in. */
async function foldersIn(path: string): Promise<readonly string[]> {
  const names: string[] = [];
  let seen = 0;
  try {
    for await (const entry of await opendir(resolve(path))) {
      const isSought = entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== "node_modules";
      if (isSought) names.push(entry.name);
      if (++seen === mostNames) break;
    }
  } catch {
    // Not a readable folder. The error about the place itself is reported elsewhere.
  }
  return names.sort();
}

async function kindOf(path: string): Promise<"file" | "folder" | "other" | undefined> {
  const status = await localFileSystem.status(resolve(path))();
  return E.isRight(status) ? status.right.kind : undefined;
}

/** Looks with the store of each place. */
function lookingWith(at: string, open: OpenUrl): Looking {
  const storeOf = async (at: string) => {
    const store = await storeAt(at, open)();
    return E.isRight(store) ? store.right : undefined;
  };
  return {
    most: isUrl(at) ? mostPrefixes : mostFolders,
    folders: async (at) => {
      if (!isUrl(at)) return await foldersIn(at);
      const folders = await (await storeOf(at))?.folders?.();
      return folders !== undefined && E.isRight(folders) ? folders.right : [];
    },
    hasRun: async (at) => {
      if (!isUrl(at) && await kindOf(join(at, checkpointsName)) !== "folder") return false;
      const store = await storeOf(at);
      if (store === undefined) return false;
      // Of a bucket, this asks for one key.
      if (store.newest !== undefined) return E.exists((newest) => newest !== undefined)(await store.newest());
      return E.exists((numbers: readonly number[]) => numbers.length > 0)(await candidates(store)());
    },
  };
}

// --- searching

/** The most runs that a search finds, and that an error names. */
const [mostFound, mostNamed] = [20, 4];

/** How many folders a search opens in each place, and how many levels deep it goes. */
const [mostOpened, mostLevels] = [16, 3];

/**
 * Searches the folders in a place, one level after the other.
 *
 * @param from The place.
 * @param wanted The names that were typed after it. Similar ones are looked at first.
 */
async function runsBelow(from: string, wanted: readonly string[], looking: Looking): Promise<readonly string[]> {
  const found: string[] = [];
  let [level, opened] = [[from], 0];
  for (let depth = 0; depth < mostLevels; depth++) {
    const next: string[] = [];
    for (const folder of level) {
      if (opened++ === mostOpened || found.length >= mostFound) return found;
      const names = await looking.folders(folder);
      const similar = nearestName(wanted[depth] ?? "", names);
      const places = [...similar === undefined ? [] : [similar], ...names].slice(0, looking.most).map((name) =>
        inside(folder, name)
      );
      for await (const [place, hasRun] of inOrder(new Set(places), looking.hasRun)) {
        (hasRun ? found : next).push(place);
      }
    }
    level = next;
  }
  return found;
}

/** Where to search for what was meant by a path, in turn: itself and above, from the first folder that exists. */
async function startsOf(at: string): Promise<readonly string[]> {
  if (isUrl(at)) return [at, ...above(at) === at ? [] : await startsOf(above(at))];
  const up = above(at);
  const kind = await kindOf(at);
  if (kind === "folder") return [at, up];
  return resolve(up) === resolve(at) ? [] : kind === undefined ? (await startsOf(up)).slice(0, 1) : [up];
}

/** The runs near a place, and where they were found. */
async function runsNear(
  at: string,
  open: OpenUrl,
): Promise<{ readonly from: string; readonly runs: readonly string[] }> {
  const looking = lookingWith(at, open);
  for (const from of await startsOf(at)) {
    // Of a file in a run, the run is meant.
    if (from !== at && await looking.hasRun(from)) return { from, runs: [from] };
    const runs = await runsBelow(from, after(from, at).split(/[/\\]/), looking);
    if (runs.length > 0) return { from, runs };
  }
  return { from: at, runs: [] };
}

/**
 * The runs directly in a place that is no run.
 *
 * @param at The place, as it was typed.
 * @param open Makes the store at a URL.
 */
export async function runsIn(at: string, open: OpenUrl): Promise<readonly string[]> {
  const looking = lookingWith(at, open);
  if (await looking.hasRun(at)) return [];
  const places = (await looking.folders(at)).slice(0, looking.most).map((name) => inside(at, name));
  const found: string[] = [];
  for await (const [place, hasRun] of inOrder(new Set(places), looking.hasRun)) if (hasRun) found.push(place);
  return found;
}

// --- constructors

/**
 * The remedy of an error about a place without a run: the runs nearby, each as a command to paste. Empty if there are none.
 *
 * @param at The place, as it was typed.
 * @param open Makes the store at a URL.
 */
export async function nearbyRemedy(at: string, open: OpenUrl): Promise<string> {
  const { from, runs } = await runsNear(at, open);
  // An escaped name would name another folder.
  const named = runs.filter((run) => run.search(unprintable) < 0);
  if (named.length === 0) return "";
  const similar = nearestName(after(from, at), named.map((run) => after(from, run)));
  const meant = named.find((run) => after(from, run) === similar);
  const command = (run: string): string => `\n  dogear ls ${pasted(run)}`;
  if (meant !== undefined) return `. Did you mean ${meant}?${command(meant)}`;
  const more = runs.length - mostNamed;
  return `. Runs ${from === at ? "in it" : "nearby"}:${named.slice(0, mostNamed).map(command).join("")}${
    more > 0 ? "\n  and more" : ""
  }`;
}

// --- combinators

/**
 * An error whose lines for the runs nearby are the command line that was typed, with the right run in it.
 *
 * @param command The name of the command.
 * @param words What was typed after it.
 */
export function asTyped(command: string, words: readonly string[]): (error: CommandError) => CommandError {
  return (error) => {
    if (error._tag !== "Usage" || error.near === undefined) return error;
    const { near, message } = error;
    const withRun = (run: string): string => {
      const named = words.map((word) => {
        if (word === near) return run;
        if (near === "." && word.startsWith("@")) return run + shellWord(word);
        return word.startsWith(`${near}@`) ? run + shellWord(word.slice(near.length)) : undefined;
      });
      const typed = words.map((word, i) => named[i] ?? shellWord(word));
      return [...named.some((word) => word !== undefined) ? [] : [run], ...typed].join(" ");
    };
    return usageError(
      message.replace(/^ {2}dogear ls (.+)$/gm, (_, run: string) => `  dogear ${command} ${withRun(run)}`),
    );
  };
}
