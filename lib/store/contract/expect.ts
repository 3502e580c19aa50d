/**
 * What the laws of a store are written with: comparisons that fail with what was expected and found, and short saves and reads.
 *
 * @module
 */

import type { Either } from "fp-ts/lib/Either.js";
import { inspect, isDeepStrictEqual } from "node:util";
import type { Saving, Store, StoreOptions } from "../mod.ts";

// --- types

/** Makes a new, empty store for each call. */
export type MakeStore = (options?: StoreOptions) => Promise<Store>;

/** A group of laws by their names. Each makes the stores that it needs. */
export type Laws = Readonly<Record<string, (make: MakeStore) => Promise<void>>>;

// --- constructors

/** Bytes of these values. */
export function bytes(...values: readonly number[]): Uint8Array {
  return Uint8Array.from(values);
}

/** Begins a save. */
export async function begin(store: Store): Promise<Saving> {
  return right("begin", await store.begin());
}

/** Commits a checkpoint of these parts, with a manifest of one byte. */
export async function save(
  store: Store,
  manifest = 0,
  parts: Readonly<Record<string, Uint8Array>> = {},
): Promise<number> {
  const saving = await begin(store);
  for (const [name, part] of Object.entries(parts)) right(`put ${name}`, await saving.put(name, [part])());
  return right("commit", await saving.commit(bytes(manifest))());
}

/** All bytes of a part. The array is not zero before, so that a short read is seen. */
export async function read(store: Store, checkpoint: number, name: string): Promise<Uint8Array> {
  const part = right(`open ${name} of checkpoint ${checkpoint}`, await store.open(checkpoint, name)());
  const into = new Uint8Array(part.bytes).fill(0xa5);
  right(`read ${name} of checkpoint ${checkpoint}`, await part.read(into, 0)());
  await part.close();
  return into;
}

/** The numbers that `list` gives. */
export async function numbersOf(store: Store): Promise<readonly number[]> {
  return right("list", await store.list());
}

// --- combinators

/** Fails unless both are deeply equal. Arrays of bytes are compared by their bytes. */
export function same(what: string, found: unknown, expected: unknown): void {
  const plain = (value: unknown): unknown => value instanceof Uint8Array ? new Uint8Array(value) : value;
  if (isDeepStrictEqual(plain(found), plain(expected))) return;
  throw new Error(`${what}: expected ${inspect(expected)}, found ${inspect(found)}`);
}

/** The value of a step that must succeed. */
export function right<A>(what: string, result: Either<unknown, A>): A {
  if (result._tag === "Right") return result.right;
  throw new Error(`${what}: expected success, found ${inspect(result.left)}`);
}

/** The error of a step that must fail. */
export function left<E>(what: string, result: Either<E, unknown>): E {
  if (result._tag === "Left") return result.left;
  throw new Error(`${what}: expected a failure, found ${inspect(result.right)}`);
}

/** Fails unless a call throws a `TypeError`, or rejects with one. With `now` it must throw before a task runs. */
export async function typeError(what: string, call: () => unknown, when?: "now"): Promise<void> {
  let found: unknown = "no error";
  try {
    const result = call();
    if (when === "now") found = "no error at the call";
    else await result;
  } catch (thrown) {
    found = thrown;
  }
  if (!(found instanceof TypeError)) throw new Error(`${what}: expected a TypeError, found ${inspect(found)}`);
}
