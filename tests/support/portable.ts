/**
 * What not every system has. A test that needs it is skipped elsewhere, and its name says what is missing: neither Bun nor Deno reports
 * the reason of a skipped test.
 *
 * @module
 */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { node } from "../gate/runtimes.ts";

// --- types

/** `test` of `node:test`. */
export type Test = (title: string, body: () => void | Promise<void>) => void;

/** A name of what some systems do not have. */
export type Thing = keyof typeof things;

// --- constructors

const isLinux = process.platform === "linux";
const isPosix = process.platform !== "win32";

function succeeds(program: string, ...args: readonly string[]): boolean {
  return spawnSync(program, args, { stdio: "ignore" }).status === 0;
}

/** Whether this system has it, found out when it is first asked for. */
const things = {
  "/proc": (): boolean => isLinux && existsSync("/proc/self/fd"),
  "/dev/full": (): boolean => existsSync("/dev/full"),
  /** Signals other than SIGKILL that reach a process and that it can handle. */
  "POSIX signals": (): boolean => isPosix,
  "process groups": (): boolean => isPosix,
  /** Folders that refuse to be written in. */
  "file permissions": (): boolean => isPosix,
  /** Links that are no junctions of Windows, which lead to folders alone. */
  "symbolic links": (): boolean => isPosix,
  "named pipes": (): boolean => isPosix,
  "fcntl": (): boolean => isPosix,
  // Windows may have one, which takes other paths.
  "a POSIX shell": (): boolean => isPosix && succeeds("sh", "-c", "true"),
  "bash": (): boolean => isPosix && succeeds("bash", "-c", "true"),
  "zsh": (): boolean => isPosix && succeeds("zsh", "-c", "true"),
  "fish": (): boolean => isPosix && succeeds("fish", "-c", "true"),
  /** The right to mount a file system. */
  "mounts": (): boolean => isLinux && succeeds("unshare", "--mount", "true"),
  "namespaces": (): boolean => isLinux && succeeds("unshare", "--pid", "--time", "--fork", "--mount-proc", "true"),
  /** Debian's packages ceph-mon, ceph-osd and radosgw. With `DOGEAR_S3=required` a test fails without them. */
  "S3 server": (): boolean =>
    process.env["DOGEAR_S3"] === "required" ||
    (isLinux && ["ceph-mon", "ceph-osd", "radosgw"].every((name) => succeeds(name, "--version"))),
  /** Debian's package chromium. With `DOGEAR_BROWSER=required` a test fails without it. */
  "Chromium": (): boolean => process.env["DOGEAR_BROWSER"] === "required" || succeeds("chromium", "--version"),
  "Node": (): boolean => node() !== undefined,
  "Deno": (): boolean => process.versions["deno"] !== undefined,
  "Python 3.10": (): boolean => succeeds("python3", "-c", "import sys; sys.exit(sys.version_info < (3, 10))"),
} as const;

const known = new Map<Thing, boolean>();

/** Whether this system has it: for a step of a test that is tried in another way elsewhere. */
export function has(thing: Thing): boolean {
  const found = known.get(thing) ?? things[thing]();
  known.set(thing, found);
  return found;
}

// --- combinators

/** A test that is skipped if there is a reason, which its name then says. */
export function skippedIf(reason: string | undefined): Test {
  return (title, body) =>
    reason === undefined ? test(title, body) : test(`${title} (left out: ${reason})`, { skip: true }, () => {});
}

/** A test for systems that have all of this. */
export function needs(...all: readonly Thing[]): Test {
  const missing = all.filter((thing) => !has(thing));
  return skippedIf(missing.length === 0 ? undefined : `it needs ${missing.join(" and ")}`);
}
