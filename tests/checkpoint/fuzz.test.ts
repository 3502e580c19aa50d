/**
 * The readers of a checkpoint's bytes, on inputs that are nearly right: half of them headers of safetensors, half manifests. They answer,
 * with no more memory than the input, and change nothing; what they accept, a second judge of the format does.
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import fc from "fast-check";
import { readCheckpoint } from "../../lib/checkpoint/read.ts";
import { seal } from "../../lib/checkpoint/migrations.ts";
import { decodeManifest, format } from "../../lib/checkpoint/manifest.ts";
import { decodeHeader, encodeHeader } from "../../lib/checkpoint/safetensors.ts";
import { isPartName } from "../../lib/store/checks.ts";
import type { Store } from "../../lib/store/store.ts";
import { heldBytes } from "../../lib/state/array.ts";
import { memory, Rng, runOrThrow, saveState } from "../../mod.ts";
import { torture } from "../support/torture.ts";

// --- inputs

/** Draws of a seed, for inputs that are made quickly and again from their seed alone. */
interface Draw {
  /** A whole number from 0, less than this. */
  readonly below: (n: number) => number;
  readonly of: <A>(choices: readonly A[]) => A;
}

function draws(seed: number): Draw {
  let state = seed >>> 0;
  // Mulberry32.
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  const below = (n: number): number => Math.floor(next() * n);
  return { below, of: (choices) => choices[below(choices.length)]! };
}

/** Runs on so many inputs, each made from a seed; fast-check tells which one it was. */
function onInputs(count: number, run: (draw: Draw) => void | Promise<void>): Promise<void> {
  return fc.assert(
    fc.asyncProperty(fc.integer(), async (seed) => await run(draws(seed))),
    { numRuns: count, endOnFailure: true },
  );
}

/** What a JSON reader may stumble over. */
const scraps: readonly string[] = [
  ...'{}[],:"\\-.0123456789eE \t\n\0\u007f',
  "null",
  "true",
  "{}",
  "[]",
  '""',
  "1",
  "2",
  "7",
  "1e999",
  "-0",
  "0.5",
  "01",
  "9007199254740991",
  "9007199254740992",
  "18446744073709551616",
  "\\u0061",
  "\\ud800",
  "\\ud83d\\ude00",
  "\ufeff",
  "😀",
  '"__proto__"',
  '"constructor"',
  '"__metadata__"',
  '"dtype"',
  '"shape"',
  '"data_offsets"',
  '"I8"',
  '"F4"',
  '"../x"',
  '"state/v.safetensors"',
  '"record"',
  '"kind"',
  '"shared"',
  '{"array":["float32",[1],0,"x"]}',
  '{"number":"NaN"}',
  '{"bigint":"7"}',
];

/** A text with a few small changes: at any place, or at the JSON tokens in it. */
function mutated(text: string, draw: Draw): string {
  for (let changes = draw.below(4); changes > 0; changes--) {
    const tokens = draw.below(2) === 0 ? [...text] : text.match(/"(?:[^"\\]|\\.)*"|[-+.\w]+|./gs) ?? [];
    const [at, length] = [draw.below(tokens.length + 1), draw.below(draw.below(2) === 0 ? 2 : 12)];
    const taken = tokens.slice(at, at + length);
    const [first = "", ...others] = taken;
    const put = draw.of<readonly string[]>([
      [],
      [draw.of(scraps)],
      [...taken, ...taken],
      [draw.of(tokens.concat("")), ...taken],
      [/^\d+$/.test(first) ? `${draw.below(6)}` : draw.of(scraps), ...others],
    ]);
    tokens.splice(at, length, ...put);
    text = tokens.join("");
  }
  return text;
}

/** Nothing of the process that no input may change. */
function prototypes(): readonly unknown[] {
  return [Object, Array, String, Number, Map, Uint8Array].map(({ prototype }) => [
    Reflect.ownKeys(prototype).length,
    Object.getPrototypeOf(prototype),
  ]);
}

