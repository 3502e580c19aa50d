/**
 * The laws of capture and restore as functions: every kind of component, and every store, is held to the same ones.
 *
 * A law takes a {@link Subject} and rejects with an assertion where it does not hold.
 *
 * @module
 */
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import * as tf from "@tensorflow/tfjs";
import type { Either } from "fp-ts/lib/Either.js";
import { nameTensors } from "../../lib/checkpoint/tensor_names.ts";
import { isDType } from "../../lib/state/array.ts";
import {
  captureState,
  type Codecs,
  diff,
  type DogearError,
  explain,
  id,
  loadState,
  readSnapshot,
  release,
  restoreInto,
  restoreState,
  runOrThrow,
  saveState,
  type Snapshot,
  type Store,
} from "../../mod.ts";

// --- types

/** What a law is tried on. */
export interface Subject {
  /** Components of one structure, made anew at each call; their values may differ from call to call. */
  readonly make: () => object;
  /** What training does to them. */
  // deno-lint-ignore no-explicit-any -- each subject knows its own components
  readonly train?: (components: any) => unknown;
  /** What using the components shows of them, and may change: seen without any snapshot. */
  // deno-lint-ignore no-explicit-any -- each subject knows its own components
  readonly probe?: (components: any) => unknown;
  readonly codecs?: Codecs;
}

/** The part of tfjs's engine that its declarations keep private. */
interface Engine {
  readonly readSync: (dataId: tf.Tensor["dataId"]) => readonly Uint8Array[];
  readonly state: { readonly registeredVariables: Record<string, tf.Variable> };
  /** The engine's class counts the variables that it names. */
  readonly constructor: { readonly nextVariableId?: number };
}

function engine(): Engine {
  return tf.engine() as unknown as Engine;
}

// --- what can be seen

/** The right of an `Either`, or a failure with the error's own sentence. */
export function right<A>(result: Either<DogearError, A>): A {
  return result._tag === "Right" ? result.right : assert.fail(explain(result.left));
}

/** The left of an `Either`. */
export function left<E>(result: Either<E, unknown>): E {
  return result._tag === "Left" ? result.left : assert.fail("Expected a left, found a right");
}

function hex(array: ArrayBufferView): string {
  return Buffer.from(array.buffer, array.byteOffset, array.byteLength).toString("hex");
}

function bytesOf(tensor: tf.Tensor): string {
  // As a whole tfjs reads them as numbers, which may lose the bits of a NaN.
  if (tensor.dtype === "complex64") {
    return tf.tidy(() => [tf.real(tensor), tf.imag(tensor)].map((part) => hex(part.dataSync() as Float32Array)).join());
  }
  if (tensor.dtype !== "string") return hex(tensor.dataSync() as Float32Array);
  return engine().readSync(tensor.dataId).map(hex).join();
}

/** A variable's name as its user gave it: layers name theirs by paths, tfjs by numbers, and a name that is taken gets a number. */
function givenName({ name }: tf.Variable): string {
  return name.includes("/") || /^\d+$/.test(name) ? "" : name.replace(/_\d+$/, "");
}

/**
 * Plain data, tensors and variables as text that differs where their bits, their classes or the order of their names do; objects of
 * other classes by class alone.
 */
export function exact(value: unknown): string {
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "number") return Object.is(value, -0) ? "-0" : String(value);
  if (typeof value !== "object" || value === null) return JSON.stringify(value) ?? String(value);
  if (Array.isArray(value)) return `[${value.map(exact).join()}]`;
  if (ArrayBuffer.isView(value)) return `${value.constructor.name}:${hex(value)}`;
  if (value instanceof tf.Variable) {
    const name = givenName(value);
    return `variable ${JSON.stringify(name)} ${value.trainable} ${value.dtype}[${value.shape}]${bytesOf(value)}`;
  }
  if (value instanceof tf.Tensor) return `${value.dtype}[${value.shape}]${bytesOf(value)}`;
  if (Object.getPrototypeOf(value) !== Object.prototype) return value.constructor.name;
  return `{${Object.entries(value).map(([name, part]) => `${JSON.stringify(name)}:${exact(part)}`).join()}}`;
}

