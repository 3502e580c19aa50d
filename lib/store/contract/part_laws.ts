/**
 * Laws of the parts of a checkpoint: their bytes, digests and status.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import {
  begin,
  bytes,
  type Laws,
  left,
  type MakeStore,
  numbersOf,
  read,
  right,
  same,
  save,
  typeError,
} from "./expect.ts";
import { Rng } from "../../values/mod.ts";

// --- constructors

/** An integer from 0 below `end` for each call, the same in every run. */
function draws(seed: string): (end: number) => number {
  let rng = Rng.make(seed);
  return (end) => {
    const [drawn, next] = Rng.int(0, end)(rng);
    rng = next;
    return drawn;
  };
}

/** The laws, by their names. */
export const partLaws: Laws = {
  "a part reads back as it was put, for any division into chunks": roundTrip,
  "put returns the length, the CRC-32 with leading zeros, and the SHA-256 only if asked for": digests,
  "a producer can alternate between two arrays, filling one while the other is written": alternation,
  "read returns any range of a part, and fails with ETRUNC beyond its end": ranges,
  "put rejects with the exception that the chunks throw, and the save is over": throwingChunks,
  "a store copies the bytes that it receives and returns": copies,
  "a reused part remains after the removal of its checkpoint": reuse,
  "reuse of a missing part is false, and the part can be put": missingReuse,
  "the status of a part is its length and the number of checkpoints that share it": status,
  "opening a part that was never put fails with ENOENT and names the part": missingPart,
};

async function roundTrip(make: MakeStore): Promise<void> {
  const store = await make({ digest: "sha256" });
  const draw = draws("chunks");
  for (let i = 0; i < 12; i++) {
    const given = Array.from({ length: draw(8) }, () => Uint8Array.from({ length: draw(50) }, () => draw(256)));
    const whole = Uint8Array.from(given.flatMap((chunk) => [...chunk]));
    const stream = async function* (): AsyncGenerator<Uint8Array> {
      for (const chunk of given) yield await Promise.resolve(chunk);
    };
    const saving = await begin(store);
    const put = await saving.put("state/rng.safetensors", i % 2 === 0 ? stream() : given)();
    const { bytes: length, sha256 } = right("put", put);
    const checkpoint = right("commit", await saving.commit(whole)());
    same("the part", await read(store, checkpoint, "state/rng.safetensors"), whole);
    same("the manifest", right("manifest", await store.manifest(checkpoint)()), whole);
    same("PartDigest.bytes", length, whole.length);
    same("PartDigest.sha256", sha256, createHash("sha256").update(whole).digest("hex"));
  }
}

async function digests(make: MakeStore): Promise<void> {
  const saving = await begin(await make());
  const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
  // The check value of CRC-32/ISO-HDLC, a text whose CRC-32 starts with a zero, and no bytes.
  const parts = { a: ["1234", "56789"], b: ["ai"], c: [] };
  const expected = {
    a: { bytes: 9, crc32: "cbf43926" },
    b: { bytes: 2, crc32: crc32Of(ascii("ai")) },
    c: { bytes: 0, crc32: "00000000" },
  };
  for (const name of ["a", "b", "c"] as const) {
    same(`the digest of ${name}`, right("put", await saving.put(name, parts[name].map(ascii))()), expected[name]);
  }
  await saving.abort();
}

async function alternation(make: MakeStore): Promise<void> {
  const store = await make();
  const saving = await begin(store);
  const length = 300_000;
  const [even, odd] = [new Uint8Array(length), new Uint8Array(length)];
  const chunks = function* (): Generator<Uint8Array> {
    for (let i = 1; i <= 5; i++) yield (i % 2 === 0 ? even : odd).fill(i);
    even.fill(99);
  };
  right("put", await saving.put("a", chunks())());
  odd.fill(98);
  const checkpoint = right("commit", await saving.commit(bytes())());
  odd.fill(97);
  const found = await read(store, checkpoint, "a");
  same("the length", found.length, 5 * length);
  for (let i = 0; i < 5; i++) {
    const wrong = found.subarray(i * length, (i + 1) * length).find((byte) => byte !== i + 1);
    same(`a byte of chunk ${i} other than ${i + 1}`, wrong, undefined);
  }
}

async function ranges(make: MakeStore): Promise<void> {
  const store = await make();
  const whole = Uint8Array.from({ length: 1000 }, (_, i) => i * 7);
  const part = right("open", await store.open(await save(store, 0, { a: whole }), "a")());
  same("the length of the part", part.bytes, whole.length);
  const draw = draws("ranges");
  const drawn = Array.from({ length: 30 }, () => [draw(1001), draw(1001)] as const);
  for (const [from, length] of [[0, 1000], [1000, 0], [999, 2], [1000, 1], [500, 400], [0, 0], ...drawn] as const) {
    const into = new Uint8Array(length).fill(0xa5);
    const outcome = await part.read(into, from)();
    const what = `read of ${length} bytes from ${from} of 1000`;
    if (from + length <= whole.length) {
      right(what, outcome);
      same(what, into, whole.slice(from, from + length));
    } else {
      const { _tag, operation, code } = left(what, outcome);
      same(what, { _tag, operation, code }, { _tag: "StoreFailed", operation: "read", code: "ETRUNC" });
    }
  }
  await typeError("read from -1", () => part.read(new Uint8Array(1), -1)(), "now");
  await typeError("read from 0.5", () => part.read(new Uint8Array(1), 0.5)(), "now");
  await part.close();
  await part.close();
}

