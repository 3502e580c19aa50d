/**
 * File systems that are not a plain local disk, mounted for a test by Debian's packages.
 *
 * A program that needs a mount runs in its own mount and process namespace ({@link namespace}). When it ends, or is killed, the kernel ends
 * the file system's processes and unmounts it. Nothing else on the machine sees the mount.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { accessSync, existsSync, readFileSync } from "node:fs";
import { delimiter, dirname, join } from "node:path";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { root } from "../gate/runtimes.ts";
import { has } from "./portable.ts";

// --- types

/** The folders of one mount. */
interface Folders {
  /** The folder to mount. */
  readonly below: string;
  /** Where to mount it. */
  readonly mounted: string;
  /** Space for an image, or for other folders of the file system. */
  readonly scratch: string;
}

/** A kind of file system. */
export interface MountKind {
  readonly name: string;
  /** The programs that it needs, and, if it is part of the kernel, its name in `/proc/filesystems`. */
  readonly programs: readonly string[];
  readonly kernel?: string;
  /** Whether what is in the folder below is in the mount. */
  readonly showsBelow: boolean;
  /** Whether saves are refused, because no checkpoint is safe on it. */
  readonly isRefused?: boolean;
  /** The shell command that mounts it. */
  readonly command: (folders: Folders) => string;
  /** Whether that command ends when it is mounted. Others run as long as the mount exists. */
  readonly ends?: boolean;
}

// --- constructors

/** Whether this is root of the machine, not of a user namespace. */
const isRoot = has("/proc") && process.getuid?.() === 0 &&
  /\b4294967295\n/.test(readFileSync("/proc/self/uid_map", "utf8"));
const sftpServer = "/usr/lib/openssh/sftp-server";

/** The command for an image, a sparse file. The tests need a few megabytes. */
function image(scratch: string, make: string): string {
  return `truncate -s 256M ${scratch}/image && ${make} ${scratch}/image`;
}

function rclone({ below, mounted, scratch }: Folders, options: string): string {
  return `exec rclone mount ${below} ${mounted} --config ${scratch}/none --cache-dir ${scratch}/cache ${options}`;
}

function exFat({ mounted, scratch }: Folders): string {
  const folder = dirname(mounted);
  // The device is freed when nothing has it open any more.
  const device = `device=$(losetup --find --show ${scratch}/image) && exec 3<$device && losetup --detach $device`;
  const share = `mount --bind ${folder} ${folder} && mount --make-shared ${folder}`;
  // The unmount of a block device waits for an answer of the file system's process. That process must not do it itself when it is killed, so it
  // runs in a mount namespace without the mount.
  const apart = `mount.exfat-fuse $0 ${mounted} && mount --make-private ${folder} && umount ${mounted}`;
  const mount = `unshare --mount --propagation unchanged sh -c '${apart}' $device`;
  return [image(scratch, "mkfs.exfat"), device, share, mount].join(" && ");
}

function overlay({ below, mounted, scratch }: Folders): string {
  // Only root can write overlayfs's usual attributes. Without any, it renames no folder into one of the lower layer.
  const attributes = isRoot ? "" : ",userxattr";
  const options = `lowerdir=${below},upperdir=${scratch}/upper,workdir=${scratch}/staging${attributes}`;
  const mount = `mount -t overlay -o ${options} overlay ${mounted}`;
  // Without the change of its mode, only root could remove what overlayfs leaves.
  return `mkdir ${scratch}/upper ${scratch}/staging && ${mount} && chmod 700 ${scratch}/staging/work`;
}

