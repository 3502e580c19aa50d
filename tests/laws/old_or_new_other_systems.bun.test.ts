/**
 * Laws *old or new* and *one line of history* on Windows, macOS, NFS and FUSE, as profiles of the simulated disk; and the mounts of object
 * stores, on which they do not hold.
 *
 * In Bun alone, because the disk is simulated in memory.
 *
 * @module
 */

import { test } from "node:test";
import { Retention } from "../../mod.ts";
import {
  explore,
  holds,
  interrupted,
  inTurn,
  linking,
  loads,
  removes,
  saves,
  savesOrNot,
  type Scenario,
  together,
} from "../support/crashes.ts";
import { profiles } from "../support/profiles.ts";

// --- every state after a crash

const scenarios: Readonly<Record<string, Scenario>> = {
  "a first save": { during: saves("a", 1) },
  "a save that links a file, and the removal of the one it links": {
    before: saves("a", 1),
    during: inTurn(saves("a", 2), removes("a", 0)),
  },
  "a save that keeps only itself": { keep: Retention.latest(1), before: saves("a", 1), during: saves("a", 2) },
  "two saves at once of one run": {
    before: inTurn(saves("a", 1), loads("b")),
    during: together(savesOrNot("a", 2), savesOrNot("b", 3)),
    schedules: () => interrupted(45),
  },
};

for (const [system, profile] of Object.entries(profiles)) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    test(`old or new: every state after a crash in ${name} (${system})`, async () =>
      holds(`${name} (${system})`, [await explore({ ...scenario, profile })]));
  }
}
