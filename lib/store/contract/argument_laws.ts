/**
 * Laws of misuse: the programmer's own mistakes are `TypeError`s, and change nothing.
 *
 * @module
 */

import { begin, bytes, type Laws, type MakeStore, numbersOf, read, right, same, save, typeError } from "./expect.ts";

// --- constructors

/** The laws, by their names. */
export const argumentLaws: Laws = {
  "a step after the end of a save, or during another step, is a TypeError": steps,
  "a chunk that is not a Uint8Array is a TypeError": chunks,
  "putting a part twice is a TypeError": twice,
  "a part name that leads out of the checkpoint is a TypeError, before the task runs": partNames,
  "the number of no checkpoint is a TypeError, before the task runs": numbers,
};

async function steps(make: MakeStore): Promise<void> {
  const store = await make();
  const over = await begin(store);
  await over.abort();
  await typeError("put after abort", () => over.put("a", [])());
  await typeError("commit after abort", () => over.commit(bytes())());
  await typeError("reuse after abort", () => over.reuse("a", { checkpoint: 0, name: "a" })());
  const busy = await begin(store);
  const first = busy.put("a", [bytes(1)])();
  await typeError("put during a put", () => busy.put("b", [bytes(2)])());
  right("put", await first);
  right("commit", await busy.commit(bytes())());
  await typeError("commit after commit", () => busy.commit(bytes())());
  same("list", await numbersOf(store), [0]);
  same("the part", await read(store, 0, "a"), bytes(1));
}

async function chunks(make: MakeStore): Promise<void> {
  const saving = await begin(await make());
  await typeError("put of a Float32Array", () => saving.put("a", [new Float32Array(1) as unknown as Uint8Array])());
}

async function twice(make: MakeStore): Promise<void> {
  const saving = await begin(await make());
  right("put", await saving.put("a", [])());
  await typeError("the second put", () => saving.put("a", [])());
}

const wrongNames = ["", "..", "../a", "a/..", "/a", "a/", "a/b/c", "a\\b", "C:a", "a\0", "snapshot.json", "\ud800"];

async function partNames(make: MakeStore): Promise<void> {
  const store = await make();
  await save(store);
  const saving = await begin(store);
  for (const name of wrongNames) {
    const shown = JSON.stringify(name);
    await typeError(`put ${shown}`, () => saving.put(name, []), "now");
    await typeError(`reuse as ${shown}`, () => saving.reuse(name, { checkpoint: 0, name: "a" }), "now");
    await typeError(`reuse of ${shown}`, () => saving.reuse("a", { checkpoint: 0, name }), "now");
    await typeError(`open ${shown}`, () => store.open(0, name), "now");
  }
  await saving.abort();
}

async function numbers(make: MakeStore): Promise<void> {
  const store = await make();
  const saving = await begin(store);
  for (const number of [-1, 0.5, NaN, 2 ** 53]) {
    await typeError(`open ${number}`, () => store.open(number, "a"), "now");
    await typeError(`manifest ${number}`, () => store.manifest(number), "now");
    await typeError(`remove ${number}`, () => store.remove(number), "now");
    await typeError(`reuse ${number}`, () => saving.reuse("a", { checkpoint: number, name: "a" }), "now");
  }
  await saving.abort();
}
