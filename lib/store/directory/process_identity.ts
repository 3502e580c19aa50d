/**
 * Process identities, and whether the process of an identity is running.
 *
 * An identity is `<machine>.<pid>.<start>`. `<machine>` is a digest of the host name, the boot, and the process and time namespaces; `<start>`
 * is the start time of the process in ticks since boot, which tells apart processes that had the same number. Only Linux provides these
 * facts. Elsewhere the machine is `unknown`, and so is the status of every process.
 *
 * Process namespaces distinguish containers, also two of one machine that share a volume, where numbers such as 7 occur in each. If
 * the kernel gives the number of a namespace to a later one, all processes of the earlier have ended. A container that sees the `/proc` of
 * another namespace has machine `unknown`.
 *
 * Clones of one snapshot of a running machine are not distinguished: they have the host name, boot and namespaces of the original. On a
 * volume that they share, one can take a running save of another for one of a dead process and remove it, so that the save fails. Give each
 * clone its own host name, or its own run folder.
 *
 * @module
 */

import { createHash } from "node:crypto";
import * as fs from "node:fs/promises";
import { isGranted } from "./deno_runtime.ts";
import type { ProcessStatus } from "./file_system.ts";

// --- constructors

const unknown = "unknown";

async function machineIdentity(): Promise<string> {
  if (!isGranted({ name: "read", path: "/proc" })) return unknown;
  const [self, ...facts] = await Promise.all([
    fs.readlink("/proc/self"),
    fs.readFile("/proc/sys/kernel/hostname", "utf8"),
    fs.readFile("/proc/sys/kernel/random/boot_id", "utf8"),
    fs.readlink("/proc/self/ns/pid"),
    // Start times are those of the reader's clock. Kernels before 5.6 have only one.
    fs.readlink("/proc/self/ns/time").catch(() => ""),
  ]).catch(() => []);
  // With the `/proc` of another namespace, the numbers in it are those of other processes.
  if (self !== String(process.pid)) return unknown;
  return createHash("sha256").update(facts.join("\n")).digest("hex").slice(0, 8);
}

/** The start time of a process in ticks since boot, `exited` for a zombie; undefined if it cannot be read. */
async function startTime(pid: number): Promise<string | undefined> {
  const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in parentheses, with any characters. The third is the state, the 22nd the start time.
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? "exited" : fields[19];
}

async function identifyThisProcess(): Promise<string> {
  const machine = await machineIdentity();
  const start = machine === unknown ? undefined : await startTime(process.pid);
  // With a machine but no start time, others would take this process for dead.
  return start === undefined ? `${unknown}.${process.pid}.0` : `${machine}.${process.pid}.${start}`;
}

let thisProcess: Promise<string> | undefined;

// --- combinators

/** The identity of this process. */
export function processId(): Promise<string> {
  return thisProcess ??= identifyThisProcess();
}

/**
 * Whether the process of an identity is running.
 *
 * @param id An identity from {@link processId}, of any machine.
 * @returns `unknown` for a process of another machine, and where the system does not tell.
 */
export async function processStatus(id: string): Promise<ProcessStatus> {
  const [machine, pid, start] = id.split(".");
  const here = (await processId()).split(".")[0];
  if (machine === unknown || machine !== here) return "unknown";
  const found = await startTime(Number(pid));
  if (found !== undefined) return found === start ? "alive" : "dead";
  // The process table may hide other users' processes, but a signal reaches them.
  if (!isGranted({ name: "run" })) return "unknown";
  try {
    process.kill(Number(pid), 0);
    return "alive";
  } catch (cause) {
    return Object(cause).code === "ESRCH" ? "dead" : "alive";
  }
}
