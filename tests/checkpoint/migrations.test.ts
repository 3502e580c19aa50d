/**
 * Migrations of manifests: the body of an older format is migrated to the newest one, and decoded as such.
 *
 * Only one format exists, so these tests invent two older ones.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { formatAfter, type Migration, migrations, seal, unseal } from "../../lib/checkpoint/migrations.ts";
import {
  decodeManifest,
  encodeManifest,
  format,
  type Manifest,
  type ManifestSummary,
} from "../../lib/checkpoint/manifest.ts";
import { componentText } from "../../lib/checkpoint/manifest_tree.ts";

type Body = Readonly<Record<string, unknown>>;

const summary: ManifestSummary = {
  run: "a run",
  step: 7,
  metrics: { loss: 0.5, ["__proto__"]: 1 },
  time: 1,
  parent: null,
  environment: { dogear: "0.1.0", tfjs: "4.22.0", runtime: "bun", backend: "cpu" },
  files: [],
};

/** The body of a manifest as this version writes it. */
const body: Body = JSON.parse(
  new TextDecoder().decode(
    encodeManifest(summary, [], [componentText(["list", [1, "two"]], [])]),
  ).replace(/^.*?"manifest":/, "").replace(/\}\n$/, ""),
);

/** The older bodies of the same checkpoint: its step had another name, and before that was given with its metrics, an object. */
const { step: at, ...rest } = body;
const second: Body = { ...rest, iteration: at };
const { iteration, metrics: _metrics, ...others } = second;
const first: Body = { ...others, progress: { iteration, metrics: { loss: 0.5 } } };

const way: readonly Migration[] = [
  (body) => {
    const { progress, ...rest } = body as Body;
    const { iteration, metrics } = progress as Body;
    return { ...rest, iteration, metrics: Object.entries(metrics as object) };
  },
  (body) => {
    const { iteration, ...rest } = body as Body;
    if (iteration === undefined) {
      throw { path: "iteration", kind: "missing", expected: "the step under its old name", found: "none" };
    }
    return { ...rest, step: iteration };
  },
];

function read(format: string, body: unknown): ReturnType<typeof decodeManifest> {
  return decodeManifest(seal(format, JSON.stringify(body)), way);
}

function plain(
  result: ReturnType<typeof decodeManifest>,
): Omit<Manifest, "state" | "bytes"> & { readonly tree: unknown } {
  if (result._tag === "Left") return assert.fail(JSON.stringify(result.left));
  const { state, bytes: _, ...rest } = result.right;
  return { ...rest, tree: state(() => assert.fail()) };
}

test("migrations: a manifest of an older format goes through each later migration, in order", () => {
  const newest = plain(decodeManifest(seal(format, JSON.stringify(body))));
  assert.equal(newest.step, 7);
  assert.deepEqual(plain(read("dogear/3", body)), newest);
  assert.deepEqual(plain(read("dogear/2", second)), newest);
  assert.deepEqual(plain(read("dogear/1", first)), {
    ...newest,
    metrics: { loss: 0.5 },
  });
});

test("migrations: nothing silent: a body of one format under the name of another is an error", () => {
  for (
    const [format, other] of [["dogear/1", second], ["dogear/1", body], ["dogear/2", first], ["dogear/2", body], [
      "dogear/3",
      first,
    ]] as const
  ) {
    assert.equal(read(format, other)._tag, "Left", `${format} ${JSON.stringify(other)}`);
  }
});

test("migrations: a later format is reported by its name, whatever follows the name; other names are damage", () => {
  assert.deepEqual(read("dogear/4", {}), { _tag: "Left", left: { newer: "dogear/4" } });
  const bytes = new TextEncoder().encode('{"format":"dogear/12" in another form');
  assert.deepEqual(decodeManifest(bytes), { _tag: "Left", left: { newer: "dogear/12" } });
  for (const name of ["dogear/0", "dogear/01", "dogear/-1", "dogear/1.0", "dogear/", "other/1", ""]) {
    const result = read(name, body);
    assert.ok(result._tag === "Left" && "problems" in result.left, name);
    const found = name === "" ? / characters of something else$/ : new RegExp(`^format ${name}$`);
    assert.match(result.left.problems[0]!.found, found);
  }
});

test("migrations: what a migration throws is a problem, never an exception", () => {
  const { iteration: _, ...without } = second;
  assert.deepEqual(read("dogear/2", without), {
    _tag: "Left",
    left: {
      problems: [{ path: "iteration", kind: "missing", expected: "the step under its old name", found: "none" }],
    },
  });
  fc.assert(
    fc.property(fc.constantFrom("dogear/1", "dogear/2"), fc.json(), (format, json) => {
      const result = decodeManifest(seal(format, json), way);
      return result._tag === "Left" && "problems" in result.left && result.left.problems.length > 0;
    }),
    { numRuns: 200 },
  );
});

test("migrations: nothing silent: each flipped bit of an older manifest is an error", () => {
  const bytes = seal("dogear/1", JSON.stringify(first));
  assert.equal(decodeManifest(bytes, way)._tag, "Right");
  for (let bit = 0; bit < 8 * bytes.length; bit++) {
    const flipped = Uint8Array.from(bytes);
    flipped[bit >> 3]! ^= 1 << (bit & 7);
    assert.equal(decodeManifest(flipped, way)._tag, "Left", `bit ${bit}`);
  }
});

test("migrations: the newest format, which is written, is the one that the migrations lead to", () => {
  assert.equal(formatAfter(migrations), format);
  assert.equal(formatAfter(way), "dogear/3");
  const bytes = encodeManifest(summary, [], []);
  assert.ok(new TextDecoder().decode(bytes).startsWith(`{"format":"${format}",`));
  assert.equal(unseal(bytes, migrations)._tag, "Right");
});
