/**
 * Systems that are not a local Linux disk, as profiles of the simulated disk: what they answer otherwise, and what they do otherwise.
 *
 * Nothing here was measured on such a system. The codes are those of the table in `lib/store/directory/answers.ts`, which names their sources.
 *
 * @module
 */

import type process from "node:process";

// --- types

/** What a system does otherwise than a local Linux disk. */
export interface Profile {
  readonly platform?: typeof process.platform;
  /** The code of a rename onto an existing folder, empty or not. By default an empty folder is replaced, and another one is `ENOTEMPTY`. */
  readonly renameOntoFolder?: string;
  /**
   * The code of `unlink` of a folder.
   * @default "EISDIR"
   */
  readonly unlinkFolder?: string;
  /** The code of every hard link. By default links are made. */
  readonly link?: string;
  /** The code of every `fsync` of a folder, if the system has none. */
  readonly syncFolder?: string;
  /** Whether changes of folders are durable at once, and in their order. By default an `fsync` of the folder makes them durable. */
  readonly areFoldersDurable?: boolean;
  /** The codes for a file that is open, and for a folder with an open file in it: they cannot be renamed or removed. */
  readonly inUse?: { readonly file: string; readonly folder: string };
  /** How many times a rename or removal of something new fails, because a scanner has it open, and the code. */
  readonly scanner?: { readonly times: number; readonly code: string };
  /** A network file system. Each process is on its own machine, or all are on one. */
  readonly network?: "machines" | "one machine";
  /** Whether a machine sees what another one has changed in a folder only after a while, or when it changes the folder itself. */
  readonly cachesListings?: true;
  /** Whether the answer to the n-th request that changes names is lost. The request is then executed again. */
  readonly losesAnswer?: (n: number) => boolean;
  /** How folders are renamed, if not in one step: file by file, or not at all. */
  readonly renames?: "by file" | "never";
}

// --- profiles

/** A local Linux disk. */
export const linux: Profile = {};

const windows: Profile = {
  platform: "win32",
  renameOntoFolder: "EPERM",
  unlinkFolder: "EPERM",
  areFoldersDurable: true,
  inUse: { file: "EBUSY", folder: "EPERM" },
  scanner: { times: 2, code: "EBUSY" },
};

/** Every third, so that no request loses its answer twice in turn. */
const everyThird = (n: number): boolean => n % 3 === 0;

/** Systems on which the laws hold. */
export const profiles: Readonly<Record<string, Profile>> = {
  "Windows, Bun and Node": windows,
  "Windows, Deno": {
    ...windows,
    renameOntoFolder: "EACCES",
    unlinkFolder: "EACCES",
    inUse: { file: "EBUSY", folder: "EACCES" },
    scanner: { times: 3, code: "EACCES" },
  },
  "macOS": { platform: "darwin", unlinkFolder: "EPERM" },
  "macOS, SMB": {
    platform: "darwin",
    unlinkFolder: "EPERM",
    link: "ENOTSUP",
    syncFolder: "ENOTSUP",
    areFoldersDurable: true,
  },
  "macOS, macFUSE": { platform: "darwin", unlinkFolder: "EPERM", syncFolder: "EINVAL", areFoldersDurable: true },
  "NFS": { network: "machines" },
  "NFS on one machine": { network: "one machine", losesAnswer: everyThird },
  "NFS that loses answers": { network: "machines", losesAnswer: everyThird },
  "FUSE without links": { link: "EPERM", syncFolder: "EINVAL", areFoldersDurable: true },
  "FUSE without links and fsync": { link: "ENOSYS", syncFolder: "ENOSYS", areFoldersDurable: true },
  "FUSE with errors of links": { link: "EIO", syncFolder: "ENOTSUP", areFoldersDurable: true },
  "sshfs": { renameOntoFolder: "EPERM", unlinkFolder: "EPERM", link: "EPERM" },
};

/**
 * Systems on which the laws of saves hold: also NFS with its attribute cache, where a load may find an older checkpoint.
 */
export const savingProfiles: Readonly<Record<string, Profile>> = {
  Linux: linux,
  ...profiles,
  "NFS with caches": { network: "machines", cachesListings: true },
};

/** Mounts of object stores, on which the laws do not hold. */
export const objectMounts: Readonly<Record<"renames file by file" | "no renames", Profile>> = {
  "renames file by file": {
    renames: "by file",
    link: "ENOSYS",
    areFoldersDurable: true,
  },
  "no renames": { renames: "never", link: "ENOSYS", areFoldersDurable: true },
};

// --- a system at work

/** The operations whose second execution has another answer. */
const changesNames: readonly string[] = ["makeFolder", "link", "rename", "removeFile", "removeFolder"];
/** The operations that a scanner disturbs. */
const takesAway: readonly string[] = ["rename", "removeFile", "removeFolder"];

/** What a system sees of its disk. */
export interface DiskView {
  /** The node at a path. */
  readonly find: (path: string) => string | undefined;
  readonly isFolder: (node: string) => boolean;
  /** A node and all nodes below it. */
  readonly below: (node: string) => readonly string[];
}

/** What a process sees of a folder. */
interface Seen {
  readonly names: readonly string[];
  readonly modified: number;
}

/** How often a machine lists a folder before it sees what others have changed. */
const cached = 3;

