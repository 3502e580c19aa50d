/**
 * Law *old or new*, in every state that a crash can leave while one process saves; and the proof that a broken protocol is detected.
 *
 * In Bun alone, because the disk is simulated in memory. Two processes at once are in `old_or_new_crash_states_together.bun.test.ts`.
 *
 * @module
 */

import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import assert from "node:assert/strict";
import { posix } from "node:path";
import { test } from "node:test";
import type { FileSystem } from "../../lib/store/directory/file_system.ts";
import type { Saving } from "../../lib/store/store.ts";
import { Retention } from "../../mod.ts";
import {
  explore,
  type Explored,
  folder,
  holds,
  inTurn,
  layered,
  linking,
  type Mutation,
  nothing,
  removes,
  saves,
  type Scenario,
  type State,
} from "../support/crashes.ts";
import { torture } from "../support/torture.ts";
import { type Answer, fault, type Operation, watched } from "../support/watched_disk.ts";

// --- every state

const scenarios = {
  "a first save, which makes the folders": { during: saves("a", 1) },
  "a later save": { before: saves("a", 1), during: saves("a", 2) },
  "a save that links a file": { before: saves("a", 1), during: saves("a", 2, linking(0)) },
  "a save that links a file, and the removal of the one it links": {
    before: saves("a", 1),
    during: inTurn(saves("a", 2, linking(0)), removes("a", 0)),
  },
  "a save that keeps only itself": { keep: Retention.latest(1), before: saves("a", 1), during: saves("a", 2) },
  "two saves that keep two": {
    keep: Retention.latest(2),
    before: inTurn(saves("a", 1), saves("a", 2)),
    during: inTurn(saves("a", 3), saves("a", 4)),
  },
} satisfies Readonly<Record<string, Scenario>>;

test("old or new: every state after a crash in saves that keep one, and remove in place", async () => {
  const scenario: Scenario = {
    keep: Retention.latest(1),
    before: saves("a", 1),
    during: inTurn(saves("a", 2), saves("a", 3)),
  };
  holds("saves that keep one, and remove in place", [await explore(scenario, { disk: layered })]);
});

for (const [name, scenario] of Object.entries(scenarios)) {
  test(`old or new: every state after a crash in ${name}`, async () => holds(name, [await explore(scenario)]));
}

test("old or new: every state after a crash in a save, from every state after an earlier crash", async () => {
  const explored: Explored[] = [];
  const known = new Map<string, State>();
  for (const start of (await explore(scenarios["a save that keeps only itself"])).states) {
    explored.push(await explore({ start, during: saves("c", 9) }, {}, known));
  }
  holds("a save from every state after an earlier crash", explored);
});

interface Failure {
  /** How many consecutive operations fail. */
  readonly operations: number;
  /** The process that saves next. */
  readonly next: string;
  readonly keep?: Retention.Retention;
}

const failures: Readonly<Record<string, Failure>> = {
  "one operation of a save fails, and the process saves again": { operations: 1, next: "a" },
  "all operations of a save fail from one on, and the process saves again": { operations: Infinity, next: "a" },
  "a process is killed during a save, and another one saves": {
    operations: Infinity,
    next: "b",
    keep: Retention.latest(1),
  },
};

for (const [name, { operations, next, keep }] of Object.entries(failures)) {
  test(`old or new: every state after a crash when ${name}`, async () => {
    const explored: Explored[] = [];
    for (let first = 0, over = false; !over; first += Math.ceil(36 / torture ** 2)) {
      let [i, mended] = [0, false];
      const fails = (operation: Operation): Answer => {
        const place = i++ - first;
        return mended || place < 0 || place >= operations ? undefined : fault(operation, "EIO");
      };
      const during = inTurn(
        async (process) => {
          over = (await process("a").save(2))._tag === "Right" && i <= first;
          mended = next === "a";
        },
        saves(next, 3),
      );
      explored.push(
        await explore({ ...(keep && { keep }), before: saves("a", 1), during, status: "dead" }, {
          disk: (disk, process) => process === "a" ? watched(disk, fails) : disk,
        }),
      );
    }
    holds(name, explored);
  });
}

// --- broken protocols

/** A disk on which paths are replaced. */
function redirected(disk: FileSystem, to: (path: string) => string): FileSystem {
  return {
    ...disk,
    makeFolder: (path) => disk.makeFolder(to(path)),
    create: (path) => disk.create(to(path)),
    open: (path) => disk.open(to(path)),
    status: (path) => disk.status(to(path)),
    names: (path) => disk.names(to(path)),
    link: (from, path) => disk.link(to(from), to(path)),
    rename: (from, path) => disk.rename(to(from), to(path)),
    removeFile: (path) => disk.removeFile(to(path)),
    removeFolder: (path) => disk.removeFolder(to(path)),
    syncFolder: (path) => disk.syncFolder(to(path)),
  };
}

