/**
 * tfjs-node's backend with a substitute for its native code, which contains TensorFlow and is not available everywhere.
 *
 * With `DOGEAR_TFJS_NODE` set to tfjs-node's `dist/nodejs_kernel_backend.js`, its own class is used; without, one with the same interface as
 * that of tfjs-node 4.22: what `write` is given is kept until an operation needs it, and from then on it is in the native code; dtypes are
 * TensorFlow's numbers, and complex tensors have no parts.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { createRequire } from "node:module";
import process from "node:process";

// --- types

type Values = tf.TypedArray | Uint8Array[] | BigInt64Array;

/** A tensor of the native code. */
interface Native {
  readonly shape: readonly number[];
  readonly dtype: number;
  readonly values: Values;
}

/** A backend's entry of a data id. */
interface Entry {
  shape: number[];
  dtype: number;
  values: Values | null;
  id: number;
  refCount: number;
}

/** Counts of the substitute. */
export interface Binding {
  readonly TF_INT64: number;
  /** The tensors that are in it. */
  readonly tensors: ReadonlyMap<number, Native>;
  createTensor(shape: readonly number[], dtype: number, values: Values): number;
  tensorDataSync(id: number): Values;
  deleteTensor(id: number): void;
  isUsingGpuDevice(): boolean;
}

/** The part of the backend that tests look at. */
export interface NodeBackend extends tf.KernelBackend {
  readonly binding: Binding;
  readonly tensorMap: tf.DataStorage<Entry>;
  /** Puts what is kept into the native code, as an operation does with its inputs. */
  getInputTensorIds(tensors: readonly tf.TensorInfo[]): readonly number[];
  createOutputTensor(metadata: { readonly id: number; readonly shape: number[]; readonly dtype: number }): tf.Tensor;
}

// --- constructors

/** TensorFlow's own numbers. */
const numbers = {
  TF_FLOAT: 1,
  TF_INT32: 3,
  TF_UINT8: 4,
  TF_STRING: 7,
  TF_COMPLEX64: 8,
  TF_INT64: 9,
  TF_BOOL: 10,
  TF_RESOURCE: 20,
} as const;

const dtypes: Readonly<Record<string, number>> = {
  float32: numbers.TF_FLOAT,
  int32: numbers.TF_INT32,
  bool: numbers.TF_BOOL,
  complex64: numbers.TF_COMPLEX64,
  string: numbers.TF_STRING,
};

function binding(): Binding {
  const tensors = new Map<number, Native>();
  let last = 0;
  const copy = (values: Values): Values => Array.isArray(values) ? values.map((each) => each.slice()) : values.slice();
  return {
    ...numbers,
    tensors,
    createTensor: (shape, dtype, values) => {
      tensors.set(++last, { shape, dtype, values: copy(values) });
      return last;
    },
    tensorDataSync: (id) => {
      const native = tensors.get(id);
      if (native === undefined) throw new Error(`Get data for tensor that is not there: ${id}`);
      return copy(native.values);
    },
    deleteTensor: (id) => {
      if (!tensors.delete(id)) throw new Error(`Delete called on a tensor not referenced: ${id}`);
    },
    isUsingGpuDevice: () => false,
  };
}

/** A class with the interface of tfjs-node's. */
class StandIn extends tf.KernelBackend {
  readonly tensorMap: tf.DataStorage<Entry> = new tf.DataStorage<Entry>(this, tf.engine());
  readonly binding: Binding;

  constructor(native: Binding) {
    super();
    this.binding = native;
  }

  override floatPrecision(): 16 | 32 {
    return 32;
  }

  override write(values: Values, shape: number[], dtype: tf.DataType): object {
    const dataId = {};
    this.move(dataId, values as never, shape, dtype, 1);
    return dataId;
  }

  override move(dataId: object, values: never, shape: number[], dtype: tf.DataType, refCount: number): void {
    this.tensorMap.set(dataId, { shape, dtype: dtypes[dtype]!, values, id: -1, refCount });
  }

