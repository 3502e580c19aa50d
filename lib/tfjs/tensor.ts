/**
 * The kinds of tensors and variables, held and made without a copy.
 *
 * tfjs data is immutable and counted by reference in its backend: a variable's `assign` swaps its data id and never writes into the old
 * data. So one more reference holds a value at no cost, and a tensor over a held data id is made at none. That reference is in
 * no tensor, so `tf.memory().numTensors` does not show it and `tf.disposeVariables()` does not end it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type Kind, scalar, type Site, type Target } from "../component.ts";
import { isPlainRecord } from "../rules.ts";
import { entry, isBranch, type Node, record } from "../state_tree.ts";
import { checkData, readData } from "./device.ts";
import { type DType, fits, type Held, type Home, isDType, packStrings, typedView, unpackStrings } from "../tensor.ts";

// --- types

type DataId = tf.Tensor["dataId"];

interface Backend {
  incRef(dataId: DataId): void;
  disposeData(dataId: DataId): boolean;
  read(dataId: DataId): Promise<tf.TypedArray | Uint8Array[]>;
  readSync(dataId: DataId): tf.TypedArray;
  /** What the backend of the CPU and that of WebGPU know of a data id. */
  readonly data?: { get(dataId: DataId): Data };
  readonly tensorMap?: { get(dataId: DataId): Data };
  /** tfjs-node's native code, with TensorFlow's numbers for dtypes. */
  readonly binding?: { readonly TF_INT64: number; readonly TF_RESOURCE: number };
  /** Reads from WebGPU, and keeps no copy, as `read` does. */
  getBufferData?(resource: object): Promise<ArrayBuffer>;
  /** A view of the wasm backend's memory, which moves when that grows. */
  typedArrayFromHeap?(info: { dataId: DataId; shape: readonly number[]; dtype: DType }): tf.TypedArray;
}

/** A backend's own entry of a data id. */
interface Data {
  /** tfjs-node has TensorFlow's number for it. */
  readonly dtype: DType | number;
  readonly values?: unknown;
  /** Where it is on the GPU. */
  readonly resource?: object | null;
  readonly complexTensorInfos?: {
    readonly real: { readonly dataId: DataId };
    readonly imag: { readonly dataId: DataId };
  };
}

/** The part of tfjs's engine that its declarations keep private; see tfjs-core 4.22, `engine.ts`. */
interface Engine {
  readonly state: {
    readonly tensorInfo: {
      get(dataId: DataId): { readonly backend: Backend } | undefined;
      has(dataId: DataId): boolean;
    };
    readonly registeredVariables: Record<string, tf.Variable>;
    readonly activeScope: { readonly track: readonly tf.Tensor[] };
  };
  startScope(name: string): void;
  endScope(kept: readonly tf.Tensor[]): void;
  removeDataId(dataId: DataId, backend: Backend): void;
  makeTensor(values: tf.TypedArray | Uint8Array[], shape: readonly number[], dtype: DType): tf.Tensor;
  makeTensorFromTensorInfo(info: { dataId: DataId; shape: number[]; dtype: DType }): tf.Tensor;
  nextVariableId(): number;
}

function engine(): Engine {
  return tf.engine() as unknown as Engine;
}

// --- constructors

const classes = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/** The values as an array of their dtype: on cpu, a cast that loses nothing gives the same data another dtype. */
function inClass(values: tf.TypedArray, dtype: keyof typeof classes): tf.TypedArray {
  return values instanceof classes[dtype] ? values : new classes[dtype](values);
}

