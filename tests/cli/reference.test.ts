/**
 * References: the names of runs and checkpoints on the command line.
 */
import assert from "node:assert/strict";
import { cp } from "node:fs/promises";
import { test } from "node:test";
import fc from "fast-check";
import { type CheckpointName, parseReference } from "../../lib/cli/reference.ts";
import type { Entry } from "../../mod.ts";
import { dogear, inside, json, place, run, runStore } from "../support/command_line.ts";

const forms: readonly (readonly [text: string, run: string, checkpoint?: CheckpointName])[] = [
  ["runs/digits", "runs/digits"],
  [".", "."],
  ["12", "12"],
  ["latest", "latest"],
  ["runs/digits@12", "runs/digits", { number: 12 }],
  ["runs/digits@0", "runs/digits", { number: 0 }],
  ["@12", "before", { number: 12 }],
  ["@latest", "before", { back: 0 }],
  ["runs/digits@latest", "runs/digits", { back: 0 }],
  ["runs/digits@latest~0", "runs/digits", { back: 0 }],
  ["runs/digits@latest~12", "runs/digits", { back: 12 }],
  ["runs/digits@best:val_loss:min", "runs/digits", { metric: "val_loss", mode: "min" }],
  ["runs/digits@best:val:loss:max", "runs/digits", { metric: "val:loss", mode: "max" }],
  ["runs/digits@best:acc@5:max", "runs/digits", { metric: "acc@5", mode: "max" }],
  ["runs/digits@best: a\nb:max", "runs/digits", { metric: " a\nb", mode: "max" }],
  // The run ends at the last @ that a checkpoint follows.
  ["a@1@2", "a@1", { number: 2 }],
  ["a@b@latest", "a@b", { back: 0 }],
  ["a@@3", "a@", { number: 3 }],
  // A folder with an @ in its last name is written with a slash.
  ["a@1/", "a@1/"],
  ["a@b/", "a@b/"],
  ["a@1/@2", "a@1/", { number: 2 }],
  ["node_modules/@scope/run", "node_modules/@scope/run"],
  ["node_modules/@scope/run@3", "node_modules/@scope/run", { number: 3 }],
  ["s3://bucket/runs/digits@3", "s3://bucket/runs/digits", { number: 3 }],
];

const badForms: readonly (readonly [text: string, found: string])[] = [
  ["runs/digits@", ""],
  ["runs/digits@nonsense", "nonsense"],
  ["runs/digits@Latest", "Latest"],
  ["runs/digits@-1", "-1"],
  ["runs/digits@1.5", "1.5"],
  ["runs/digits@012", "012"],
  ["runs/digits@99999999999999999999", "99999999999999999999"],
  ["runs/digits@latest~", "latest~"],
  ["runs/digits@latest~-1", "latest~-1"],
  ["runs/digits@best", "best"],
  ["runs/digits@best:loss", "best:loss"],
  ["runs/digits@best::min", "best::min"],
  ["runs/digits@best:loss:least", "best:loss:least"],
  ["runs/digits@12 ", "12 "],
  ["@", ""],
];

test("references: every form is parsed", () => {
  for (const [text, run, checkpoint] of forms) {
    const expected = checkpoint === undefined ? { text, run } : { text, run, checkpoint };
    assert.deepEqual(parseReference(text, "before"), { _tag: "Right", right: expected }, text);
  }
});

test("references: other forms are errors that list the valid ones", () => {
  for (const [text, found] of badForms) {
    const parsed = parseReference(text, "before");
    assert.ok(parsed._tag === "Left", text);
    const expected = "a number, latest, latest~1 or best:METRIC:min after the @";
    assert.equal(
      parsed.left.message,
      `Expected ${expected}, found ${JSON.stringify(found)}. A folder of this name is written ${text}/`,
    );
  }
  assert.equal(parseReference("")._tag, "Left");
});

test("references: any run and checkpoint that are joined by @ are parsed as these", () => {
  const checkpoints = fc.oneof(
    fc.nat().map((number) => [`${number}`, { number }] as const),
    fc.nat().map((back) => [`latest~${back}`, { back }] as const),
    fc.stringMatching(/^[a-z/:]+$/).map((metric) => [`best:${metric}:max`, { metric, mode: "max" }] as const),
  );
  fc.assert(fc.property(fc.string({ minLength: 1 }), checkpoints, (run, [name, checkpoint]) => {
    const text = `${run}@${name}`;
    assert.deepEqual(parseReference(text), { _tag: "Right", right: { text, run, checkpoint } });
  }));
});