/** A disk that skips every operation with a name. */
function without(left: Operation["name"]): (disk: FileSystem) => FileSystem {
  return (disk) => watched(disk, ({ name }) => name === left ? "skip" : undefined);
}

/** Ways to break the protocol, and the violation that must be found. */
const mutations: Readonly<Record<string, Mutation & { readonly of: Scenario; readonly violation: RegExp }>> = {
  "no fsync of files": {
    of: scenarios["a later save"],
    violation: /^1 is lost|^{"_tag":"Damaged","checkpoint":1/,
    disk: without("sync"),
  },
  "the rename comes before the manifest": {
    of: scenarios["a later save"],
    violation: /^{"_tag":"Damaged","checkpoint":1.*the manifest/,
    disk: (disk) => {
      let renamed: readonly [from: string, to: string] | undefined;
      const moved = redirected(
        disk,
        (path) => renamed === undefined ? path : path.replace(...renamed),
      );
      return {
        ...moved,
        // The save must not find its own checkpoint when it searches for the next number.
        names: (path) =>
          pipe(disk.names(path), TE.map((names) => names.filter((name) => `${path}/${name}` !== renamed?.[1]))),
        create: (path) => {
          const own = posix.dirname(path);
          if (posix.basename(path) !== "snapshot.json") return moved.create(path);
          const to = `${folder}/checkpoint_1`;
          return pipe(
            disk.rename(own, to),
            TE.flatMap(() => {
              renamed = [own, to];
              return moved.create(path);
            }),
          );
        },
        rename: (from, to) => from === renamed?.[0] ? nothing : disk.rename(from, to),
      };
    },
  },
  "an old checkpoint is removed in place": {
    of: scenarios["a save that keeps only itself"],
    violation: /^{"_tag":"Damaged","checkpoint":0/,
    disk: (disk) => {
      const old = new Map<string, string>();
      const inPlace = redirected(
        disk,
        (path) => [...old].reduce((path, [removing, checkpoint]) => path.replace(removing, checkpoint), path),
      );
      return {
        ...inPlace,
        rename: (from, to) => {
          if (!posix.basename(to).startsWith(".removing-")) return disk.rename(from, to);
          old.set(to, from);
          return nothing;
        },
      };
    },
  },
  "no fsync of folders": {
    of: scenarios["a later save"],
    violation: /^1 is lost/,
    disk: without("syncFolder"),
  },
  "retention comes before the commit": {
    of: scenarios["two saves that keep two"],
    violation: /^1 is lost/,
    store: (store) => ({
      ...store,
      begin: pipe(
        store.begin,
        TE.map((saving): Saving => ({
          ...saving,
          commit: (manifest, after) =>
            pipe(
              store.list,
              TE.flatMap(TE.traverseSeqArray(store.remove)),
              TE.flatMap((): ReturnType<Saving["commit"]> => saving.commit(manifest, after)),
            ),
        })),
      ),
    }),
  },
};

for (const [name, { of, violation: expected, ...mutation }] of Object.entries(mutations)) {
  test(`a broken protocol is detected: ${name}`, async () => {
    const { broken } = await explore(of, mutation, new Map(), (why) => expected.test(why));
    assert.ok(broken.some((why) => expected.test(why)), `found:\n${broken.join("\n")}`);
  });
}

/** Skips one `fsync`, by its position among all, and reports its path. */
function skipping(position: number, onSkip: (path: string) => void): (disk: FileSystem) => FileSystem {
  let i = 0;
  return (disk) =>
    watched(disk, ({ name, path }) => {
      if (!["sync", "syncFolder"].includes(name) || i++ !== position) return undefined;
      onSkip(path);
      return "skip";
    });
}

for (
  const [name, count] of [
    ["a first save, which makes the folders", 9],
    ["a later save", 6],
    ["a save that keeps only itself", 7],
  ] as const
) {
  test(`durability: each of the ${count} fsyncs is necessary in ${name}`, async () => {
    const known = new Map<string, State>();
    for (let place = 0;; place++) {
      let left: string | undefined;
      const disk = skipping(place, (path) => left = path);
      const { broken } = await explore(scenarios[name], { disk }, known, () => true);
      if (left === undefined) return assert.equal(place, count);
      assert.ok(broken.length > 0, `nothing breaks without the fsync of ${left}`);
    }
  });
}