const untouched = prototypes();

// --- headers of safetensors

/** A JSON value: the entries of an object, the items of an array, or the token of anything else. */
type Value = readonly (readonly [string, Value])[] | { readonly items: readonly Value[] } | string;

/**
 * The format's rules a second time, from the reference's description and in another way: the JSON first cut into tokens, then judged as a
 * whole. A name twice and numbers from 2^53 on it refuses, too.
 */
function judged(
  bytes: Uint8Array,
): readonly (readonly [string, string, readonly number[], number, number])[] | undefined {
  if (bytes.length < 8) return undefined;
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > 100_000_000n || Number(length) > bytes.length - 8) return undefined;
  const [head, data] = [bytes.subarray(8, 8 + Number(length)), bytes.length - 8 - Number(length)];
  const text = Buffer.from(head).toString("utf8");
  if (!Buffer.from(text).equals(head)) return undefined;
  const pattern =
    /"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?|true|false|null|[{}[\],:]/y;
  const tokens: string[] = [];
  for (let at = 0;;) {
    while (" \t\r\n".includes(text[at] ?? "x")) at++;
    if (at === text.length) break;
    pattern.lastIndex = at;
    const token = pattern.exec(text)?.[0];
    if (token === undefined) return undefined;
    at += token.length;
    tokens.push(token);
  }
  const bad = new Error("not the format");
  const check = (condition: boolean): void => {
    if (!condition) throw bad;
  };
  const take = (token: string): void => check(tokens.shift() === token);
  const stringOf = (token: string | undefined): string => {
    check(token?.[0] === '"' && [...token].every((character) => character >= " "));
    const string: string = JSON.parse(token ?? "");
    check(!/\p{Surrogate}/u.test(string));
    return string;
  };
  const value = (depth: number): Value => {
    const token = tokens.shift() ?? "";
    if (token !== "{" && token !== "[") {
      check(token !== "" && !"}],:".includes(token));
      if (token[0] === '"') stringOf(token);
      else if (/\d/.test(token)) check(Math.abs(Number(token)) < 1e308);
      return token;
    }
    check(depth < 128);
    const [end, entries, items]: [string, [string, Value][], Value[]] = [token === "{" ? "}" : "]", [], []];
    while (tokens[0] !== end) {
      if (entries.length + items.length > 0) take(",");
      if (end === "]") items.push(value(depth + 1));
      else {
        const name = stringOf(tokens.shift());
        take(":");
        check(!entries.some(([other]) => other === name));
        entries.push([name, value(depth + 1)]);
      }
    }
    take(end);
    return end === "}" ? entries : { items };
  };
  const entriesOf = (value: Value): readonly (readonly [string, Value])[] =>
    Array.isArray(value) ? value : assert.fail();
  const wholes = (value: Value | undefined): readonly number[] => {
    const items = typeof value === "object" && "items" in value ? value.items : undefined;
    if (items === undefined) throw bad;
    return items.map((item) => {
      check(typeof item === "string" && /^(0|[1-9]\d*)$/.test(item) && Number.isSafeInteger(Number(item)));
      return Number(item);
    });
  };
  const bits: Readonly<Record<string, number>> = {
    ...{ F4: 4, F6_E2M3: 6, F6_E3M2: 6, C64: 64 },
    ...Object.fromEntries(["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0"].map((name) => [name, 8])),
    ...{ F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8, I16: 16, U16: 16, F16: 16, BF16: 16 },
    ...{ I32: 32, U32: 32, F32: 32, F64: 64, I64: 64, U64: 64 },
  };
  try {
    check(tokens[0] === "{");
    const top = entriesOf(value(1));
    check(tokens.length === 0);
    const tensors = top.flatMap(([name, description]): [string, string, readonly number[], number, number][] => {
      if (name === "__metadata__") {
        check(description === "null" || Array.isArray(description));
        if (Array.isArray(description)) {
          for (const [, text] of description) check(typeof text === "string" && text[0] === '"');
        }
        return [];
      }
      check(Array.isArray(description));
      const fields = new Map(entriesOf(description));
      const dtype = fields.get("dtype");
      check(typeof dtype === "string" && dtype[0] === '"');
      const [shape, offsets] = [wholes(fields.get("shape")), wholes(fields.get("data_offsets"))];
      check(offsets.length === 2);
      const [type, [begin = 0, end = 0]] = [JSON.parse(String(dtype)) as string, offsets];
      check(Object.hasOwn(bits, type));
      const size = [...shape, bits[type] ?? 0].reduce((product, factor) => {
        check(product * BigInt(factor) < 2n ** 53n);
        return product * BigInt(factor);
      }, 1n);
      check(size % 8n === 0n && BigInt(end) - BigInt(begin) === size / 8n);
      return [[name, type, shape, begin, end]];
    });
    let covered = 0;
    for (const [, , , begin, end] of tensors.toSorted((a, b) => a[3] - b[3] || a[4] - b[4])) {
      check(begin === covered);
      covered = end;
    }
    check(covered === data);
    return tensors;
  } catch (cause) {
    if (cause !== bad) throw cause;
    return undefined;
  }
}

