/**
 * A disk in memory as a value, and all states that it may be in after a loss of power.
 *
 * It is a second implementation of the file system interface. A crash loses everything that POSIX allows it to lose:
 *
 * - Bytes of a file since its last `fsync`: all of them, any suffix, or their values but not their number.
 * - Changes of a folder since its last `fsync`: any of them, in any order. Each change is kept or lost as a whole, also a rename. Only
 *   changes of one name keep their order, because a folder could have two names otherwise.
 *
 * Files with two names share their bytes. An `fsync` takes effect when it ends, not when it is requested.
 *
 * It answers as a local Linux disk does, or as another system with a profile of `profiles.ts`.
 *
 * @module
 */

import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { posix } from "node:path";
import { setImmediate } from "node:timers";
import type { FileSystem, ProcessStatus } from "../../lib/store/directory/file_system.ts";
import type { StoreFailed } from "../../lib/errors/errors.ts";
import { storeFailed } from "../../lib/store/store.ts";
import { linux, type Profile, sillyName, systemOf } from "./profiles.ts";

// --- types

interface File {
  readonly is: "file";
  readonly bytes: Uint8Array;
  /** The length of the prefix that is durable. */
  readonly durable: number;
  readonly modified: number;
}

/** New nodes of names; undefined removes the name. */
type Change = readonly (readonly [name: string, node: string | undefined])[];

interface Folder {
  readonly is: "folder";
  /** The durable entries, and the changes since. */
  readonly durable: ReadonlyMap<string, string>;
  readonly pending: readonly Change[];
  readonly modified: number;
}

/** A disk at an instant: its nodes by identity. The identities are the same in every run of a program. */
export type Image = ReadonlyMap<string, File | Folder>;

/** A state after a crash, and a key that differs if a reader can tell two states apart. */
export interface Remains {
  readonly key: string;
  readonly tree: Tree;
}

/** A file's bytes, or a folder's entries. */
export type Tree = Uint8Array | ReadonlyMap<string, Tree>;

/** An operation that waits for its execution. */
export interface Waiting {
  readonly process: string;
  readonly operation: keyof FileSystem | "wait" | "read" | "write" | "sync" | "flush" | "close";
}

/** Chooses the next of the waiting operations, by index. */
export type Schedule = (waiting: readonly Waiting[]) => number;

/** The processes of a machine with one disk. */
export interface Machine {
  /** The disk as it is now. */
  readonly image: () => Image;
  /** Makes everything on the disk durable. */
  readonly settle: () => void;
  /** The file system for a process with this name. */
  readonly process: (name: string) => FileSystem;
}

/** Options of a machine. */
export interface MachineOptions {
  /**
   * The order of concurrent operations.
   * @default each operation is executed immediately
   */
  readonly schedule?: Schedule;
  /** Called after each operation that changes the disk. */
  readonly changed?: (image: Image) => void;
  /**
   * The time in milliseconds since 1970. Each change takes one millisecond.
   * @default 0
   */
  readonly clock?: number;
  /**
   * The status of a process.
   * @default "alive"
   */
  readonly statusOf?: (process: string) => ProcessStatus;
  /**
   * The system.
   * @default a local Linux disk
   */
  readonly profile?: Profile;
}

const root = "/";

// --- images

/** The present entries of a folder. */
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

/** The possible contents of a file after a crash: the durable bytes, some more, all of them, or zeros in the same number. */
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

/** The possible entries of a folder after a crash: each change since its last `fsync` is kept or lost. */
function listingsOf(folder: Folder): readonly ReadonlyMap<string, string>[] {
  const listings = new Map<string, ReadonlyMap<string, string>>();
  for (let kept = 0; kept < 2 ** folder.pending.length; kept++) {
    const pending = folder.pending.filter((_, i) => (kept >> i) & 1);
    const entries = entriesOf({ ...folder, pending });
    listings.set(JSON.stringify([...entries].sort()), entries);
  }
  return [...listings.values()];
}

/** A name without its random digits. */
function shown(name: string): string {
  return name.replace(/^(\.(saving|removing)-[^-]*)-[0-9a-f]+(-[0-9a-f]{16})?$/, "$1");
}

/**
 * All states of a disk after a crash, each once.
 *
 * @param image The disk when the power failed.
 * @param unread Whether no reader opens the files in a folder with this name. Then states that differ only in their contents count as one.
 */
