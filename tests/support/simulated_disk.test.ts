/**
 * The simulated disk behaves like the local file system, and a simulated crash loses exactly what a real one may lose.
 */
import fc from "fast-check";
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";
import { blank, type Machine, machine, remains, type Tree } from "./simulated_disk.ts";
import { objectMounts, type Profile, profiles } from "./profiles.ts";
import { torture } from "./torture.ts";

const scratch = await mkdtemp(join(tmpdir(), "dogear-simulated-"));
after(() => rm(scratch, { recursive: true, force: true }));

// --- programs

/** An operation on a disk, below a folder; the result is text that is the same on both disks. */
interface Step {
  readonly text: string;
  readonly run: (disk: FileSystem, below: string) => Promise<string>;
}

async function answer<A>(
  task: () => Promise<{ _tag: "Left"; left: { code: string } } | { _tag: "Right"; right: A }>,
  show: (found: A) => string | Promise<string> = () => "done",
): Promise<string> {
  const result = await task();
  return result._tag === "Left" ? result.left.code : await show(result.right);
}

const folders = ["", "/a", "/a/b", "/c"];
const names = ["a", "b", "c"];
const path = fc.tuple(fc.constantFrom(...folders), fc.constantFrom(...names)).map(([folder, name]) =>
  `${folder}/${name}`
);
/** Two paths in one folder. */
const siblings = fc.tuple(fc.constantFrom(...folders), fc.constantFrom(...names), fc.constantFrom(...names))
  .map(([folder, from, to]) => [`${folder}/${from}`, `${folder}/${to}`] as const);

function step<A>(
  inputs: fc.Arbitrary<A>,
  name: string,
  run: (disk: FileSystem, input: A, below: string) => Promise<string>,
): fc.Arbitrary<Step> {
  return inputs.map((input) => ({
    text: `${name} ${input}`,
    run: (disk, below) => run(disk, input, below),
  }));
}

async function write(disk: FileSystem, path: string, bytes: readonly Uint8Array[], sync: boolean): Promise<string> {
  return await answer(disk.create(path), async (file) => {
    for (const some of bytes) assert.equal((await file.write(some)())._tag, "Right");
    if (sync) assert.equal((await file.sync())._tag, "Right");
    assert.equal((await file.close())._tag, "Right");
    return "written";
  });
}

async function read(disk: FileSystem, path: string): Promise<string> {
  return await answer(disk.open(path), async (file) => {
    const bytes = new Uint8Array(file.bytes + 1);
    const length = await answer(file.read(bytes, 0), String);
    assert.equal((await file.close())._tag, "Right");
    return `${length}: ${bytes}`;
  });
}

const content = fc.array(fc.uint8Array({ minLength: 1, maxLength: 4 }), { maxLength: 2 });

const steps: fc.Arbitrary<Step> = fc.oneof(
  step(path, "makeFolder", (disk, path, below) => answer(disk.makeFolder(below + path))),
  step(path, "makeFolder", (disk, path, below) => answer(disk.makeFolder(below + path))),
  step(
    fc.tuple(path, content, fc.boolean()),
    "write",
    (disk, [path, bytes, sync], below) => write(disk, below + path, bytes, sync),
  ),
  step(path, "read", (disk, path, below) => read(disk, below + path)),
  step(path, "status", (disk, path, below) => answer(disk.status(below + path), ({ kind }) => kind)),
  step(path, "names", (disk, path, below) => answer(disk.names(below + path), (names) => [...names].sort().join())),
  step(fc.tuple(path, path), "link", (disk, [from, to], below) => answer(disk.link(below + from, below + to))),
  step(siblings, "rename", (disk, [from, to], below) => answer(disk.rename(below + from, below + to))),
  // Deno also removes an empty folder here. The store never does this.
  step(path, "removeFile", async (disk, path, below) => {
    const names = await answer(disk.names(below + path), (names) => names.length > 0 ? "full" : "empty");
    if (names === "empty") return names;
    const removed = await answer(disk.removeFile(below + path));
    return names === "full" && ["EISDIR", "EPERM", "ENOTEMPTY"].includes(removed) ? "refused" : removed;
  }),
  step(path, "removeFolder", (disk, path, below) => answer(disk.removeFolder(below + path))),
  // On a file, the local file system syncs its contents. The store never does this.
  step(path, "syncFolder", async (disk, path, below) => {
    const names = await answer(disk.names(below + path));
    return names === "done" ? await answer(disk.syncFolder(below + path)) : names;
  }),
);

/** Makes files and folders for the programs, and tries the operations whose failure the store relies on. */
async function furnish(disk: FileSystem, below: string): Promise<void> {
  for (const path of ["/a", "/a/b", "/c"]) assert.equal(await answer(disk.makeFolder(below + path)), "done");
  for (const path of ["/a/a", "/a/b/c", "/b"]) await write(disk, below + path, [Uint8Array.of(7)], false);
  assert.equal(await answer(disk.makeFolder(`${below}/a`)), "EEXIST");
  assert.equal(await answer(disk.create(`${below}/b`)), "EEXIST");
  assert.equal(await answer(disk.rename(`${below}/c`, `${below}/a`)), "ENOTEMPTY");
  assert.equal(await answer(disk.removeFolder(`${below}/a`)), "ENOTEMPTY");
}