interface Vector {
  readonly name: string;
  readonly verdict: "ok" | "reject";
  readonly b64: string;
}

const { vectors }: { readonly vectors: readonly Vector[] } = JSON.parse(
  readFileSync(new URL("../data/safetensors_vectors.json", import.meta.url), "utf8"),
);

/** Files to start from: those that the reference has judged, and some of this writer. */
const files: readonly Uint8Array[] = [
  ...vectors.map(({ b64 }) => Uint8Array.from(Buffer.from(b64, "base64"))).filter(({ length }) => length < 4000),
  ...[0, 1, 3].map((count) => {
    const tensors = Array.from({ length: count }, (_, i) => ({ name: `${i}`, dtype: "F32" as const, shape: [i, 2] }));
    const { bytes, header } = encodeHeader(tensors, [["format", "pt"]]);
    const file = new Uint8Array(header.bytes);
    file.set(bytes);
    return file;
  }),
];

/** A file with a few changes; mostly the length before the header is that of the header again. */
function changedFile(draw: Draw): Uint8Array {
  const file = Uint8Array.from(draw.of(files));
  if (draw.below(8) === 0) {
    for (let flips = 1 + draw.below(3); flips > 0 && file.length > 0; flips--) {
      file[draw.below(file.length)]! ^= 1 << draw.below(8);
    }
    return file.subarray(0, draw.below(4) === 0 ? draw.below(file.length + 1) : file.length);
  }
  const length = file.length < 8 ? 0 : Number(new DataView(file.buffer).getBigUint64(0, true) & 0xffffn);
  const header = Buffer.from(mutated(Buffer.from(file.subarray(8, 8 + length)).toString("utf8"), draw));
  const data = draw.below(4) === 0 ? new Uint8Array(draw.below(40)) : file.subarray(8 + length);
  const prefix = new Uint8Array(8);
  const claimed = draw.below(8) === 0 ? BigInt(header.length) + BigInt(draw.below(5) - 2) : BigInt(header.length);
  new DataView(prefix.buffer).setBigUint64(0, BigInt.asUintN(64, claimed), true);
  return Uint8Array.from([...prefix, ...header, ...data]);
}

test("the second judge accepts nothing that the reference refuses, and most of what it accepts", () => {
  const verdicts = vectors.map((vector) => ({
    ...vector,
    accepted: judged(Uint8Array.from(Buffer.from(vector.b64, "base64"))) !== undefined,
  }));
  assert.deepEqual(
    verdicts.filter(({ verdict, accepted }) => accepted && verdict === "reject").map(({ name }) => name),
    [],
  );
  const refused = verdicts.filter(({ verdict, accepted }) => !accepted && verdict === "ok");
  assert.ok(refused.length <= 4, refused.map(({ name }) => name).join());
});

