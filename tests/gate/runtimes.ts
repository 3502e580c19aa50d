/**
 * Where Bun, Deno and Node are: a test starts the other runtimes from here, never by a bare name.
 *
 * On a machine that has only Bun there is no `node`, so neither the npm `deno` script nor an install script works;
 * the platform's own binary does. And `bun run` puts a `node` that is Bun itself on the path where there is none.
 *
 * @module
 */

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const root: string = fileURLToPath(new URL("../../", import.meta.url));

/** Whether this process is Bun. */
export const isBun: boolean = process.versions["bun"] !== undefined;

/** The running Bun, the one the suite was started with, or the installed one. */
export function bun(): string {
  if (isBun) return process.execPath;
  return process.env["DOGEAR_BUN"] ?? join(root, "node_modules/bun/bin/bun.exe");
}

/** The running Deno, the installed binary of this platform, or (musl, for one, has none) the `deno` on the path. */
export function deno(): string {
  if (process.versions["deno"] !== undefined) return process.execPath;
  const { arch, platform } = process;
  const folder = `${platform}-${arch}${platform === "linux" ? "-glibc" : ""}`;
  const binary = join(root, "node_modules/@deno", folder, platform === "win32" ? "deno.exe" : "deno");
  return existsSync(binary) ? binary : "deno";
}

/** The machine's Node, if it has one. */
export function node(): string | undefined {
  const { status, stdout } = spawnSync("node", ["-p", "process.versions.bun ?? 'node'"], { encoding: "utf8" });
  return status === 0 && stdout.trim() === "node" ? "node" : undefined;
}
