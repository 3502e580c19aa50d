/**
 * A disk in memory, as a value, and everything that may be left of it when the power goes.
 *
 * It is a second interpreter of the operations that the store is written over. It loses all that POSIX lets a crash take:
 *
 * - Bytes of a file that no `fsync` of it has followed: all, any end of them, or their values but not their number.
 * - Changes of a folder's entries that no `fsync` of it has followed: any of them, whichever came first. Each is kept or lost as a
 *   whole, a rename too; only changes of one name keep their order, or a folder could have two names.
 *
 * Files with two names share their bytes. An `fsync` counts when it is over, not when it is asked for.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { posix } from "node:path";
import { setImmediate } from "node:timers";
import type { FileSystem, ProcessStatus } from "../lib/disk.ts";
import type { StoreFailed } from "../lib/errors.ts";
import { storeFailed } from "../lib/store.ts";

// --- types

interface File {
  readonly is: "file";
  readonly bytes: Uint8Array;
  /** How many of the bytes, from the first, no crash can take. */
  readonly durable: number;
  readonly modified: number;
}

/** Names, and the nodes that they lead to from now on; undefined: to none. */
type Change = readonly (readonly [name: string, node: string | undefined])[];

interface Folder {
  readonly is: "folder";
  /** The entries that no crash can take, and the changes since. */
  readonly durable: ReadonlyMap<string, string>;
  readonly pending: readonly Change[];
  readonly modified: number;
}

/** A disk at an instant: its nodes by names of their own, the same ones in every run of a program. */
export type Image = ReadonlyMap<string, File | Folder>;

/** What may be found after a crash, and a text that differs where a reader can tell two apart. */
export interface Remains {
  readonly key: string;
  readonly tree: Tree;
}

/** A file's bytes, or a folder's entries. */
export type Tree = Uint8Array | ReadonlyMap<string, Tree>;

/** An operation that waits to be done. */
export interface Waiting {
  readonly process: string;
  readonly operation: keyof FileSystem | "write" | "sync" | "flush" | "close";
}

/** Which of the operations that wait is done next, by its index. */
export type Schedule = (waiting: readonly Waiting[]) => number;

/** The processes of a machine with one disk. */
export interface Machine {
  /** The disk as it is now. */
  readonly image: () => Image;
  /** Makes all that is on the disk durable. */
  readonly settle: () => void;
  /** The disk as a process of this name works with it. */
  readonly process: (name: string) => FileSystem;
}

/** How a machine differs from one that does everything at once, in 1970. */
export interface MachineOptions {
  /** Without one every operation is done as soon as it is asked for. */
  readonly schedule?: Schedule;
  /** Told of the disk after each operation that changes it. */
  readonly changed?: (image: Image) => void;
  /** Milliseconds since 1970; each change takes one. */
  readonly clock?: number;
  /** What is known of processes. */
  readonly fateOf?: (process: string) => ProcessStatus;
}

const root = "/";

// --- images

/** The entries of a folder as its readers see them. */
function entriesOf({ durable, pending }: Folder): ReadonlyMap<string, string> {
  const entries = new Map(durable);
  for (const [name, node] of pending.flat()) {
    if (node === undefined) entries.delete(name);
    else entries.set(name, node);
  }
  return entries;
}

/** An empty disk. */
export const blank: Image = new Map([[root, { is: "folder", durable: new Map(), pending: [], modified: 0 }]]);

function settled(image: Image): Image {
  return new Map([...image].map(([id, node]) => [
    id,
    node.is === "file" ? { ...node, durable: node.bytes.length } : { ...node, durable: entriesOf(node), pending: [] },
  ]));
}