test("references: a checkpoint apart from its run is an error that shows the new form", async () => {
  for (
    const words of [
      ["inspect", run, "1"],
      ["inspect", run, "latest", "w"],
      ["verify", run, "1"],
      ["ls", run, "1"],
      ["diff", run, "0", "1"],
      ["diff", "0", "1"],
      ["export", run, "1", "--out", "x"],
    ]
  ) {
    const { code, text, said } = await dogear(...words);
    assert.deepEqual([code, text], [2, ""], words.join(" "));
    assert.match(said, /A checkpoint is written after its run: .+@(0|1|latest)(\n|$)/, words.join(" "));
  }
  assert.match((await dogear("diff", `${run}@0`, "1")).said, /RUN@1, or after another checkpoint of it: @1$/);
  // A run that has a checkpoint takes no second one.
  for (
    const words of [["diff", `${run}@0`, "@1", "model"], ["inspect", `${run}@0`, "1"], ["cp", `${run}@0`, "1", "2"]]
  ) {
    const { code, said } = await dogear(...words);
    assert.equal(code, 2);
    assert.doesNotMatch(said, /A checkpoint is written after/, words.join(" "));
  }
});

test("references: a path inside a run is an error that names the run", async () => {
  for (
    const [path, remedy] of [[inside(run, 1), `write ${run}@1`], [inside(run, 1, "state"), `write ${run}@1`]] as const
  ) {
    for (
      const words of [["ls", path], ["inspect", path, "w"], ["export", path, "--out", "x"], ["inspect", `${path}@1`]]
    ) {
      const { code, text, said } = await dogear(...words);
      assert.deepEqual([code, text], [2, ""], words.join(" "));
      assert.ok(said.startsWith("Expected the folder of a run") && said.includes(remedy), said);
    }
  }
  const { code, said } = await dogear("ls", `${run}/checkpoints`);
  assert.ok(code === 2 && said.includes(`of the run ${run}. Open that folder`), said);
});

test("references: find a checkpoint by number, distance from the newest, or best metric", async () => {
  const { location } = runStore;
  const at = async (...words: readonly string[]): Promise<unknown> => {
    const { code, value } = await json("inspect", ...words);
    return code === 0 ? value.checkpoint : value.error.message;
  };
  assert.deepEqual(
    await Promise.all(
      ["0", "2", "latest", "latest~0", "latest~2", "best:loss:min", "best:loss:max", "best:accuracy:max"].map((ref) =>
        at(`${location}@${ref}`)
      ),
    ),
    [0, 2, 2, 2, 0, 2, 0, 2],
  );
  assert.equal(await at(`${location}@latest~1`), 1);
  assert.match(`${await at(`${location}@7`)}`, /has no checkpoint 7/);
  assert.match(`${await at(`${location}@latest~3`)}`, /found 3 in/);
  assert.match(
    `${await at(`${location}@best:los:min`)}`,
    /has the metric "los"\. They have "loss", "accuracy"$/,
  );
  assert.match(`${await at(`${location}@nonsense`)}`, /after the @, found "nonsense"/);
  assert.equal((await json("inspect", `${location}@1`, "model")).value.location, runStore.locationOf(1));
  for (const words of [[`${location}@0`, `${location}@2`], [`${location}@0`, "@2"], [`${location}@0`, location]]) {
    const { code, value } = await json("diff", ...words);
    assert.deepEqual([code, value.left.checkpoint, value.right.checkpoint], [1, 0, 2]);
  }
  assert.deepEqual(
    (await json("verify", `${location}@1`)).value.checkpoints.map(({ checkpoint }: Entry) => checkpoint),
    [1],
  );
  const path = `${place()}@1`;
  await cp(run, path, { recursive: true });
  assert.equal(await at(`${path}/`), 2);
  assert.equal(await at(`${path}@latest`), 2);
  assert.equal(await at(`${path}@0`), 0);
});