const half = 5000 * torture;

test(`of ${half} headers that are nearly right, the reader refuses what the second judge does, and reads the others as it does`, async () => {
  let accepted = 0;
  await onInputs(half, (draw) => {
    const file = changedFile(draw);
    const [header, own] = [decodeHeader(file, file.length), judged(file)];
    if (header._tag === "Left") {
      assert.ok(header.left.length > 0);
      assert.equal(own, undefined, Buffer.from(file.subarray(8)).toString());
      return;
    }
    accepted++;
    assert.ok(own !== undefined, Buffer.from(file.subarray(8)).toString());
    assert.deepEqual(
      header.right.tensors.map(({ name, dtype, shape, begin, end }) => [name, dtype, [...shape], begin, end]).sort(),
      own.map((tensor) => [...tensor]).sort(),
    );
  });
  assert.deepEqual(prototypes(), untouched);
  assert.ok(accepted > half / 20 && accepted < half / 2, `${accepted} were accepted`);
});

// --- manifests

/** The parts of a checkpoint, and its manifest's body. */
async function checkpoint(): Promise<{ readonly store: Store; readonly body: string }> {
  const store = memory();
  const numbers = [1, -0, NaN, 2n, "é", null, true];
  const state = {
    numbers,
    ["a/b"]: { x: Uint8Array.of(1, 2), y: Float32Array.of(0.5) },
    rng: Rng.make(1),
    step: 3,
    ["__proto__"]: 4,
  };
  const metrics = { loss: 0.5, ["__proto__"]: 1, constructor: 2 };
  await runOrThrow(saveState(store, { metrics, id: true })(state));
  const manifest = await store.manifest(0)();
  const text = manifest._tag === "Right" ? Buffer.from(manifest.right).toString() : assert.fail();
  return { store, body: text.slice(text.indexOf('"manifest":') + 11, -2) };
}

test(`of ${half} manifests that are nearly right, each is refused or read, and what it names is read within its files`, async () => {
  const { store, body } = await checkpoint();
  let [accepted, loaded] = [0, 0];
  await onInputs(half, async (draw) => {
    const text = mutated(body, draw);
    const bytes = draw.below(10) === 0
      ? Buffer.from(mutated(Buffer.from(seal(format, body)).toString(), draw))
      : seal(format, text);
    const manifest = decodeManifest(bytes);
    if (manifest._tag === "Left") {
      assert.ok("newer" in manifest.left || manifest.left.problems.length > 0);
      return;
    }
    accepted++;
    // Whatever it says, it is data of the types that are promised, and leads nowhere.
    const { files, arrays, metrics, state } = manifest.right;
    for (const { name } of files) assert.ok(isPartName(name), name);
    for (const { file } of arrays) assert.ok(files[file] !== undefined);
    assert.ok(Object.values(metrics).every((metric) => typeof metric === "number"));
    assert.equal(Object.getPrototypeOf(metrics), Object.prototype);
    state(({ element, shape }) => heldBytes(element, shape, new Uint8Array()));
    // Reading it asks for no byte that its files have not.
    const forged: Store = {
      ...store,
      manifest: () => () => Promise.resolve({ _tag: "Right", right: bytes }),
      open: (number, name) => async () => {
        const part = await store.open(number, name)();
        if (part._tag === "Left") return part;
        const { read, ...rest } = part.right;
        return {
          _tag: "Right",
          right: {
            ...rest,
            read: (into, position) => {
              assert.ok(position + into.length <= rest.bytes);
              return read(into, position);
            },
          },
        };
      },
    };
    const read = await readCheckpoint(forged, 0)();
    if (read._tag === "Right") loaded++;
    else assert.equal(read.left._tag, "Damaged");
  });
  assert.deepEqual(prototypes(), untouched);
  assert.ok(
    accepted > half / 20 && accepted < (half * 3) / 4 && loaded > half / 40,
    `${accepted} accepted, ${loaded} loaded`,
  );
});