/** The contents of a disk below a path, as text. */
async function seen(disk: FileSystem, path: string): Promise<string> {
  const names = await disk.names(path)();
  if (names._tag === "Left") return await read(disk, path);
  const inner = await Promise.all(
    [...names.right].sort().map(async (name) => `${name}=${await seen(disk, `${path}/${name}`)}`),
  );
  return `{${inner}}`;
}

function shown(tree: Tree): string {
  if (tree instanceof Uint8Array) return `${tree.length}: ${Uint8Array.from([...tree, 0])}`;
  return `{${[...tree].sort(([a], [b]) => a < b ? -1 : 1).map(([name, inner]) => `${name}=${shown(inner)}`)}}`;
}

test("simulated disk: any program gets the same results and leaves the same files as on the local file system", async () => {
  let made = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 25 }), async (program) => {
      const below = join(scratch, `${made++}`);
      const simulated = machine(blank).process("a");
      assert.equal((await localFileSystem.makeFolder(below)())._tag, "Right");
      for (const [disk, path] of [[localFileSystem, below], [simulated, ""]] as const) await furnish(disk, path);
      for (const { text, run } of program) {
        const [expected, found] = [await run(localFileSystem, below), await run(simulated, "")];
        assert.equal(found, expected, text);
      }
      assert.equal(await seen(simulated, "/"), await seen(localFileSystem, below));
    }),
    { numRuns: 100 * torture },
  );
});

// --- crashes

function left(simulated: Machine): readonly string[] {
  return [...remains(simulated.image())].map(({ tree }) => shown(tree));
}

test("simulated disk: a crash may keep or lose changes since the last sync, and nothing that is durable", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(steps, { maxLength: 6 }), fc.array(steps, { maxLength: 7 }), async (before, program) => {
      const simulated = machine(blank);
      const disk = simulated.process("a");
      for (const { run } of before) await run(disk, "");
      simulated.settle();
      const durable = await seen(disk, "/");
      assert.deepEqual(left(simulated), [durable]);
      for (const { run } of program) await run(disk, "");
      const may = left(simulated);
      assert.ok(may.includes(await seen(disk, "/")), "all");
      if (!program.some(({ text }) => text.startsWith("syncFolder"))) assert.ok(may.includes(durable), "nothing");
      simulated.settle();
      assert.deepEqual(left(simulated), [await seen(disk, "/")]);
    }),
    { numRuns: 300 * torture },
  );
});

test("simulated disk: the states after a crash, listed for short programs", async () => {
  const cases: readonly (readonly [(disk: FileSystem) => Promise<unknown>, readonly string[]])[] = [
    [(disk) => write(disk, "/a", [Uint8Array.of(1, 2)], false), [
      "{}",
      "{a=0: 0}",
      "{a=1: 1,0}",
      "{a=2: 0,0,0}",
      "{a=2: 1,2,0}",
    ]],
    // fsync of a file does not make its name durable.
    [(disk) => write(disk, "/a", [Uint8Array.of(1, 2)], true), ["{}", "{a=2: 1,2,0}"]],
    [async (disk) => {
      await write(disk, "/a", [Uint8Array.of(1)], true);
      await disk.syncFolder("/")();
    }, ["{a=1: 1,0}"]],
    // A crash may keep the second of two changes of a folder, and lose the first.
    [async (disk) => {
      await disk.makeFolder("/a")();
      await disk.makeFolder("/b")();
    }, ["{a={},b={}}", "{a={}}", "{b={}}", "{}"]],
    // A crash keeps or loses a rename as a whole, so a folder never has two names.
    [async (disk) => {
      await disk.makeFolder("/a")();
      await disk.syncFolder("/")();
      await disk.rename("/a", "/b")();
    }, ["{a={}}", "{b={}}"]],
    [async (disk) => {
      await disk.makeFolder("/a")();
      await disk.rename("/a", "/b")();
    }, ["{a={}}", "{b={}}", "{}"]],
    // A folder whose name is durable may lose its contents.
    [async (disk) => {
      await disk.makeFolder("/a")();
      await disk.syncFolder("/")();
      await write(disk, "/a/b", [], true);
    }, ["{a={b=0: 0}}", "{a={}}"]],
    // A file with two names has the same bytes under both.
    [async (disk) => {
      await write(disk, "/a", [Uint8Array.of(1)], false);
      await disk.link("/a", "/b")();
      await disk.syncFolder("/")();
    }, ["{a=0: 0,b=0: 0}", "{a=1: 0,0,b=1: 0,0}", "{a=1: 1,0,b=1: 1,0}"]],
  ];
  for (const [program, expected] of cases) {
    const simulated = machine(blank);
    await program(simulated.process("a"));
    assert.deepEqual([...new Set(left(simulated))].sort(), [...expected].sort());
  }
});

// --- other systems