async function throwingChunks(make: MakeStore): Promise<void> {
  const store = await make();
  await save(store, 1, { a: bytes(1) });
  const saving = await begin(store);
  const cause = new Error("the batch is gone");
  const chunks = function* (): Generator<Uint8Array> {
    yield bytes(2);
    throw cause;
  };
  const found: unknown = await saving.put("a", chunks())().catch((thrown: unknown) => thrown);
  same("put rejects with the same exception", found === cause, true);
  await typeError("commit after it", () => saving.commit(bytes())());
  same("list", await numbersOf(store), [0]);
  same("the part committed before", await read(store, 0, "a"), bytes(1));
}

async function copies(make: MakeStore): Promise<void> {
  const store = await make();
  const [manifest, part] = [Buffer.of(5), Buffer.of(6)];
  const saving = await begin(store);
  right("put", await saving.put("a", [part])());
  right("commit", await saving.commit(manifest)());
  [manifest[0], part[0]] = [0, 0];
  right("manifest", await store.manifest(0)())[0] = 1;
  (await read(store, 0, "a"))[0] = 1;
  same("the manifest", right("manifest", await store.manifest(0)()), bytes(5));
  same("the part", await read(store, 0, "a"), bytes(6));
}

async function reuse(make: MakeStore): Promise<void> {
  const store = await make();
  const name = "state/optimizer.safetensors";
  const from = { checkpoint: await save(store, 0, { [name]: bytes(1, 2, 3) }), name };
  const saving = await begin(store);
  if (right("reuse", await saving.reuse(name, from)())) {
    await typeError("put of a reused part", () => saving.put(name, [])());
  }
  await saving.abort();
  const again = await begin(store);
  for (const taken of [name, "another"]) {
    const isReused = right("reuse", await again.reuse(taken, from)());
    if (!isReused) right("put", await again.put(taken, [bytes(1, 2, 3)])());
  }
  const number = right("commit", await again.commit(bytes(1))());
  right("remove", await store.remove(from.checkpoint)());
  for (const taken of [name, "another"]) same(taken, await read(store, number, taken), bytes(1, 2, 3));
}

async function missingReuse(make: MakeStore): Promise<void> {
  const store = await make();
  await save(store, 0, { a: bytes(1) });
  const saving = await begin(store);
  same("reuse of part b", right("reuse", await saving.reuse("b", { checkpoint: 0, name: "b" })()), false);
  same("reuse of checkpoint 7", right("reuse", await saving.reuse("a", { checkpoint: 7, name: "a" })()), false);
  right("put", await saving.put("b", [bytes(2)])());
  same("part b", await read(store, right("commit", await saving.commit(bytes())()), "b"), bytes(2));
}

async function status(make: MakeStore): Promise<void> {
  const store = await make();
  const { status } = store;
  if (status === undefined) return;
  const of = async (checkpoint: number, name: string) => right("status", await status(checkpoint, name)());
  const from = await save(store, 0, { a: bytes(1, 2, 3), b: bytes(4) });
  same("status", await of(from, "a"), { bytes: 3, links: 1 });
  const saving = await begin(store);
  const isReused = right("reuse", await saving.reuse("a", { checkpoint: from, name: "a" })());
  if (!isReused) right("put", await saving.put("a", [bytes(1, 2, 3)])());
  const next = right("commit", await saving.commit(bytes(1))());
  await save(store, 2, { a: bytes(1, 2, 3) });
  // A store that copies on its own side reuses a part, and shares no bytes.
  const { links } = await of(from, "a");
  same("links", links === 1 || (isReused && links === 2), true);
  same("status of the next", await of(next, "a"), { bytes: 3, links });
  same("status of a part not shared", await of(from, "b"), { bytes: 1, links: 1 });
  right("remove", await store.remove(from)());
  same("status after the removal", await of(next, "a"), { bytes: 3, links: 1 });
  const missing = left("status", await status(next, "b")());
  same("the code of a missing part", missing._tag === "StoreFailed" && missing.code, "ENOENT");
  same("a removed checkpoint", left("status", await status(from, "a")())._tag, "NoCheckpoint");
  await typeError("status of ../a", () => status(0, "../a")(), "now");
  await typeError("status of checkpoint -1", () => status(-1, "a")(), "now");
}

async function missingPart(make: MakeStore): Promise<void> {
  const store = await make();
  await save(store);
  const failed = left("open", await store.open(0, "state/rng.safetensors")());
  same("the failure", failed._tag === "StoreFailed" && failed.code, "ENOENT");
  const path = failed._tag === "StoreFailed" ? failed.path : "";
  same("its path starts with locationOf", path.startsWith(store.locationOf(0)), true);
  same("its path ends with the part's name", path.endsWith("rng.safetensors"), true);
}

// --- combinators

/** CRC-32 computed bit by bit from its definition. */
function crc32Of(data: Uint8Array): string {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return ((crc ^ 0xffffffff) >>> 0).toString(16).padStart(8, "0");
}
