/**
 * `docs/troubleshooting.md` has a section for each tag of an error, and quotes what `explain` says.
 *
 * @module
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, test } from "node:test";
import { type DogearError, explain } from "../../mod.ts";
import { cleanUp, plainly, type Situation, situations } from "../support/situations.ts";

after(cleanUp);

const guide = readFileSync(new URL("../../docs/troubleshooting.md", import.meta.url), "utf8");

/** The error of each tag, in the order of the guide: one that real calls make (`tests/support/situations.ts`), or a value. */
const errors: { readonly [Tag in DogearError["_tag"]]: string | Extract<DogearError, { readonly _tag: Tag }> } = {
  Mismatch: "an added layer",
  CursorMismatch: "other data in train",
  NoCheckpoint: "an empty store",
  Damaged: "a damaged checkpoint, an older one",
  NewerFormat: { _tag: "NewerFormat", checkpoint: 12, found: "dogear/2", supported: "dogear/1" },
  Released: "a released snapshot",
  StoreFailed: {
    _tag: "StoreFailed",
    operation: "write",
    path: "/data/runs/digits/checkpoints/.saving-1f0c/model.safetensors",
    code: "ENOSPC",
    message: "no space left on device",
  },
  Overtaken: { _tag: "Overtaken", checkpoint: 12, step: 600, by: "bun 1.4.5 at 2026-01-31T12:00:00.000Z" },
  StepWentBack: { _tag: "StepWentBack", step: 1, parent: 12, parentStep: 600 },
  StepFailed: { _tag: "StepFailed", at: 41, cause: new RangeError("Invalid array length") },
  SourceFailed: { _tag: "SourceFailed", epoch: 0, position: 64, cause: new Error("no such image: 65.png") },
  DataFailed: "a data file that does not exist",
  Stopped: { _tag: "Stopped", signal: "SIGTERM", checkpoint: 12 },
  DeviceFailed: { _tag: "DeviceFailed", kernel: "TransposeProgram", message: "Shader validation error" },
  NotResumable: {
    _tag: "NotResumable",
    cause: "random",
    divergence: {
      from: 1,
      step: 2,
      resumed: "in this process",
      path: "noise",
      expected: "0.6",
      found: "0.9",
      places: 1,
    },
    evidence: ["Math.random was called once, first at train.ts:14:20"],
  },
  ProcessFailed: {
    _tag: "ProcessFailed",
    module: "file:///project/train.ts",
    found: "it ended early with exit code 1",
    output: "",
  },
};

const words = (text: string): string => text.replace(/\s+/g, " ").trim();

/** The sections of the guide: the tag of each, and the text that it quotes. */
const sections = [...guide.matchAll(/^### `(\w+)`\n+```text\n(.*?)```/gms)].map(([, tag = "", quote = ""]) => ({
  tag,
  quote,
}));

test("troubleshooting: each tag has a section", () => {
  assert.deepEqual(sections.map(({ tag }) => tag), Object.keys(errors));
  assert.equal(guide.match(/^### `/gm)?.length, sections.length);
});

for (const { tag, quote } of sections) {
  test(`troubleshooting: the sentence of ${tag} is what explain says`, async () => {
    const found = errors[tag as DogearError["_tag"]];
    const error = typeof found === "string" ? await (situations[found] as Situation)() : found;
    assert.equal(error._tag, tag);
    assert.equal(words(quote), words(typeof found === "string" ? plainly(explain(error)) : explain(error)));
  });
}