/** The kinds. The first is the plain disk itself, whose counts the others must have. */
export const mountKinds: readonly MountKind[] = [
  {
    name: "a bind mount",
    programs: ["mount"],
    showsBelow: true,
    ends: true,
    command: ({ below, mounted }) => `mount --bind ${below} ${mounted}`,
  },
  {
    name: "bindfs",
    programs: ["bindfs"],
    showsBelow: true,
    command: ({ below, mounted }) => `exec bindfs -f ${below} ${mounted}`,
  },
  {
    name: "sshfs",
    programs: ["sshfs", "socat", sftpServer],
    showsBelow: true,
    command: ({ below, mounted }) => `exec socat EXEC:${sftpServer} 'EXEC:sshfs -f -o passive \\:${below} ${mounted}'`,
  },
  {
    name: "ntfs-3g with windows_names",
    programs: ["ntfs-3g", "mkntfs"],
    showsBelow: false,
    command: ({ mounted, scratch }) =>
      `${image(scratch, "mkntfs -F -Q -q")} && exec ntfs-3g -o windows_names,no_detach ${scratch}/image ${mounted}`,
  },
  {
    name: "exFAT",
    programs: ["mount.exfat-fuse", "mkfs.exfat", "losetup"],
    showsBelow: false,
    ends: true,
    command: exFat,
  },
  {
    name: "mergerfs over two folders",
    programs: ["mergerfs"],
    showsBelow: true,
    command: ({ below, mounted, scratch }) => `exec mergerfs -f ${scratch}:${below} ${mounted}`,
  },
  {
    name: "posixovl",
    programs: ["mount.posixovl"],
    showsBelow: true,
    command: ({ below, mounted }) => `exec mount.posixovl -S ${below} ${mounted} -- -f`,
  },
  {
    name: "rclone",
    programs: ["rclone"],
    showsBelow: true,
    isRefused: true,
    command: (folders) => rclone(folders, ""),
  },
  {
    name: "rclone with a write cache",
    programs: ["rclone"],
    showsBelow: true,
    isRefused: true,
    command: (folders) => rclone(folders, "--vfs-cache-mode writes"),
  },
  {
    name: "overlayfs over checkpoints",
    programs: ["mount"],
    kernel: "overlay",
    showsBelow: true,
    ends: true,
    command: overlay,
  },
];

/** A command that runs another one in its own mount and process namespaces, whose processes all end with it. Without root, as root of its own user namespace. */
export const namespace: readonly string[] = [
  "unshare",
  ...(isRoot ? [] : ["--user", "--map-root-user"]),
  "--mount",
  "--pid",
  "--fork",
  "--kill-child",
  "--mount-proc",
];

// --- combinators

/** Where programs are, also those that are for root alone. */
const searched = `${process.env["PATH"]}${delimiter}/usr/sbin${delimiter}/sbin`;

function isInstalled(program: string): boolean {
  return program.startsWith("/")
    ? existsSync(program)
    : searched.split(delimiter).some((folder) => existsSync(join(folder, program)));
}

function isDevice(path: string): boolean {
  try {
    accessSync(path, 6);
    return true;
  } catch {
    return false;
  }
}

/** Why this kind cannot be mounted here, as far as that can be seen without trying. */
export function whyNot({ programs, kernel }: MountKind): string | undefined {
  if (!has("/proc")) return "it needs Linux";
  const absent = ["unshare", ...programs].find((program) => !isInstalled(program));
  if (absent !== undefined) return `${absent} is not installed`;
  const known = readFileSync("/proc/filesystems", "utf8").split(/\s+/);
  if (kernel !== undefined && !known.includes(kernel)) return `the kernel has no ${kernel}`;
  if (kernel === undefined && !programs.includes("mount") && !isDevice("/dev/fuse")) {
    return "/dev/fuse cannot be opened";
  }
  return undefined;
}

function isMounted(path: string): boolean {
  return readFileSync("/proc/self/mountinfo", "utf8").split("\n").some((line) => line.split(" ")[4] === path);
}

/**
 * Mounts a file system, within {@link namespace}.
 *
 * @param kind The kind.
 * @param folders Its folders; `mounted` must exist.
 */
export async function mount(kind: MountKind, folders: Folders): Promise<void> {
  const child = spawn("sh", ["-c", kind.command(folders)], {
    cwd: root,
    env: { ...process.env, PATH: searched },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [said, ended, failed] = ["", false, false];
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (data) => said += data);
  child.on("error", (error) => [said, failed] = [`${error}`, true]);
  child.on("close", (code) => [ended, failed] = [true, code !== 0]);
  const until = performance.now() + 20_000;
  while (!isMounted(folders.mounted) || (kind.ends === true && !ended)) {
    assert.ok(!failed && performance.now() < until, `cannot mount ${kind.name}: ${said.trim()}`);
    await wait(5);
  }
}