export function* remains(image: Image, unread: (name: string) => boolean = () => false): Generator<Remains> {
  type Choices = ReadonlyMap<string, number>;
  type Found = readonly [key: string, tree: Tree, choices: Choices];

  /** The contents of a file are chosen at its first name, so that it has the same under each. */
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

/** A key that differs if two disks may be in different states after a crash. */
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
 * @param options Options; by default each operation is executed immediately.
 */
export function machine(start: Image, options: MachineOptions = {}): Machine {
  const { schedule, changed, clock = 0, statusOf = () => "alive", profile = linux } = options;
  let image = start;
  let now = clock;
  const waiting: (Waiting & { readonly run: () => void })[] = [];

  /** A node and all nodes below it. */
  function below(id: string): readonly string[] {
    const node = image.get(id);
    return node?.is === "folder" ? [id, ...[...entriesOf(node).values()].flatMap(below)] : [id];
  }

  /** The number of names of a node. */
  function linksOf(id: string): number {
    const folders = [...image.values()].filter((node) => node.is === "folder");
    return folders.reduce((links, node) => links + [...entriesOf(node).values()].filter((own) => own === id).length, 0);
  }

  const system = systemOf(profile, {
    find: (path) =>
      path.split("/").filter((step) => step !== "").reduce<string | undefined>((id, step) => {
        const node = id === undefined ? undefined : image.get(id);
        return node?.is === "folder" ? entriesOf(node).get(step) : undefined;
      }, root),
    isFolder: (node) => image.get(node)?.is === "folder",
    below,
  });

  /** Executes the waiting operations one at a time, after every process has requested all that it requests before waiting. */
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

    /** `from` is the old path of an operation that has two. */
    function task<A>(
      operation: Waiting["operation"],
      path: string,
      run: (fail: (code: string) => never) => A,
      from?: string,
    ): TaskEither<StoreFailed, A> {
      const fail = (code: string): never => {
        const answer = code === "ENOENT" ? system.missing(name, from === undefined ? [path] : [path, from]) : code;
        throw storeFailed(operation, path, answer, "a simulated disk says so");
      };
      const answered = (): A => {
        const refusal = system.refusal(operation, from ?? path, from && path);
        if (refusal !== undefined) fail(refusal);
        const result = run(fail);
        return system.isLost(operation) ? run(fail) : result;
      };
      const attempt = E.tryCatchK(answered, (cause) => {
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

    /** The folder of a path, its entries and the last name. */
    function placeOf(path: string, fail: Fail): readonly [string, Folder, ReadonlyMap<string, string>, string] {
      const id = find(posix.dirname(path), fail) ?? fail("ENOENT");
      const above = folder(id, fail);
      return [id, above, entriesOf(above), posix.basename(path)];
    }

    function change(id: string, above: Folder, ...changes: Change): readonly [string, Folder] {
      system.changed(name, id);
      const changed: Folder = { ...above, pending: [...above.pending, changes], modified: now };
      return [id, profile.areFoldersDurable ? { ...changed, durable: entriesOf(changed), pending: [] } : changed];
    }

    function add(path: string, node: File | Folder, fail: Fail): string {
      const [id, above, entries, last] = placeOf(path, fail);
      if (entries.has(last)) fail("EEXIST");
      const own = `${name}${made++}`;
      set([[own, node], change(id, above, [last, own])]);
      system.made(own, path);
      return own;
    }

    function remove(path: string, fail: Fail): void {
      const [id, above, entries, last] = placeOf(path, fail);
      const own = entries.get(last) ?? fail("ENOENT");
      if (profile.network !== undefined && system.isOpen(name, own)) {
        return set([change(id, above, [last, undefined], [sillyName(own), own])]);
      }
      set([change(id, above, [last, undefined])]);
      system.gone(name, path, linksOf(own) === 0 ? [own] : []);
    }

    /** Closes a file. A network file system then removes it, if it has only kept it for this. */
    function closing(id: string, path: string): TaskEither<StoreFailed, void> {
      return task("close", path, () => {
        system.close(name, id);
        if (profile.network === undefined || system.isOpen(name, id)) return;
        for (const [at, node] of image) {
          if (node.is !== "folder" || entriesOf(node).get(sillyName(id)) !== id) continue;
          set([change(at, node, [sillyName(id), undefined])]);
        }
      });
    }

    /** Renames a folder as object stores do: a new folder, then one file after the other. */
    function renameByFile(from: string, to: string, fail: Fail): void {
      const [, node] = there(from, fail);
      if (node.is === "folder") {
        if (find(to, fail) === undefined) add(to, { ...node, durable: new Map(), pending: [] }, fail);
        for (const inner of entriesOf(node).keys()) renameByFile(`${from}/${inner}`, `${to}/${inner}`, fail);
      } else {
        const [above, into] = placeOf(to, fail);
        set([change(above, into, [posix.basename(to), find(from, fail)])]);
      }
      remove(from, fail);
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
          system.open(name, id);
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
            // No effect, because it guarantees nothing.
            flush: task("flush", path, () => {}),
            sync: task("sync", path, (fail) => {
              const now = file(id, fail);
              set([[id, { ...now, durable: now.bytes.length }]]);
            }),
            close: closing(id, path),
          };
        }),
      open: (path) =>
        task("open", path, (fail) => {
          const [id, node] = there(path, fail);
          if (node.is === "folder") return fail("EINVAL");
          const { bytes } = file(id, fail);
          system.open(name, id);
          return {
            bytes: bytes.length,
            read: (into, position) =>
              task("read", path, (fail) => {
                if (system.isStale(name, id)) fail("ESTALE");
                const some = bytes.subarray(position, position + into.length);
                into.set(some);
                return some.length;
              }),
            close: closing(id, path),
          };
        }),
      status: (path) =>
        task("status", path, (fail) => {
          const [id, node] = there(path, fail);
          return {
            kind: node.is,
            bytes: node.is === "file" ? node.bytes.length : 0,
            links: linksOf(id),
            modified: node.modified,
          };
        }),
      names: (path) =>
        task("names", path, (fail) => {
          const [id] = there(path, fail);
          const listed = folder(id, fail);
          return system.seen(name, id, { names: [...entriesOf(listed).keys()], modified: listed.modified }).names;
        }),
      link: (from, to) =>
        task("link", to, (fail) => {
          const [id, node] = there(from, fail);
          const [above, into, entries, last] = placeOf(to, fail);
          if (entries.has(last)) fail("EEXIST");
          if (node.is === "folder") fail("EPERM");
          set([change(above, into, [last, id])]);
        }, from),
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
          if (profile.renames === "by file") return renameByFile(from, to, fail);
          set([change(above, into, [posix.basename(from), undefined], [last, id])]);
          system.gone(name, from, []);
          system.moved(to);
        }, from),
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
      ...(profile.platform && { platform: profile.platform }),
      ...(profile !== linux && { wait: async () => void await task("wait", root, () => {})() }),
      processId: () => Promise.resolve(name),
      processStatus: (name) => () => Promise.resolve(statusOf(name)),
    };
  }

  return { image: () => image, settle: () => void (image = settled(image)), process };
}
