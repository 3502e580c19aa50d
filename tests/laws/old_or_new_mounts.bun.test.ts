/**
 * The store on file systems that are not a plain local disk: mounts of FUSE and of the kernel, wherever Debian's packages and the rights to mount
 * are there. Each mount is its own test; one that cannot be made here is left out, and its name says why.
 */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Ending, here, start } from "../support/children.ts";
import { type MountKind, mountKinds, namespace, whyNot } from "../support/mounts.ts";
import { skippedIf } from "../support/portable.ts";
import { torture } from "../support/torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-mounts-"));
after(() => rm(scratch, { recursive: true, force: true }));

/** Runs `on_mount.ts` to its end. */
async function onMount(
  { name }: MountKind,
  args: readonly string[],
  onLine: (line: string, kill: () => void) => void = () => {},
): Promise<Ending> {
  const folder = await mkdtemp(join(scratch, "mount-"));
  const child = start(here, "on_mount.ts", [folder, name, ...args], {
    through: namespace,
    onLine: (line) => onLine(line, () => child.kill("SIGKILL")),
  });
  return await child.ended;
}

/** Why a kind cannot be mounted here: it is mounted, and its process killed. */
async function reasonAgainst(kind: MountKind): Promise<string | undefined> {
  const known = whyNot(kind);
  if (known !== undefined) return known;
  const { signal, errors } = await onMount(kind, [], (line, kill) => line === "mounted" && kill());
  if (signal === "SIGKILL") return undefined;
  return /(?<=Error: )cannot mount .*|unshare: .*/.exec(errors)?.[0] ?? errors.trim().replaceAll(/\s+/g, " ");
}

const reasons = await Promise.all(mountKinds.map(reasonAgainst));

// --- the laws

const [kills, saves] = [2 * Math.min(torture, 5), 5 * Math.min(torture, 4)];

for (const [i, kind] of mountKinds.entries()) {
  const what = kind.isRefused === true
    ? "a save is refused, and checkpoints can be read"
    : `${kills} kills, four savers, a reader beside retention`;
  const title = `old or new, on ${kind.name}: ${what}`;
  skippedIf(reasons[i])(title, async () => {
    const { code, errors, lines } = await onMount(kind, [`${kills}`, `${saves}`]);
    assert.equal(code, 0, `after ${lines.join(", ")}:\n${errors}`);
  });
}

skippedIf("it needs an NFS server and a kernel that mounts it")("old or new, on NFS", () => {});

// --- unmounting

/** The command lines of all processes, the mounts and the loop devices that name the folder of this test. */
async function leftOf(folder: string): Promise<readonly string[]> {
  const processes = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map((id) => `/proc/${id}/cmdline`);
  const devices = (await readdir("/sys/block")).map((name) => `/sys/block/${name}/loop/backing_file`);
  const files = ["/proc/self/mountinfo", ...processes, ...devices];
  const texts = await Promise.all(files.map((file) => readFile(file, "utf8").catch(() => "")));
  return texts.flatMap((text) => text.replaceAll("\0", " ").split("\n").filter((line) => line.includes(folder)));
}

skippedIf(reasons.includes(undefined) ? undefined : "nothing can be mounted here")(
  "mounts: a program that is killed leaves no mount, process or device",
  async () => {
    // The kernel ends the processes shortly after the first one.
    for (let tries = 0; tries < 200 && (await leftOf(scratch)).length > 0; tries++) {
      await new Promise((done) => setTimeout(done, 10));
    }
    assert.deepEqual(await leftOf(scratch), []);
  },
);
