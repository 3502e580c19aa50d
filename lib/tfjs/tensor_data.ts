/**
 * The data of tfjs tensors: held, read as bytes, and made into tensors again, without a copy where the backend allows it.
 *
 * A backend counts references to immutable data. `variable.assign` changes the data id and never writes into the old data. So holding
 * a value takes one more reference, and a tensor over held data costs nothing. The reference belongs to no tensor:
 * `tf.memory().numTensors` does not count it and `tf.disposeVariables()` does not drop it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import {
  type DType,
  fits,
  type Held,
  type Home,
  packStrings,
  type Site,
  typedView,
  unpackStrings,
} from "../state/mod.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { checkData, readData } from "./device_errors.ts";
import { type Backend, backendOf, type DataId, engine } from "./engine.ts";

// --- constructors

const arrayClasses = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/** The values in the array class of their dtype: on cpu, a cast that loses nothing keeps the data of the old dtype. */
function inClass(values: tf.TypedArray, dtype: keyof typeof arrayClasses): tf.TypedArray {
  return values instanceof arrayClasses[dtype] ? values : new arrayClasses[dtype](values);
}

function bytesOfValues(values: tf.TypedArray | Uint8Array[], dtype: DType): Uint8Array {
  if (Array.isArray(values)) return packStrings(values);
  const array = dtype === "string" || dtype === "complex64" ? values : inClass(values, dtype);
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

/** Reads values from a backend. On WebGPU it avoids `read`, which caches a copy until the tensor is disposed. */
async function readValues(backend: Backend, dataId: DataId): Promise<tf.TypedArray | Uint8Array[]> {
  const { dtype, values, resource } = backend.tensorMap?.get(dataId) ?? {};
  if (backend.getBufferData === undefined || dtype === undefined || dtype === "complex64" || !resource || values) {
    checkData(backend, dataId);
    return await backend.read(dataId);
  }
  const { convertBackendValuesAndArrayBuffer } = tf.util;
  const bytes = await readData(backend, dataId, () => backend.getBufferData!(resource));
  return convertBackendValuesAndArrayBuffer(bytes, dtype as DType) as tf.TypedArray;
}

/** Interleaves the parts of a complex tensor as 32-bit words; tfjs interleaves numbers, which loses the bits of a NaN. */
async function complexBytes(backend: Backend, dataId: DataId): Promise<Uint8Array> {
  const infos = (backend.data ?? backend.tensorMap)?.get(dataId).complexTensorInfos;
  // tfjs-node stores both parts interleaved.
  if (infos == null) return bytesOfValues(inClass(await backend.read(dataId) as tf.TypedArray, "float32"), "complex64");
  const parts = await Promise.all([infos.real, infos.imag].map((part) => readValues(backend, part.dataId)));
  const arrays = parts.map((part) => inClass(part as tf.TypedArray, "float32"));
  const words = new Uint32Array(2 * (arrays[0]?.length ?? 0));
  for (const [k, { buffer, byteOffset, length }] of arrays.entries()) {
    new Uint32Array(buffer, byteOffset, length).forEach((word, i) => words[2 * i + k] = word);
  }
  return new Uint8Array(words.buffer);
}

/** The backend of a held value, looked up at each use because tfjs moves data between backends. */
function heldIn({ identity }: Held): Backend {
  const backend = backendOf(identity as DataId);
  if (backend !== undefined) return backend;
  throw new TypeError(
    "Expected a snapshot that has not been released, found a released one: release it after its bytes are read",
  );
}

/** Held values whose data is in a tfjs backend. */
const tfjsBackends: Home = {
  read: async (held) => {
    const [backend, dataId, dtype] = [heldIn(held), held.identity as DataId, held.element as DType];
    if (dtype === "complex64") return await complexBytes(backend, dataId);
    return bytesOfValues(await readValues(backend, dataId), dtype);
  },
  peek: (held) => {
    const [backend, dataId, dtype] = [heldIn(held), held.identity as DataId, held.element as DType];
    // Strings and complex numbers have another layout in memory than in a checkpoint.
    if (dtype === "string" || dtype === "complex64") return undefined;
    if (backend.typedArrayFromHeap !== undefined) {
      return bytesOfValues(backend.typedArrayFromHeap({ dataId, shape: held.shape, dtype }), dtype);
    }
    return (backend as unknown) === tf.findBackend("cpu") ? bytesOfValues(backend.readSync(dataId), dtype) : undefined;
  },
  copies: (held) => heldIn(held).typedArrayFromHeap !== undefined,
  release: ({ identity }) => {
    const dataId = identity as DataId;
    const backend = backendOf(dataId);
    if (backend?.disposeData(dataId)) engine().removeDataId(dataId, backend);
  },
};

/**
 * Holds a tensor's value: O(1), no copy on any backend.
 *
 * @param tensor A tensor or variable that is not disposed.
 * @returns The held value; throws what {@link checkData} throws.
 */
export function hold({ dataId, shape, dtype }: tf.Tensor): Held {
  const backend = backendOf(dataId);
  if (backend !== undefined) checkData(backend, dataId);
  backend?.incRef(dataId);
  // A copy of the shape: the tensor's own array can be written to.
  return { element: dtype as DType, shape: shape.slice(), identity: dataId, home: tfjsBackends };
}

/** {@link hold} at a site of a capture, which refuses dtypes that only tfjs-node has. */
export function holdAt(tensor: tf.Tensor, site: Site): Held {
  const { binding, tensorMap } = backendOf(tensor.dataId) ?? {};
  if (binding !== undefined) {
    const [dtype, expected] = [tensorMap?.get(tensor.dataId).dtype, "a tensor of a dtype that tfjs has"];
    if (dtype === binding.TF_INT64) site.refuse(expected, "TensorFlow's int64 values as int32: cast it with toInt()");
    if (dtype === binding.TF_RESOURCE) site.refuse(expected, "a resource of TensorFlow's");
  }
  return hold(tensor);
}

/** Whether a held value is in a backend; otherwise only its bytes exist. */
export function isInBackend(held: Held): boolean {
  return engine().state.tensorInfo.has(held.identity as DataId);
}

/** Splits interleaved 32-bit words into the two parts of a complex tensor, without converting them to numbers. */
function complexTensor(bytes: Uint8Array, shape: readonly number[]): tf.Tensor {
  const words = typedView("Uint32Array", bytes);
  return tf.tidy(() => {
    const [real, imag] = [0, 1].map((k) => {
      const part = words.filter((_, i) => i % 2 === k);
      return engine().makeTensor(new Float32Array(part.buffer), shape, "float32");
    });
    return tf.complex(real as tf.Tensor, imag as tf.Tensor);
  });
}

/**
 * A new tensor of a held value: O(1) if the value is in a backend, otherwise made from its bytes.
 *
 * @returns The tensor, which the caller owns, or undefined if the bytes do not fit the shape.
 */
export function tensorOf(held: Held): tf.Tensor | undefined {
  const dtype = held.element as DType;
  const shape = held.shape.slice();
  if (isInBackend(held)) {
    const dataId = held.identity as DataId;
    backendOf(dataId)?.incRef(dataId);
    return engine().makeTensorFromTensorInfo({ dataId, shape, dtype });
  }
  const bytes = held.resident;
  if (bytes === undefined || !fits(dtype, shape, bytes)) return undefined;
  if (dtype === "complex64") return complexTensor(bytes, shape);
  const view = { string: "Uint8Array", bool: "Uint8Array", int32: "Int32Array", float32: "Float32Array" } as const;
  const values = dtype === "string"
    ? unpackStrings(bytes, shape.reduce((a, b) => a * b, 1)) ?? []
    : typedView(view[dtype], bytes);
  return engine().makeTensor(values as tf.TypedArray, shape, dtype);
}

// --- combinators

/** A tree from a codec with each variable replaced by a tensor of its present value, as codecs expect. */
export function variablesToTensors(tree: unknown): unknown {
  if (tree instanceof tf.Variable && !tree.isDisposed) {
    const held = hold(tree);
    const value = tensorOf(held);
    held.home.release(held);
    return value;
  }
  if (Array.isArray(tree)) return tree.map(variablesToTensors);
  return isPlainRecord(tree)
    ? Object.fromEntries(Object.entries(tree).map(([name, part]) => [name, variablesToTensors(part)]))
    : tree;
}