/** The disk on which a machine starts again after a crash. */
export function imageOf(tree: Tree, modified = 0): Image {
  const nodes = new Map<string, File | Folder>();
  const add = (path: string, tree: Tree): string => {
    if (tree instanceof Uint8Array) {
      nodes.set(path, { is: "file", bytes: tree, durable: tree.length, modified });
    } else {
      const durable = new Map([...tree].map(([name, child]) => [name, add(posix.join(path, name), child)]));
      nodes.set(path, { is: "folder", durable, pending: [], modified });
    }
    return path;
  };
  add(root, tree);
  return nodes;
}

// --- crashes

/** What may be left of a file's bytes: those that are durable, some more, all of them, or as many. */
function contentsOf({ bytes, durable }: File): readonly (readonly [name: string, bytes: Uint8Array])[] {
  if (durable === bytes.length) return [["all", bytes]];
  const zeros = new Uint8Array(bytes.length);
  zeros.set(bytes.subarray(0, durable));
  return [
    ["none", bytes.subarray(0, durable)],
    ["some", bytes.subarray(0, durable + Math.floor((bytes.length - durable) / 2))],
    ["all", bytes],
    ["zeros", zeros],
  ];
}

/** What may be left of a folder's entries: each change since its last `fsync` is there or not. */
function listingsOf(folder: Folder): readonly ReadonlyMap<string, string>[] {
  const listings = new Map<string, ReadonlyMap<string, string>>();
  for (let kept = 0; kept < 2 ** folder.pending.length; kept++) {
    const pending = folder.pending.filter((_, i) => (kept >> i) & 1);
    const entries = entriesOf({ ...folder, pending });
    listings.set(JSON.stringify([...entries].sort()), entries);
  }
  return [...listings.values()];
}

/** Names but for the part of them that is drawn at random. */
function shown(name: string): string {
  return name.replace(/^(\.(saving|removing)-[^-]*)-[0-9a-f]+(-[0-9a-f]{16})?$/, "$1");
}

/**
 * Everything that may be found on a disk after a crash, each once.
 *
 * @param image The disk when the power went.
 * @param unread Whether nobody reads what is in the files of a folder of this name: then one of all such contents is as good as another.
 */
export function* remains(image: Image, unread: (name: string) => boolean = () => false): Generator<Remains> {
  type Choices = ReadonlyMap<string, number>;
  type Found = readonly [key: string, tree: Tree, choices: Choices];

  /** A file has the same bytes under each of its names: which, is chosen at the first. */
  function* under(id: string, choices: Choices, hidden: boolean): Generator<Found> {
    const node = image.get(id);
    if (node === undefined) throw new Error(`no node ${id}`);
    if (node.is === "folder") {
      for (const listing of listingsOf(node)) {
        for (const [key, entries, chosen] of all([...listing].sort(), choices, hidden)) {
          yield [`{${key}}`, entries, chosen];
        }
      }
      return;
    }
    if (hidden) return yield ["a file", node.bytes.subarray(0, node.durable), choices];
    const chosen = choices.get(id);
    for (const [i, [name, bytes]] of contentsOf(node).entries()) {
      if (chosen === undefined || chosen === i) yield [`${id} ${name}`, bytes, new Map(choices).set(id, i)];
    }
  }

  function* all(
    [first, ...rest]: readonly (readonly [string, string])[],
    choices: Choices,
    hidden: boolean,
  ): Generator<readonly [string, ReadonlyMap<string, Tree>, Choices]> {
    if (first === undefined) return yield ["", new Map(), choices];
    const [name, id] = first;
    for (const [key, tree, chosen] of under(id, choices, hidden || unread(name))) {
      for (const [keys, trees, more] of all(rest, chosen, hidden)) {
        yield [`${shown(name)}:${key},${keys}`, new Map([[name, tree], ...trees]), more];
      }
    }
  }

  const seen = new Set<string>();
  for (const [key, tree] of under(root, new Map(), false)) {
    if (seen.has(key)) continue;
    seen.add(key);
    yield { key, tree };
  }
}