  override async read(dataId: object): Promise<never> {
    return await Promise.resolve(this.readSync(dataId));
  }

  override readSync(dataId: object): never {
    const { values, id } = this.tensorMap.get(dataId);
    return (values ?? this.binding.tensorDataSync(id)) as never;
  }

  override numDataIds(): number {
    return this.tensorMap.numDataIds();
  }

  override disposeData(dataId: object, force = false): boolean {
    if (!this.tensorMap.has(dataId)) return true;
    const entry = this.tensorMap.get(dataId);
    entry.refCount--;
    if (!force && entry.refCount > 0) return false;
    if (entry.id >= 0) this.binding.deleteTensor(entry.id);
    this.tensorMap.delete(dataId);
    return true;
  }

  override refCount(dataId: object): number {
    return this.tensorMap.has(dataId) ? this.tensorMap.get(dataId).refCount : 0;
  }

  override incRef(dataId: object): void {
    this.tensorMap.get(dataId).refCount++;
  }

  override memory(): { unreliable: boolean } {
    return { unreliable: true };
  }

  override dispose(): void {}

  getInputTensorIds(tensors: readonly tf.TensorInfo[]): readonly number[] {
    return tensors.map(({ dataId }) => {
      const entry = this.tensorMap.get(dataId);
      if (entry.values !== null) {
        entry.id = this.binding.createTensor(entry.shape, entry.dtype, entry.values);
        entry.values = null;
      }
      return entry.id;
    });
  }

  createOutputTensor({ id, shape, dtype }: { id: number; shape: number[]; dtype: number }): tf.Tensor {
    const dataId = {};
    this.tensorMap.set(dataId, { shape, dtype, id, values: null, refCount: 1 });
    const name = Object.keys(dtypes).find((each) => dtypes[each] === dtype) ?? "int32";
    return tf.engine().makeTensorFromTensorInfo({ dataId, shape, dtype: name as tf.DataType });
  }
}

/** Both parts by turns, as words. */
function interleaved(parts: readonly Values[]): Float32Array {
  const words = parts.map((part) => new Uint32Array((part as Float32Array).slice().buffer));
  const [real, imag] = words as [Uint32Array, Uint32Array];
  return new Float32Array(
    Uint32Array.from({ length: 2 * real.length }, (_, i) => (i % 2 ? imag : real)[i >> 1]!).buffer,
  );
}

/** Whether the class is tfjs-node's own. */
export const isReal: boolean = process.env["DOGEAR_TFJS_NODE"] !== undefined;

/** The backend `tensorflow`, registered and in use, with the kernels that making tensors takes. */
export async function useTensorFlow(): Promise<NodeBackend> {
  registered ??= register();
  await tf.setBackend("tensorflow");
  return registered;
}

let registered: NodeBackend | undefined;

function register(): NodeBackend {
  const path = process.env["DOGEAR_TFJS_NODE"];
  const Class = path === undefined
    ? StandIn
    : createRequire(path)(path).NodeJSKernelBackend as new (native: Binding, packageName: string) => tf.KernelBackend;
  const backend = new Class(binding(), "@tensorflow/tfjs-node") as NodeBackend;
  tf.registerBackend("tensorflow", () => backend, 3);
  tf.registerKernel({
    kernelName: "Complex",
    backendName: "tensorflow",
    kernelFunc: ({ inputs }) => {
      const parts = [inputs["real"]!, inputs["imag"]!];
      const values = interleaved(parts.map(({ dataId }) => backend.readSync(dataId) as never));
      const { shape } = parts[0]!;
      const id = backend.binding.createTensor(shape, numbers.TF_COMPLEX64, values);
      return backend.createOutputTensor({ id, shape, dtype: numbers.TF_COMPLEX64 });
    },
  });
  tf.registerKernel({
    kernelName: "Identity",
    backendName: "tensorflow",
    kernelFunc: ({ inputs }) => {
      const { dataId, shape, dtype } = inputs["x"]!;
      backend.incRef(dataId);
      return { dataId, shape, dtype };
    },
  });
  return backend;
}