/** Every object in plain data once, with the path of its first place. */
function objectsOf(value: unknown, path = "", into: Map<object, string> = new Map()): ReadonlyMap<object, string> {
  if (typeof value !== "object" || value === null || into.has(value)) return into;
  into.set(value, path);
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) {
    for (const [name, part] of Object.entries(value)) objectsOf(part, `${path}/${name}`, into);
  }
  return into;
}

function isLive(value: object): boolean {
  return value instanceof tf.Variable || value instanceof tf.LayersModel || value instanceof tf.layers.Layer ||
    value instanceof tf.Optimizer;
}

/** The digest of components as they are now. */
export async function idOf(components: object, codecs: Codecs = {}): Promise<string> {
  using snapshot = captureState(components, { codecs });
  return await id(snapshot)();
}

/** What {@link observed} sees. */
export interface Observed {
  readonly digest: string;
  readonly text: string;
  readonly memory: tf.MemoryInfo;
  readonly registered: readonly string[];
}

/** Everything of a process that a capture, or a restore that fails, must leave as it was. */
export async function observed(components: object, codecs: Codecs = {}): Promise<Observed> {
  const digest = await idOf(components, codecs);
  const registered = Object.entries(engine().state.registeredVariables).map(([name, { id }]) => `${name} is ${id}`);
  return { digest, text: exact(components), memory: tf.memory(), registered };
}

// --- laws

/** Two snapshots are of one state: no difference, one digest. */
export async function assertSame(a: Snapshot<unknown>, b: Snapshot<unknown>): Promise<void> {
  assert.deepEqual(await diff(a, b)(), []);
  assert.deepEqual(await diff(b, a)(), []);
  assert.equal(await id(a)(), await id(b)());
}

async function assertCaptured(components: object, snapshot: Snapshot<unknown>, codecs: Codecs): Promise<void> {
  using again = captureState(components, { codecs });
  await assertSame(snapshot, again);
}

/** How many tensors a snapshot is of. */
function countTensors(snapshot: Snapshot<unknown>): number {
  return nameTensors(snapshot.encoded).flatMap(({ arrays }) => arrays)
    .filter(({ node }) => isDType(node.held.element)).length;
}

/**
 * Law *round trip*: afresh and into live components, the same state comes back, in as many tensors as it has; live objects stay the
 * objects they are, and each behaves as the original does.
 */
export async function roundTrip({ make, train, probe, codecs = {} }: Subject): Promise<void> {
  const made = make();
  await train?.(made);
  using snapshot = captureState(made, { codecs });

  const before = tf.memory().numTensors;
  const fresh = right(restoreState(snapshot, { codecs })) as object;
  assert.equal(
    tf.memory().numTensors - before,
    countTensors(snapshot),
    "a fresh restore leaves the tensors of the state",
  );
  await assertCaptured(fresh, snapshot, codecs);
  assert.equal(exact(fresh), exact(made));

  const live = make();
  const into = right(restoreInto(live, { codecs })(snapshot)()) as object;
  await assertCaptured(into, snapshot, codecs);
  assert.equal(exact(into), exact(made));
  const places = new Map([...objectsOf(into)].map(([object, path]) => [path, object]));
  for (const [object, path] of objectsOf(live)) {
    if (isLive(object)) assert.equal(places.get(path), object, `${path} is the live object`);
  }

  if (probe !== undefined) {
    const expected = await probe(made);
    assert.deepEqual(await probe(fresh), expected);
    assert.deepEqual(await probe(into), expected);
  }
}

/** Law *round trip*: live components that have trained on go back to a state from before, and keep no tensor of what came after. */
export async function backInto({ make, train, codecs = {} }: Subject): Promise<void> {
  using snapshot = captureState(make(), { codecs });
  const before = tf.memory().numTensors;
  const live = make();
  const built = tf.memory().numTensors - before;
  for (let step = 0; step < 2; step++) await train?.(live);
  const into = right(restoreInto(live, { codecs })(snapshot)()) as object;
  assert.equal(tf.memory().numTensors - before, built);
  await assertCaptured(into, snapshot, codecs);
}