/** A text that differs where two disks may leave different remains. */
export function stateOf(image: Image): string {
  const under = (id: string): string => {
    const node = image.get(id);
    if (node === undefined) return "none";
    if (node.is === "file") return `${id} ${node.durable}/${node.bytes.length}`;
    const changes = [...node.durable, ...node.pending.flat()];
    const pending = node.pending.map((change) => change.map(([name, to]) => `${shown(name)}=${to}`));
    const listed = [...node.durable].map(([name, to]) => `${shown(name)}=${to}`).sort();
    const inner = [...new Set(changes.map(([, to]) => to))].map((to) => to === undefined ? "" : under(to)).sort();
    return `${id}{${listed}|${pending.join(";")}|${inner}}`;
  };
  return under(root);
}

// --- constructors

/**
 * A machine.
 *
 * @param start Its disk.
 * @param options How it differs from one that does everything at once.
 */
export function machine(start: Image, options: MachineOptions = {}): Machine {
  const { schedule, changed, clock = 0, fateOf = () => "alive" } = options;
  let image = start;
  let now = clock;
  const waiting: (Waiting & { readonly run: () => void })[] = [];

  /** Does what waits, one operation at a time, each once every process has asked for all it asks for before it. */
  function work(): void {
    setImmediate(() => {
      const next = waiting.splice(schedule?.(waiting) ?? 0, 1);
      for (const { run } of next) run();
      if (waiting.length > 0) work();
    });
  }

  function set(changes: readonly (readonly [string, File | Folder])[]): void {
    image = new Map([...image, ...changes]);
    now++;
    changed?.(image);
  }

  function process(name: string): FileSystem {
    let made = 0;

    function task<A>(
      operation: Waiting["operation"],
      path: string,
      run: (fail: (code: string) => never) => A,
    ): TaskEither<StoreFailed, A> {
      const fail = (code: string): never => {
        throw storeFailed(operation, path, code, "a simulated disk says so");
      };
      const attempt = E.tryCatchK(() => run(fail), (cause) => {
        if (!(typeof cause === "object" && cause !== null && "_tag" in cause)) throw cause;
        return cause as StoreFailed;
      });
      if (schedule === undefined) return () => new Promise((resolve) => resolve(attempt()));
      return () =>
        new Promise((resolve, reject) => {
          const done = (): void => {
            try {
              resolve(attempt());
            } catch (cause) {
              reject(cause);
            }
          };
          waiting.push({ process: name, operation, run: done });
          if (waiting.length === 1) work();
        });
    }

    type Fail = (code: string) => never;

    function folder(id: string | undefined, fail: Fail): Folder {
      const node = id === undefined ? fail("ENOENT") : image.get(id);
      return node?.is === "folder" ? node : fail("ENOTDIR");
    }

    function find(path: string, fail: Fail): string | undefined {
      return path.split("/").filter((step) => step !== "").reduce<string | undefined>(
        (id, step) => entriesOf(folder(id, fail)).get(step),
        root,
      );
    }

    function there(path: string, fail: Fail): readonly [id: string, node: File | Folder] {
      const id = find(path, fail) ?? fail("ENOENT");
      return [id, image.get(id) ?? fail("ENOENT")];
    }

    /** The folder that a path is in, its entries and the path's last name. */
    function placeOf(path: string, fail: Fail): readonly [string, Folder, ReadonlyMap<string, string>, string] {
      const id = find(posix.dirname(path), fail) ?? fail("ENOENT");
      const above = folder(id, fail);
      return [id, above, entriesOf(above), posix.basename(path)];
    }

    function change(id: string, above: Folder, ...changes: Change): readonly [string, Folder] {
      return [id, { ...above, pending: [...above.pending, changes], modified: now }];
    }

    function add(path: string, node: File | Folder, fail: Fail): string {
      const [id, above, entries, last] = placeOf(path, fail);
      if (entries.has(last)) fail("EEXIST");
      const own = `${name}${made++}`;
      set([[own, node], change(id, above, [last, own])]);
      return own;
    }

    function remove(path: string, fail: Fail): void {
      const [id, above, , last] = placeOf(path, fail);
      set([change(id, above, [last, undefined])]);
    }

    function file(id: string, fail: Fail): File {
      const node = image.get(id);
      return node?.is === "file" ? node : fail("EINVAL");
    }

    return {
      makeFolder: (path) =>
        task("makeFolder", path, (fail) => {
          add(path, { is: "folder", durable: new Map(), pending: [], modified: now }, fail);
        }),
      create: (path) =>
        task("create", path, (fail) => {
          const id = add(path, { is: "file", bytes: new Uint8Array(), durable: 0, modified: now }, fail);
          return {
            write: (bytes) =>
              task("write", path, (fail) => {
                const { bytes: before, ...rest } = file(id, fail);
                const after = new Uint8Array(before.length + bytes.length);
                after.set(before);
                after.set(bytes, before.length);
                set([[id, { ...rest, bytes: after, modified: now }]]);
                return bytes.length;
              }),
            // Nothing may rest on it: it is asked for between writes, to be faster at the end.
            flush: task("flush", path, () => {}),
            sync: task("sync", path, (fail) => {
              const now = file(id, fail);
              set([[id, { ...now, durable: now.bytes.length }]]);
            }),
            close: task("close", path, () => {}),
          };
        }),
      open: (path) =>
        task("open", path, (fail) => {
          const [id, node] = there(path, fail);
          if (node.is === "folder") return fail("EINVAL");
          const { bytes } = file(id, fail);
          return {
            bytes: bytes.length,
            read: (into, position) =>
              task("open", path, () => {
                const some = bytes.subarray(position, position + into.length);
                into.set(some);
                return some.length;
              }),
            close: task("close", path, () => {}),
          };
        }),
      status: (path) =>
        task("status", path, (fail) => {
          const [, node] = there(path, fail);
          // Nothing that is tried here asks for the number of links.
          return {
            kind: node.is,
            bytes: node.is === "file" ? node.bytes.length : 0,
            links: 1,
            modified: node.modified,
          };
        }),
      names: (path) => task("names", path, (fail) => [...entriesOf(folder(find(path, fail), fail)).keys()]),
      link: (from, to) =>
        task("link", to, (fail) => {
          const [id, node] = there(from, fail);
          const [above, into, entries, last] = placeOf(to, fail);
          if (entries.has(last)) fail("EEXIST");
          if (node.is === "folder") fail("EPERM");
          set([change(above, into, [last, id])]);
        }),
      rename: (from, to) =>
        task("rename", to, (fail) => {
          const [id, moved] = there(from, fail);
          const [above, into, entries, last] = placeOf(to, fail);
          if (posix.dirname(from) !== posix.dirname(to)) throw new Error(`${from} was moved to another folder`);
          const taken = entries.get(last);
          if (taken === id) return;
          if (taken !== undefined && moved.is === "folder") {
            if (entriesOf(folder(taken, fail)).size > 0) fail("ENOTEMPTY");
          } else if (taken !== undefined && image.get(taken)?.is === "folder") fail("EISDIR");
          set([change(above, into, [posix.basename(from), undefined], [last, id])]);
        }),
      removeFile: (path) =>
        task("removeFile", path, (fail) => {
          if (there(path, fail)[1].is === "folder") fail("EISDIR");
          remove(path, fail);
        }),
      removeFolder: (path) =>
        task("removeFolder", path, (fail) => {
          if (entriesOf(folder(find(path, fail), fail)).size > 0) fail("ENOTEMPTY");
          remove(path, fail);
        }),
      syncFolder: (path) =>
        task("syncFolder", path, (fail) => {
          const [id] = there(path, fail);
          const now = folder(id, fail);
          set([[id, { ...now, durable: entriesOf(now), pending: [] }]]);
        }),
      writer: () => Promise.resolve(name),
      fateOf: (name) => () => Promise.resolve(fateOf(name)),
    };
  }

  return { image: () => image, settle: () => void (image = settled(image)), process };
}