test("simulated disk: what systems answer otherwise than a local Linux disk", async () => {
  /** Makes /a with a file in it, and an empty /b. Then the answers of operations. */
  const answers = async (profile: Profile, ...run: readonly ((disk: FileSystem) => Promise<string>)[]) => {
    const disk = machine(blank, { profile }).process("a");
    for (const name of ["/a", "/b"]) await disk.makeFolder(name)();
    await write(disk, "/a/file", [Uint8Array.of(1)], true);
    const all: string[] = [];
    for (const one of run) all.push(await one(disk));
    return all.join(" ");
  };
  const onto = (disk: FileSystem) => answer(disk.rename("/a", "/b"));
  const away = (disk: FileSystem) => answer(disk.rename("/a", "/c"));
  const unlink = (disk: FileSystem) => answer(disk.removeFile("/a"));
  const link = (disk: FileSystem) => answer(disk.link("/a/file", "/a/link"));
  const sync = (disk: FileSystem) => answer(disk.syncFolder("/a"));
  const linux = "done";
  const expected: readonly (readonly [profile: Profile | undefined, onto: string, others: string])[] = [
    [{}, linux, "EISDIR done done done"],
    [profiles["Windows, Bun and Node"], "EPERM", "EPERM done done EBUSY"],
    [profiles["Windows, Deno"], "EACCES", "EACCES done done EACCES"],
    [profiles["macOS"], linux, "EPERM done done done"],
    [profiles["macOS, SMB"], linux, "EPERM ENOTSUP ENOTSUP done"],
    [profiles["macOS, macFUSE"], linux, "EPERM done EINVAL done"],
    [profiles["FUSE without links and fsync"], linux, "EISDIR ENOSYS ENOSYS done"],
    [profiles["sshfs"], "EPERM", "EPERM EPERM done done"],
    [objectMounts["no renames"], "ENOSYS", "EISDIR ENOSYS done ENOSYS"],
  ];
  for (const [profile, ontoFolder, others] of expected) {
    assert.equal(await answers(profile!, onto), ontoFolder);
    assert.equal(await answers(profile!, unlink, link, sync, away), others);
  }
});

test("simulated disk: on Windows nothing is renamed or removed while it is scanned or open", async () => {
  const profile = profiles["Windows, Bun and Node"]!;
  const disk = machine(blank, { profile }).process("a");
  await disk.makeFolder("/a")();
  await write(disk, "/a/file", [], false);
  for (const expected of ["EBUSY", "EBUSY", "done"]) assert.equal(await answer(disk.rename("/a", "/b")), expected);
  await answer(disk.open("/b/file"), async (file) => {
    assert.equal(await answer(disk.rename("/b", "/c")), "EPERM");
    assert.equal(await answer(disk.removeFile("/b/file")), "EBUSY");
    return await answer(file.close);
  });
  assert.equal(await answer(disk.removeFile("/b/file")), "done");
});

test("simulated disk: on NFS an open file stays under another name, is stale on other machines, and answers are lost", async () => {
  for (const [system, isSilly] of [["NFS", false], ["NFS on one machine", true]] as const) {
    const simulated = machine(blank, { profile: { ...profiles[system], losesAnswer: () => false } });
    const [a, b] = [simulated.process("a"), simulated.process("b")];
    await a.makeFolder("/a")();
    await write(a, "/a/file", [Uint8Array.of(1)], true);
    await answer(b.open("/a/file"), async (file) => {
      assert.equal(await answer(a.removeFile("/a/file")), "done");
      assert.equal(await answer(a.removeFolder("/a")), isSilly ? "ENOTEMPTY" : "done");
      assert.equal(await answer(file.read(new Uint8Array(1), 0), String), isSilly ? "1" : "ESTALE");
      const found = await answer(a.names("/a"), String);
      if (isSilly) assert.equal(await answer(a.removeFile(`/a/${found}`)), "EBUSY");
      else assert.deepEqual([await answer(b.status("/a")), await answer(b.status("/a"))], ["ESTALE", "ENOENT"]);
      return await answer(file.close);
    });
    if (isSilly) assert.equal(await answer(a.removeFolder("/a")), "done");
  }
  const disk = machine(blank, { profile: { network: "machines", losesAnswer: () => true } }).process("a");
  assert.equal(await answer(disk.makeFolder("/a")), "EEXIST");
  assert.equal(await answer(disk.rename("/a", "/b")), "ENOENT");
  assert.equal(await answer(disk.removeFolder("/b")), "ENOENT");
  assert.equal(await answer(disk.names("/"), String), "");
});

test("simulated disk: an object store's mount renames a folder file by file", async () => {
  let changes = 0;
  const simulated = machine(blank, { profile: objectMounts["renames file by file"], changed: () => void changes++ });
  const disk = simulated.process("a");
  await disk.makeFolder("/a")();
  for (const name of ["/a/1", "/a/2"]) await write(disk, name, [], true);
  changes = 0;
  await disk.rename("/a", "/b")();
  // The new folder, two files that each get a name and lose one, and the old folder.
  assert.equal(changes, 6);
  assert.deepEqual([await answer(disk.names("/"), String), await answer(disk.names("/b"), String)], ["b", "1,2"]);
});
