/**
 * tfjs's engine and its backends, with the fields that their declarations keep private.
 *
 * See tfjs-core 4.22, `engine.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { DType } from "../state/mod.ts";

// --- types

/** The key of a tensor's data in its backend; tensors that share data share it. */
export type DataId = tf.Tensor["dataId"];

/** A backend. */
export interface Backend {
  incRef(dataId: DataId): void;
  disposeData(dataId: DataId): boolean;
  read(dataId: DataId): Promise<tf.TypedArray | Uint8Array[]>;
  readSync(dataId: DataId): tf.TypedArray;
  /** The entries of the cpu backend. */
  readonly data?: { get(dataId: DataId): BackendEntry };
  /** The entries of the WebGPU backend and of tfjs-node. */
  readonly tensorMap?: { get(dataId: DataId): BackendEntry };
  /** tfjs-node's native code, with TensorFlow's numbers for dtypes. */
  readonly binding?: { readonly TF_INT64: number; readonly TF_RESOURCE: number };
  /** WebGPU: reads a GPU buffer without caching a copy on the CPU, as `read` does. */
  getBufferData?(resource: object): Promise<ArrayBuffer>;
  /** wasm: a view of the heap, valid until the heap grows. */
  typedArrayFromHeap?(info: { dataId: DataId; shape: readonly number[]; dtype: DType }): tf.TypedArray;
}

/** What a backend stores for a data id. */
export interface BackendEntry {
  /** tfjs-node stores TensorFlow's number for the dtype. */
  readonly dtype: DType | number;
  readonly values?: unknown;
  /** The GPU buffer, if the data is on the GPU. */
  readonly resource?: object | null;
  readonly complexTensorInfos?: {
    readonly real: { readonly dataId: DataId };
    readonly imag: { readonly dataId: DataId };
  };
}

/** The private part of tfjs's engine. */
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

// --- constructors

/** The engine of this process. */
export function engine(): Engine {
  return tf.engine() as unknown as Engine;
}

/** The backend that has a data id now: tfjs moves data to the backend that uses it. */
export function backendOf(dataId: DataId): Backend | undefined {
  return engine().state.tensorInfo.get(dataId)?.backend;
}

/** The fault of an object that looks like one of a base class but is not an instance: it comes from another copy of tfjs. */
export function secondCopyFault(object: object, base: { readonly prototype: object }): string | undefined {
  if (Object.prototype.isPrototypeOf.call(base.prototype, object)) return undefined;
  return `a ${object.constructor.name} of a second copy of tfjs: install one copy, the one this toolkit has as its peer (npm ls @tensorflow/tfjs lists them)`;
}

/** The variable that tfjs has registered under a name. */
export function registeredVariable(name: string): tf.Variable | undefined {
  const { registeredVariables } = engine().state;
  return Object.hasOwn(registeredVariables, name) ? registeredVariables[name] : undefined;
}

/**
 * Runs a function and, if it fails, disposes every tensor and variable that it made, including kept ones and tfjs's own.
 *
 * @param run The function.
 * @param failed Whether its result is a failure. An exception always is.
 * @returns Its result.
 */
export function disposeOnFailure<A>(run: () => A, failed: (result: A) => boolean): A {
  const { registeredVariables } = engine().state;
  const existing = new Set(Object.values(registeredVariables));
  engine().startScope("restore");
  const { track } = engine().state.activeScope;
  let succeeded = false;
  try {
    const result = run();
    succeeded = !failed(result);
    return result;
  } finally {
    if (!succeeded) {
      for (const variable of Object.values(registeredVariables)) if (!existing.has(variable)) variable.dispose();
      for (const tensor of track.slice()) tensor.dispose();
    }
    // An enclosing `tidy` owns the results as if they had been made in it.
    engine().endScope(track.slice());
  }
}
