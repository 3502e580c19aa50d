/**
 * `dogear inspect`, and the statistics of tensors.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { statistics } from "../../lib/cli/statistics.ts";
import { heldBytes } from "../../lib/state/array.ts";
import { copied, dogear, flip, inside, json, run } from "../support/command_line.ts";
import { torture } from "../support/torture.ts";

test("inspect: shows a checkpoint and its components", async () => {
  const { code, text } = await dogear("inspect", `${run}@1`);
  assert.equal(code, 0);
  const [about, components] = text.split("\n\n") as [string, string];
  assert.match(
    about,
    /^checkpoint {2}1 in .*\nsaved .*Z\nby {10}dogear .*\nrun .*, after checkpoint 0\nstep {8}20\nmetrics {5}loss 0.05/,
  );
  assert.equal(
    components,
    [
      "component  kind         about",
      "model      LayersModel  2 layers, 17 parameters",
      "w          Variable     float32 [6]",
      "rng        Rng          xoroshiro128plus",
      'note       record       text "a\\u001b[31mb", c/d [1n, -0]',
      "step       number       20",
    ].join("\n"),
  );
  const { value } = await json("inspect", run);
  const { checkpoint, step, parent, components: found } = value;
  assert.deepEqual([checkpoint, step, parent], [2, 30, 1]);
  assert.deepEqual(found[1], {
    name: "w",
    kind: "Variable",
    tensors: 1,
    elements: 6,
    files: ["state/w.safetensors"],
    about: "float32 [6]",
  });
});

test("inspect: shows shape, range, mean, NaN count and histogram of a tensor", async () => {
  const expected = [
    "dtype       float32",
    "shape       [6]",
    "file        state/w.safetensors",
    "elements    6",
    "range       -2 to 6",
    "mean        1, standard deviation 3",
    "NaN         1",
    "infinite    1",
    "zero        2",
    "",
    "  -2 to -1.2  ###############                 1",
    "-1.2 to -0.4                                  0",
    " -0.4 to 0.4  ##############################  2",
    "  0.4 to 1.2                                  0",
    "    1.2 to 2                                  0",
    "    2 to 2.8                                  0",
    "  2.8 to 3.6                                  0",
    "  3.6 to 4.4                                  0",
    "  4.4 to 5.2                                  0",
    "    5.2 to 6  ###############                 1",
  ].join("\n");
  assert.deepEqual(await dogear("inspect", run, "w/value"), { code: 0, text: expected, said: "" });
  assert.ok((await dogear("inspect", `${run}@0`, "w")).text.endsWith(expected));
  const { value } = await json("inspect", `${run}@latest`, "w/value");
  const { statistics: found, parts } = value;
  const { histogram, ...rest } = found;
  assert.deepEqual(rest, {
    of: "elements",
    count: 6,
    nan: 1,
    infinite: 1,
    zeros: 2,
    min: -2,
    max: 6,
    mean: 1,
    deviation: 3,
  });
  assert.equal(histogram.length, 10);
  assert.deepEqual(parts, [{ path: "w/value", dtype: "float32", shape: [6], file: "state/w.safetensors" }]);
});

test("inspect: finds a tensor by its path or by its name in the file", async () => {
  const byName = await dogear("inspect", run, "model/last/kernel");
  const byPath = await dogear("inspect", run, "model/layers/1/weights/kernel/value");
  assert.equal(byName.code, 0);
  assert.equal(byName.text, byPath.text);
  assert.match(byName.text, /shape {7}\[4, 1\]\n[^]*range {7}32 to 32\n/);
  const component = await dogear("inspect", run, "model", "--all");
  assert.match(component.text, /\nmodel\/layers\/0\/weights\/kernel\/value +float32 +\[2, 4\] first\/kernel\n/);
});

test("inspect: shows plain data leaf by leaf, with control characters escaped", async () => {
  const { text } = await dogear("inspect", run, "note");
  assert.equal(
    text,
    [
      "path         type    value",
      'note/text    string  "a\\u001b[31mb"',
      "note/c~1d/0  bigint  1n",
      "note/c~1d/1  number  -0",
    ].join("\n"),
  );
  assert.equal((await dogear("inspect", run, "note/text")).text.split("\n")[1], 'note/text  string  "a\\u001b[31mb"');
  const { value } = await json("inspect", run, "note/c~1d/0");
  assert.deepEqual(value.parts, [{ path: "note/c~1d/0", kind: "bigint", value: "1" }]);
});

test("inspect: an unknown part is an error that names the components; damaged tensors are not shown", async () => {
  const { code, said } = await dogear("inspect", run, "xyz/x");
  assert.equal(code, 2);
  assert.match(said, /found "xyz\/x". Its components are model, w, rng, note, step$/);
  assert.match((await dogear("inspect", run, "kernell")).said, /found "kernell". Did you mean model\/.*kernel/);
  assert.match(
    (await dogear("inspect", run, "model/las")).said,
    /found "model\/las". Did you mean model\/last\/kernel/,
  );
  const old = await dogear("inspect", run, "1");
  assert.equal(old.code, 2);
  assert.ok(old.said.endsWith(`. A checkpoint is written after its run: ${run}@1`), old.said);
  const path = await copied();
  await flip(inside(path, 2, "state/w.safetensors"));
  const damaged = await dogear("inspect", path, "w");
  assert.deepEqual([damaged.code, damaged.text], [1, ""]);
  assert.match(damaged.said, /state\/w\.safetensors: expected CRC-32/);
  assert.equal((await dogear("inspect", path, "model/last/kernel")).code, 0);
});

test("statistics: every number is counted once", () => {
  const numbers = fc.oneof(fc.float(), fc.constantFrom(NaN, Infinity, -Infinity, 0, -0, 3.4e38, -3.4e38));
  fc.assert(
    fc.property(fc.array(numbers, { maxLength: 50 }), (given) => {
      const array = Float32Array.from(given);
      const found = statistics(
        heldBytes("float32", [array.length], new Uint8Array(array.buffer)),
        new Uint8Array(array.buffer),
      );
      const finite = [...array].filter(Number.isFinite);
      assert.equal(found.count, array.length);
      assert.equal(found.nan, [...array].filter(Number.isNaN).length);
      assert.equal(found.infinite, array.length - finite.length - found.nan);
      assert.equal(found.zeros, finite.filter((x) => x === 0).length);
      assert.equal(found.histogram.reduce((sum, { count }) => sum + count, 0), finite.length);
      if (finite.length === 0) return assert.ok(Number.isNaN(found.min) && found.histogram.length === 0);
      assert.deepEqual([found.min + 0, found.max + 0], [Math.min(...finite) + 0, Math.max(...finite) + 0]);
      const mean = finite.reduce((sum, x) => sum + x, 0) / finite.length;
      assert.ok(Math.abs(found.mean - mean) <= 1e-9 * Math.max(1, Math.abs(found.max), Math.abs(found.min)));
      const edges = found.histogram.flatMap(({ from, to }) => [from, to]);
      assert.ok(edges.every((edge, i) => Number.isFinite(edge) && (i === 0 || edges[i - 1]! <= edge)));
      assert.deepEqual([edges[0]! + 0, edges.at(-1)! + 0], [found.min + 0, found.max + 0]);
    }),
    { numRuns: 300 * torture },
  );
  const strings = statistics(heldBytes("string", [2], new Uint8Array()), Uint8Array.of(1, 0, 0, 0, 65, 0, 0, 0, 0));
  assert.deepEqual([strings.of, strings.min, strings.max], ["lengths of strings in bytes", 0, 1]);
  const both = Float32Array.of(3, 4);
  const complex = statistics(heldBytes("complex64", [1], new Uint8Array()), new Uint8Array(both.buffer));
  assert.deepEqual([complex.of, complex.min, complex.max], ["real and imaginary parts", 3, 4]);
});