function bytesOf(values: tf.TypedArray | Uint8Array[], dtype: DType): Uint8Array {
  if (Array.isArray(values)) return packStrings(values);
  const array = dtype === "string" || dtype === "complex64" ? values : inClass(values, dtype);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Reads a value of a backend: on WebGPU past the copy that tfjs would keep until the tensor is disposed of. */
async function valuesOf(backend: Backend, dataId: DataId): Promise<tf.TypedArray | Uint8Array[]> {
  const { dtype, values, resource } = backend.tensorMap?.get(dataId) ?? {};
  if (backend.getBufferData === undefined || dtype === undefined || dtype === "complex64" || !resource || values) {
    checkData(backend, dataId);
    return await backend.read(dataId);
  }
  const { convertBackendValuesAndArrayBuffer } = tf.util;
  const bytes = await readData(backend, dataId, () => backend.getBufferData!(resource));
  return convertBackendValuesAndArrayBuffer(bytes, dtype as DType) as tf.TypedArray;
}

/** The parts of a complex tensor by turns, word by word: tfjs reads them as numbers, which lose the bits of a NaN. */
async function complexBytes(backend: Backend, dataId: DataId): Promise<Uint8Array> {
  const infos = (backend.data ?? backend.tensorMap)?.get(dataId).complexTensorInfos;
  // tfjs-node has no parts: TensorFlow has both by turns.
  if (infos == null) return bytesOf(inClass(await backend.read(dataId) as tf.TypedArray, "float32"), "complex64");
  const parts = await Promise.all([infos.real, infos.imag].map((part) => valuesOf(backend, part.dataId)));
  const arrays = parts.map((part) => inClass(part as tf.TypedArray, "float32"));
  const words = new Uint32Array(2 * (arrays[0]?.length ?? 0));
  for (const [k, { buffer, byteOffset, length }] of arrays.entries()) {
    new Uint32Array(buffer, byteOffset, length).forEach((word, i) => words[2 * i + k] = word);
  }
  return new Uint8Array(words.buffer);
}

/** One more tensor of a data id. */
function aliasOf(dataId: DataId, shape: readonly number[], dtype: DType): tf.Tensor {
  engine().state.tensorInfo.get(dataId)?.backend.incRef(dataId);
  return engine().makeTensorFromTensorInfo({ dataId, shape: shape.slice(), dtype });
}

/** The backend of a held value, looked for at each use: tfjs moves a value to the backend that first uses it there. */
function backendOf({ identity }: Held): Backend {
  const found = engine().state.tensorInfo.get(identity as DataId)?.backend;
  if (found !== undefined) return found;
  throw new TypeError("Expected a snapshot that is held until its bytes are read, found it released");
}

/** The home of values in tfjs's backends. */
const backends: Home = {
  read: async (held) => {
    const [backend, dataId, dtype] = [backendOf(held), held.identity as DataId, held.element as DType];
    if (dtype === "complex64") return await complexBytes(backend, dataId);
    return bytesOf(await valuesOf(backend, dataId), dtype);
  },
  peek: (held) => {
    const [backend, dataId, dtype] = [backendOf(held), held.identity as DataId, held.element as DType];
    // Strings and complex numbers do not stand in memory as they are written.
    if (dtype === "string" || dtype === "complex64") return undefined;
    if (backend.typedArrayFromHeap !== undefined) {
      return bytesOf(backend.typedArrayFromHeap({ dataId, shape: held.shape, dtype }), dtype);
    }
    return (backend as unknown) === tf.findBackend("cpu") ? bytesOf(backend.readSync(dataId), dtype) : undefined;
  },
  copies: (held) => backendOf(held).typedArrayFromHeap !== undefined,
  release: ({ identity }) => {
    const dataId = identity as DataId;
    const backend = engine().state.tensorInfo.get(dataId)?.backend;
    if (backend?.disposeData(dataId)) engine().removeDataId(dataId, backend);
  },
};

/**
 * Holds a tensor's value: O(1), no copy on any backend.
 *
 * @param tensor Any tensor or variable that is not disposed.
 */
export function hold({ dataId, shape, dtype }: tf.Tensor): Held {
  const backend = engine().state.tensorInfo.get(dataId)?.backend;
  if (backend !== undefined) checkData(backend, dataId);
  backend?.incRef(dataId);
  // The tensor's own could be written to.
  return { element: dtype as DType, shape: shape.slice(), identity: dataId, home: backends };
}

/** A tensor's value held for a site; refused where its backend has it in a dtype that tfjs does not have. */
export function heldAt(tensor: tf.Tensor, site: Site): Held {
  const backend = engine().state.tensorInfo.get(tensor.dataId)?.backend;
  const { binding, tensorMap } = backend ?? {};
  if (binding !== undefined) {
    const dtype = tensorMap?.get(tensor.dataId).dtype;
    const found = dtype === binding.TF_INT64
      ? "TensorFlow's int64 values as int32: cast it with toInt()"
      : dtype === binding.TF_RESOURCE
      ? "a resource of TensorFlow's"
      : undefined;
    if (found !== undefined) site.refuse("a tensor of a dtype that tfjs has", found);
  }
  return hold(tensor);
}

/** Whether a held value is in a backend, not only in bytes. */
function isHere(held: Held): boolean {
  return engine().state.tensorInfo.has(held.identity as DataId);
}

/**
 * A tensor of a held value, of the caller's own: O(1) where the value is in a backend, from its bytes otherwise.
 *
 * @returns The tensor, or undefined if the bytes are not of the held shape.
 */
export function tensorOf(held: Held): tf.Tensor | undefined {
  const dtype = held.element as DType;
  const shape = held.shape.slice();
  const dataId = held.identity as DataId;
  if (isHere(held)) return aliasOf(dataId, shape, dtype);
  const bytes = held.resident;
  if (bytes === undefined || !fits(dtype, shape, bytes)) return undefined;
  switch (dtype) {
    case "string":
      return engine().makeTensor(unpackStrings(bytes, shape.reduce((a, b) => a * b, 1)) ?? [], shape, dtype);
    case "complex64": {
      // As words, for a number loses the bits of a NaN.
      const words = typedView("Uint32Array", bytes) as Uint32Array;
      return tf.tidy(() => {
        const [real, imag] = [0, 1].map((k) => {
          const part = words.filter((_, i) => i % 2 === k);
          return engine().makeTensor(new Float32Array(part.buffer), shape, "float32");
        });
        return tf.complex(real as tf.Tensor, imag as tf.Tensor);
      });
    }
    case "bool":
      return engine().makeTensor(bytes, shape, dtype);
    case "int32":
      return engine().makeTensor(typedView("Int32Array", bytes) as Int32Array, shape, dtype);
    case "float32":
      return engine().makeTensor(typedView("Float32Array", bytes) as Float32Array, shape, dtype);
  }
}

/** A codec's tree with the present values of its variables in their stead: to a codec, a variable is a tensor. */
export function valuesIn(tree: unknown): unknown {
  if (tree instanceof tf.Variable && !tree.isDisposed) {
    const held = hold(tree);
    const value = tensorOf(held);
    held.home.release(held);
    return value;
  }
  if (Array.isArray(tree)) return tree.map(valuesIn);
  return isPlainRecord(tree)
    ? Object.fromEntries(Object.entries(tree).map(([name, part]) => [name, valuesIn(part)]))
    : tree;
}

/**
 * Runs a restore; if it fails, whatever tensor or variable it made is gone again, a kept one and one that tfjs made for itself, too.
 *
 * @param run The restore.
 * @param failed Whether its result is a failure; an exception is one.
 */
export function undoing<A>(run: () => A, failed: (result: A) => boolean): A {
  const { registeredVariables } = engine().state;
  const known = new Set(Object.values(registeredVariables));
  engine().startScope("restore");
  const { track } = engine().state.activeScope;
  let done = false;
  try {
    const result = run();
    done = !failed(result);
    return result;
  } finally {
    if (!done) {
      for (const variable of Object.values(registeredVariables)) if (!known.has(variable)) variable.dispose();
      for (const tensor of track.slice()) tensor.dispose();
    }
    // To the scope around this one, if there is any, they are as if made in it.
    engine().endScope(track.slice());
  }
}

// --- capture and restore

function isDisposed(value: object): string | undefined {
  return value instanceof tf.Tensor && value.isDisposed ? "a disposed tensor" : undefined;
}

/** A tensor of a node, checked against a live one; a problem and undefined if there is none or it differs. */
export function checkTensor(
  node: Node | undefined,
  target: Target,
  live?: tf.Tensor,
  at?: string,
): tf.Tensor | undefined {
  if (node === undefined || !isBranch(node) || node.is !== "array" || !isDType(node.held.element)) {
    target.problem("format", "a tensor", node === undefined ? "nothing" : "something else", at);
    return undefined;
  }
  const { element, shape } = node.held;
  if (live !== undefined && live.isDisposed) target.problem("data", "a live tensor", "a disposed one", at);
  if (live !== undefined && live.dtype !== element) {
    target.problem("dtype", `${live.dtype}, as in the live one`, element, at);
  }
  if (live !== undefined && String(live.shape) !== String(shape)) {
    target.problem("shape", `[${live.shape}], as in the live one`, `[${shape}]`, at);
  }
  if (live !== undefined && (live.dtype !== element || String(live.shape) !== String(shape))) return undefined;
  const backend = tf.getBackend();
  if (element === "complex64" && !isHere(node.held) && tf.getKernel("Complex", backend) === undefined) {
    target.problem("dtype", `a dtype that the backend ${backend} has: restore on cpu or webgpu`, element, at);
    return undefined;
  }
  const tensor = tensorOf(node.held);
  if (tensor === undefined) target.problem("length", `${element} values of shape [${shape}]`, "other bytes", at);
  return tensor && target.made(tensor, () => tensor.dispose());
}

/** The shape of a tensor's node. */
export function shapeOf(node: Node | undefined): readonly number[] {
  return node !== undefined && isBranch(node) && node.is === "array" ? node.held.shape : [];
}

/** The kind of tensors: values, so restoring makes a new one and leaves a live one alone. */
export const tensorKind: Kind<tf.Tensor> = {
  name: "Tensor",
  is: (u): u is tf.Tensor => u instanceof tf.Tensor && !(u instanceof tf.Variable) && !u.isDisposed,
  rejection: isDisposed,
  encode: (tensor, site) => site.hold(heldAt(tensor, site)),
  restore: (state, target, live) => {
    const tensor = checkTensor(state, target, live);
    return () => tensor as tf.Tensor;
  },
};

/** Variables that are weights of layers, which name them. */
export const layerVariables: WeakSet<tf.Variable> = new WeakSet<tf.Variable>();

/** Names that variables were given, where they are registered under others because those were taken. */
const givenNames = new WeakMap<tf.Variable, string>();

/** The name a user gave to a variable, or null: tfjs names the others by a counter, or after a layer that it named so. */
export function givenName(variable: tf.Variable): string | null {
  const name = givenNames.get(variable) ?? variable.name;
  return /^\d+$/.test(name) || /(^|\/)[a-z][a-z0-9_]*_[A-Z]\w*\d\//.test(name) ? null : name;
}

function makeVariable(value: tf.Tensor, trainable: boolean, name: string | null): tf.Variable {
  const { registeredVariables } = engine().state;
  if (name === null) return tf.variable(value, trainable);
  let free = name;
  for (let k = 1; Object.hasOwn(registeredVariables, free); k++) free = `${name}_${k}`;
  const variable = tf.variable(value, trainable, free);
  givenNames.set(variable, name);
  return variable;
}

/** Lets a live variable take a tensor's value at commit. */
export function assignAtCommit(target: Target, variable: tf.Variable, tensor: tf.Tensor): void {
  target.commit(() => variable.assign(tensor));
  target.after(() => tensor.dispose());
}

/** The places of tfjs's registered variables among each other. */
function positions(): ReadonlyMap<string, number> {
  const position = new Map<string, number>();
  for (const name of Object.keys(engine().state.registeredVariables)) position.set(name, position.size);
  return position;
}

function isAscending(numbers: readonly number[]): boolean {
  return numbers.every((number, i) => i === 0 || number > (numbers[i - 1] ?? -1));
}

/** The kind of variables: a value, whether it is trained, and the name its user gave it. */
export const variableKind: Kind<tf.Variable> = {
  name: "Variable",
  is: (u): u is tf.Variable => u instanceof tf.Variable && !u.isDisposed,
  encode: (variable, site) => {
    const owned = site.names.get(variable);
    return record([
      // An optimizer names its accumulators after the variables that it trains, whose names are not state.
      ["name", owned === undefined && !(site.fields && !variable.trainable) ? givenName(variable) : null],
      ["trainable", variable.trainable],
      ["value", site.hold(heldAt(variable, site), owned)],
    ]);
  },
  build: (state, target) => {
    const [name, trainable] = [entry(state, "name"), scalar(state, "trainable", "boolean", target)];
    const tensor = checkTensor(entry(state, "value"), target);
    if (tensor === undefined || trainable === undefined) return undefined;
    target.after(() => tensor.dispose());
    return makeVariable(tensor, trainable, typeof name === "string" ? name : null);
  },
  restore: (state, target, live) => {
    if (live === undefined || target.built(live)) return () => live as tf.Variable;
    const [name, value] = [entry(state, "name"), entry(state, "value")];
    const [saved, given] = [typeof name === "string" ? name : null, givenName(live)];
    // A layer's variable has the name that its layer gives it.
    const named = value !== undefined && isBranch(value) && value.is === "array" && value.name !== undefined;
    // In a component with several models, a name in its file is one model's alone.
    const owned = named || (saved === null && layerVariables.has(live));
    if (!owned && !target.fields && saved !== given) {
      target.problem("name", given ?? "no name of the user's", saved ?? "no name of the user's");
    }
    const trainable = scalar(state, "trainable", "boolean", target);
    target.overrides("trainable", live.trainable, trainable);
    const tensor = checkTensor(value, target, live);
    if (tensor !== undefined) assignAtCommit(target, live, tensor);
    target.commit(() => void (live.trainable = trainable ?? live.trainable));
    return () => live;
  },
  parts: { trained: (state) => entry(state, "trainable") === true ? shapeOf(entry(state, "value")) : undefined },
  order: (paths) => Object.values(engine().state.registeredVariables).flatMap((variable) => paths.get(variable) ?? []),
  // Without a list of variables, tfjs's optimizers find theirs by position among the registered ones.
  reorder: (objects) => {
    const { registeredVariables } = engine().state;
    const position = positions();
    if (isAscending((objects as readonly tf.Variable[]).map(({ name }) => position.get(name) ?? -1))) return;
    for (const variable of objects as readonly tf.Variable[]) {
      delete registeredVariables[variable.name];
      if (/^\d+$/.test(variable.name)) variable.name = String(engine().nextVariableId());
      registeredVariables[variable.name] = variable;
    }
  },
};