/** Law *no trace*: capturing draws no random number, names no variable, makes no tensor, and all of the memory comes back. */
export async function noTrace({ make, train, codecs = {} }: Subject): Promise<void> {
  const components = make();
  await train?.(components);
  const before = await observed(components, codecs);
  const [{ numTensors }, { nextVariableId }] = [tf.memory(), engine().constructor];
  assert.ok(nextVariableId !== undefined);
  const random = Math.random;
  Math.random = () => assert.fail("a capture drew a random number");
  try {
    const snapshot = captureState(components, { codecs });
    assert.equal(tf.memory().numTensors, numTensors);
    await id(snapshot)();
    await diff(snapshot, snapshot)();
    release(snapshot)();
    release(snapshot)();
  } finally {
    Math.random = random;
  }
  assert.equal(engine().constructor.nextVariableId, nextVariableId);
  assert.deepEqual(await observed(components, codecs), before);
}

/** Law *immutable*: training on changes neither a snapshot nor another restore of it. */
export async function immutable({ make, train, codecs = {} }: Subject): Promise<void> {
  const components = make();
  using snapshot = captureState(components, { codecs });
  const digest = await id(snapshot)();
  const [a, b] = [restoreState(snapshot, { codecs }), restoreState(snapshot, { codecs })].map((r) =>
    right(r) as object
  );
  await train?.(components);
  await train?.(a);
  assert.equal(await id(snapshot)(), digest);
  assert.equal(await idOf(b as object, codecs), digest);
  if (train !== undefined) {
    assert.notEqual(await idOf(components, codecs), digest);
    assert.notEqual(await idOf(a as object, codecs), digest);
  }
}

/** Layers, models and variables that move every counter from which tfjs makes names. */
export function moveCounters(): void {
  const model = tf.sequential({ layers: [tf.layers.dense({ units: 1, inputShape: [1] })] });
  tf.model({ inputs: model.inputs, outputs: model.outputs });
  for (const layer of [tf.layers.lstm({ units: 1 }), tf.layers.dense({ units: 1 }), tf.layers.dropout({ rate: 0 })]) {
    layer.getConfig();
  }
  tf.variable(tf.scalar(0));
  model.dispose();
}

/** Law *canonical*: neither the names that tfjs makes up nor the order of the components are state. */
export async function canonical({ make, codecs = {} }: Subject): Promise<void> {
  const components = make();
  using snapshot = captureState(components, { codecs });
  moveCounters();
  await assertCaptured(right(restoreInto(make(), { codecs })(snapshot)()) as object, snapshot, codecs);
  await assertCaptured(Object.fromEntries(Object.entries(components).toReversed()), snapshot, codecs);
}

/** All of a state goes through a store: read as a snapshot and loaded into live components, it is the state that was saved. */
export async function throughStore(store: Store, { make, train, probe, codecs = {} }: Subject): Promise<void> {
  const components = make();
  await train?.(components);
  using snapshot = captureState(components, { codecs });
  const { checkpoint } = await runOrThrow(saveState(store, { codecs, id: true })(components));
  using read = await runOrThrow(readSnapshot(store, { checkpoint }));
  await assertSame(read, snapshot);
  const fresh = right(restoreState(read, { codecs })) as object;
  await assertCaptured(fresh, snapshot, codecs);
  assert.equal(exact(fresh), exact(components));
  const loaded = await runOrThrow(loadState(store, { codecs, checkpoint })(make()));
  await assertCaptured(loaded, snapshot, codecs);
  if (probe !== undefined) {
    const expected = await probe(components);
    assert.deepEqual(await probe(fresh), expected);
    assert.deepEqual(await probe(loaded), expected);
  }
}

/**
 * Law *all or nothing*: an attempt that fails leaves everything bit for bit as it was.
 *
 * @returns The attempt's error.
 */
export async function allOrNothing<E>(
  components: object,
  attempt: () => Either<E, unknown> | Promise<Either<E, unknown>>,
  codecs: Codecs = {},
): Promise<E> {
  const before = await observed(components, codecs);
  const result = await attempt();
  assert.deepEqual(await observed(components, codecs), before);
  return left(result);
}
