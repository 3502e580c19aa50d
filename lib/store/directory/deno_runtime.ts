/**
 * Deno's own file functions and permissions, if Deno is the runtime.
 *
 * @module
 */

import { dirname } from "node:path";

// --- types

/** The part of the `Deno` namespace that the local file system uses. */
export interface DenoRuntime {
  readonly open: (path: string, options: { readonly write: true; readonly createNew: true }) => Promise<DenoFile>;
  readonly readDirSync: (path: string) => Iterable<{ readonly name: string }>;
  readonly permissions: { readonly querySync: (permission: Permission) => { readonly state: string } };
}

/** An open file of Deno. */
interface DenoFile {
  readonly write: (bytes: Uint8Array) => Promise<number>;
  readonly sync: () => Promise<void>;
  readonly close: () => void;
}

type Permission = { readonly name: "read"; readonly path: string } | { readonly name: "run" };

// --- constructors

/** The `Deno` namespace; undefined in other runtimes. */
export const deno: DenoRuntime | undefined = Reflect.get(globalThis, "Deno");

// --- combinators

/** Whether a permission is granted, so that Deno does not ask the user at the terminal. Other runtimes have no permissions. */
export function isGranted(permission: Permission): boolean {
  return deno === undefined || deno.permissions.querySync(permission).state === "granted";
}

/**
 * Whether Deno may read a path without asking the user. The folders above are queried first, because Deno remembers each path that was ever
 * queried, and the name of a temporary folder is used only once.
 */
export function isReadable(path: string): boolean {
  if (deno === undefined) return true;
  const above = dirname(path);
  return (above !== path && isReadable(above)) || isGranted({ name: "read", path });
}