/** A system at work: it knows who has which file open, and what is new. */
export interface System {
  /** The code with which an operation on a path fails before it is executed; for a rename, also the new path. */
  readonly refusal: (operation: string, path: string, to?: string) => string | undefined;
  /** The code for a process, instead of `ENOENT`, of a path that another machine has removed. */
  readonly missing: (process: string, paths: readonly string[]) => string;
  /** Whether the answer to an operation is lost. */
  readonly isLost: (operation: string) => boolean;
  /** Notes that a process opens or closes a file. */
  readonly open: (process: string, node: string) => void;
  readonly close: (process: string, node: string) => void;
  /** Whether any process on the machine of a process has a file open. */
  readonly isOpen: (process: string, node: string) => boolean;
  /** Notes that a new node has a path. */
  readonly made: (node: string, path: string) => void;
  /** Notes that a path exists again, by a rename. */
  readonly moved: (path: string) => void;
  /** Notes that a process has removed or renamed what had a path, and the nodes that no longer exist. */
  readonly gone: (process: string, path: string, nodes: readonly string[]) => void;
  /** Whether another machine has removed the open file of a process. */
  readonly isStale: (process: string, node: string) => boolean;
  /** A folder as a process sees it. */
  readonly seen: (process: string, folder: string, present: Seen) => Seen;
  /** Notes that a process has changed a folder. */
  readonly changed: (process: string, folder: string) => void;
}

/** A name that an NFS client gives to an open file that is removed. */
export function sillyName(node: string): string {
  return `.nfs${node}`;
}

/**
 * A system with a profile.
 *
 * @param profile What it does otherwise than a local Linux disk.
 * @param disk Its disk.
 */
export function systemOf(profile: Profile, { find, isFolder, below }: DiskView): System {
  const { renameOntoFolder, unlinkFolder, inUse, scanner, network, losesAnswer } = profile;
  const opened: (readonly [process: string, node: string])[] = [];
  const scans = new Map<string, number>();
  const goneBy = new Map<string, string>();
  const staleNodes = new Map<string, string>();
  const told = new Set<string>();
  const caches = new Map<string, Seen & { readonly uses: number }>();
  let changes = 0;
  const isHere = (process: string, other: string): boolean => network === "one machine" || process === other;
  const isOpen = (node: string): boolean => opened.some(([, other]) => other === node);

  /** The code for something that a reader, a writer or a scanner has open. */
  function usedNow(node: string): string | undefined {
    const nodes = below(node);
    const scanned = nodes.filter((one) => (scans.get(one) ?? 0) > 0);
    for (const one of scanned) scans.set(one, scans.get(one)! - 1);
    if (scanned.length > 0) return scanner?.code;
    return nodes.some(isOpen) ? isFolder(node) ? inUse?.folder : inUse?.file : undefined;
  }

  return {
    refusal: (operation, path, to) => {
      if (operation === "link" && profile.link !== undefined) return profile.link;
      if (operation === "syncFolder" && profile.syncFolder !== undefined) return profile.syncFolder;
      const node = find(path);
      if (node === undefined || !takesAway.includes(operation)) return undefined;
      if (operation === "rename" && profile.renames === "never" && isFolder(node)) return "ENOSYS";
      if (operation === "removeFile" && isFolder(node)) return unlinkFolder;
      const onto = to === undefined ? undefined : find(to);
      if (onto !== undefined && onto !== node && isFolder(onto) && renameOntoFolder !== undefined) {
        return renameOntoFolder;
      }
      // A client does not remove what it keeps for an open file.
      if (operation === "removeFile" && network !== undefined && /\/\.nfs[^/]*$/.test(path) && isOpen(node)) {
        return "EBUSY";
      }
      return inUse === undefined ? undefined : usedNow(node);
    },
    missing: (process, paths) => {
      if (network === undefined) return "ENOENT";
      for (const [path, by] of goneBy) {
        const key = `${process} ${path}`;
        const isMeant = paths.some((asked) => asked === path || asked.startsWith(`${path}/`));
        if (isMeant && !isHere(process, by) && !told.has(key)) {
          told.add(key);
          return "ESTALE";
        }
      }
      return "ENOENT";
    },
    isLost: (operation) => changesNames.includes(operation) && losesAnswer?.(++changes) === true,
    open: (process, node) => void opened.push([process, node]),
    close: (process, node) => {
      const at = opened.findIndex(([who, what]) => who === process && what === node);
      if (at >= 0) opened.splice(at, 1);
    },
    isOpen: (process, node) => opened.some(([who, what]) => isHere(process, who) && what === node),
    made: (node, path) => {
      if (scanner !== undefined) scans.set(node, scanner.times);
      goneBy.delete(path);
    },
    moved: (path) => void goneBy.delete(path),
    gone: (process, path, nodes) => {
      if (network === undefined) return;
      goneBy.set(path, process);
      for (const node of nodes) staleNodes.set(node, process);
    },
    isStale: (process, node) => {
      const by = staleNodes.get(node);
      return by !== undefined && !isHere(process, by);
    },
    seen: (process, folder, present) => {
      if (profile.cachesListings !== true) return present;
      const key = `${process} ${folder}`;
      const { uses, ...seen } = caches.get(key) ?? { ...present, uses: 0 };
      if (uses === cached) caches.delete(key);
      else caches.set(key, { ...seen, uses: uses + 1 });
      return seen;
    },
    changed: (process, folder) => void caches.delete(`${process} ${folder}`),
  };
}
