import { captureState, directory, id, readSnapshot, restoreState, runOrThrow } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { formatAfter, migrations } from "../../lib/checkpoint/migrations.ts";

before(async () => void await tf.setBackend("cpu"));

/** A checkpoint of each format there has been, made once by the version that wrote it and never again, and its state's id. */
const formats: Readonly<Record<string, string>> = {
  "dogear-1": "1c0934caf11dc70616a3e2c5fc6eff54366f4d211db8803397effa8373c98866",
};

test("golden: a checkpoint of each format exists", () => {
  const read = Array.from(
    { length: migrations.length + 1 },
    (_, i) => formatAfter(migrations.slice(0, i)).replace("/", "-"),
  );
  assert.deepEqual(Object.keys(formats), read);
});

for (const [format, expected] of Object.entries(formats)) {
  test(`golden: a checkpoint of format ${format} is read, restored and captured with its original id`, async () => {
    const snapshot = await runOrThrow(
      readSnapshot(directory(fileURLToPath(new URL(`../data/golden/${format}`, import.meta.url)))),
    );
    assert.equal(await id(snapshot)(), expected);
    const restored = restoreState(snapshot);
    assert(restored._tag === "Right");
    assert.equal(await id(captureState(restored.right as object))(), expected);
    tf.disposeVariables();
  });
}
