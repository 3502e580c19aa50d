/**
 * Detection of WebGPU errors, which tfjs ignores.
 *
 * WebGPU rejects an invalid program asynchronously. It then drops the whole command buffer: no operation in it runs, and the outputs keep
 * the old contents of their memory. So each WebGPU backend is watched: data computed since the device last reported is marked as invalid
 * when the device reports an error, and so is everything computed from it. Invalid data is neither captured nor read for a save, and a
 * rejected program throws when it runs again. See tfjs-backend-webgpu 4.22, `backend_webgpu.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type DeviceFailed, toError } from "../errors/mod.ts";

// --- types

/** A compute program of tfjs. Its key is complete before it is compiled. */
interface Program {
  readonly outputShape: number[];
  readonly shaderKey: string;
}

type RunProgram = (
  program: Program,
  inputs: readonly tf.TensorInfo[],
  dtype: string,
  uniforms?: unknown,
  output?: tf.TensorInfo,
) => tf.TensorInfo;

type GPUError = { readonly message: string } | null;

/** The private part of tfjs's WebGPU backend. */
interface WebGPUBackend {
  readonly device: {
    addEventListener(type: "uncapturederror", listener: (event: { readonly error: GPUError }) => void): void;
    readonly lost: Promise<{ readonly message: string }>;
    pushErrorScope(filter: "validation"): void;
    popErrorScope(): Promise<GPUError>;
    createComputePipeline(descriptor: object): object;
  };
  readonly stagingPendingDisposal: readonly object[];
  readonly commandEncoder: object | null;
  pipelineCache: Record<string, object>;
  runWebGPUProgram: RunProgram;
  uploadToGPU: (dataId: object) => void;
  makeTensorInfo(shape: number[], dtype: string): tf.TensorInfo;
  disposeData(dataId: object): boolean;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** A failure, and the ids of the data that it made invalid. */
type Invalidation = readonly [failure: DeviceFailed, data: readonly WeakSet<object>[]];

/** A program that was compiled and not validated yet, with the outputs of the command buffers that contain it. */
type PendingProgram = readonly [kernel: string, batches: Set<WeakSet<object>>];

/** The state of a watched device. */
interface DeviceWatch {
  readonly backend: WebGPUBackend;
  /** All failures so far. */
  readonly failures: Invalidation[];
  /** The number of failures when the device last reported. */
  reported: number;
  /** The kernels whose programs were rejected. */
  readonly rejectedKernels: Set<string>;
  /** Data that was computed, or uploaded with a command buffer, since the device last reported. */
  unconfirmed: WeakSet<object>;
  /** The part of it that is in the command buffer now being filled. */
  batch: WeakSet<object>;
  /** By shader key. */
  readonly pending: Map<string, PendingProgram>;
  /** Whether a program ran since the device last reported. */
  dirty: boolean;
  /** The device's message when it was lost. */
  lost?: string;
  /** Rejects each read in progress when the device is lost. */
  readonly reads: Set<(message: string) => void>;
}

// --- constructors

const watches = new WeakMap<object, DeviceWatch>();

/** The first line of a message that is not blank. */
function firstLine(message: string): string {
  return message.split("\n").map((line) => line.trim()).find((line) => line !== "") ?? "no reason";
}

/** The failure that made data invalid, if one did, and that data. */
function invalidatedBy({ failures }: DeviceWatch, dataId: object): Invalidation | undefined {
  return failures.find(([, data]) => data.some((ids) => ids.has(dataId)));
}

/** Makes a program throw from now on: tfjs looks its pipeline up at each run. */
function blockProgram({ backend }: DeviceWatch, key: string, failure: DeviceFailed): void {
  Object.defineProperty(backend.pipelineCache, key, {
    configurable: true,
    enumerable: true,
    get: () => {
      throw toError(failure);
    },
  });
}

/** Submits the operations that tfjs has collected, so that later ones go into another command buffer. */
function flush({ backend }: DeviceWatch): void {
  if (backend.commandEncoder === null) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

/** Validates each pipeline that is created while a program runs. */
function watchPipelines(watch: DeviceWatch, runningProgram: () => Program | undefined): void {
  const { backend: { device }, pending, rejectedKernels, failures } = watch;
  const create = device.createComputePipeline.bind(device);
  device.createComputePipeline = (descriptor) => {
    const program = runningProgram();
    if (program === undefined) return create(descriptor);
    const [key, kernel] = [program.shaderKey, program.constructor.name];
    const batches = new Set<WeakSet<object>>();
    pending.set(key, [kernel, batches]);
    device.pushErrorScope("validation");
    const pipeline = create(descriptor);
    device.popErrorScope().then((error) => {
      pending.delete(key);
      if (error === null) return;
      const failure: DeviceFailed = { _tag: "DeviceFailed", kernel, message: firstLine(error.message) };
      failures.push([failure, [...batches]]);
      // Later operations must not join the command buffer that is dropped.
      flush(watch);
      blockProgram(watch, key, failure);
      rejectedKernels.add(kernel);
    }, () => pending.delete(key));
    return pipeline;
  };
}

/** Records the outputs of each program, and marks those that were computed from invalid data. */
function watchPrograms(watch: DeviceWatch): void {
  const { backend } = watch;
  const run = backend.runWebGPUProgram.bind(backend);
  let running: Program | undefined;
  watchPipelines(watch, () => running);
  backend.runWebGPUProgram = (program, inputs, dtype, uniforms, output) => {
    const result = output ?? backend.makeTensorInfo(program.outputShape, dtype);
    const { batch } = watch;
    [running, watch.dirty] = [program, true];
    try {
      run(program, inputs, dtype, uniforms, result);
    } catch (error) {
      if (output === undefined) backend.disposeData(result.dataId);
      throw error;
    } finally {
      running = undefined;
    }
    for (const ids of [batch, watch.unconfirmed]) ids.add(result.dataId);
    watch.pending.get(program.shaderKey)?.[1].add(batch);
    for (const { dataId } of inputs) invalidatedBy(watch, dataId)?.[1][0]?.add(result.dataId);
    return result;
  };
}

/** Records the uploads and the submissions of command buffers. */
function watchSubmissions(watch: DeviceWatch): void {
  const { backend } = watch;
  const [upload, submit] = [backend.uploadToGPU.bind(backend), backend.submitQueue.bind(backend)];
  backend.uploadToGPU = (dataId) => {
    const { length } = backend.stagingPendingDisposal;
    upload(dataId);
    // A staged upload is a copy in the command buffer; other uploads happen at once.
    if (backend.stagingPendingDisposal.length === length) return;
    for (const ids of [watch.batch, watch.unconfirmed]) ids.add(dataId);
  };
  backend.submitQueue = () => {
    submit();
    watch.batch = new WeakSet();
  };
}

/** Records the device's uncaptured errors and its loss. */
function listenToDevice(watch: DeviceWatch): void {
  const { backend: { device }, rejectedKernels, pending } = watch;
  device.addEventListener("uncapturederror", ({ error }) => {
    const message = error?.message ?? "";
    const kernels = [...rejectedKernels, ...[...pending.values()].map(([kernel]) => kernel)];
    // Skip the consequences of a rejected pipeline: its error scope reports the program and the invalid data.
    const isConsequence = kernels.some((kernel) => message.includes(kernel)) || watch.failures.length > watch.reported;
    if (/shader|invalid/i.test(message) && isConsequence) return;
    watch.failures.push([{ _tag: "DeviceFailed", message: firstLine(message) }, [watch.unconfirmed]]);
  });
  device.lost.then(({ message }) => {
    watch.lost = message || "the device was lost";
    for (const reject of watch.reads) reject(watch.lost);
  });
}

/** The watch of a backend, which starts at the first call; undefined for other backends than WebGPU. */
function watchOf(backend: unknown): DeviceWatch | undefined {
  const existing = watches.get(backend as object);
  const { runWebGPUProgram, device } = backend as Partial<WebGPUBackend>;
  if (existing !== undefined || runWebGPUProgram === undefined || device === undefined) return existing;
  const watch: DeviceWatch = {
    backend: backend as WebGPUBackend,
    failures: [],
    reported: 0,
    rejectedKernels: new Set(),
    unconfirmed: new WeakSet(),
    batch: new WeakSet(),
    pending: new Map(),
    dirty: false,
    reads: new Set(),
  };
  watches.set(watch.backend, watch);
  watchPrograms(watch);
  watchSubmissions(watch);
  listenToDevice(watch);
  // Pipelines that were compiled before may be invalid: compile and validate them again.
  watch.backend.pipelineCache = {};
  return watch;
}

/** Watches the WebGPU backend from its setup on, or from now on if it is in use. */
export function watchDevices(): void {
  const [kernelName, backendName] = ["DogearDevice", "webgpu"];
  if (tf.getKernel(kernelName, backendName) !== undefined) return;
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: () => {
      throw new TypeError(
        "Expected a kernel of tfjs, found DogearDevice, which only watches the device: do not run it",
      );
    },
    // tfjs calls it for each backend that it sets up.
    setupFunc: (backend) => void watchOf(backend),
  });
  if ((tf.getBackend() as string | undefined) === backendName) watchOf(tf.backend());
}

// --- combinators

/** Waits until the device has reported on everything submitted so far. */
async function awaitReport(watch: DeviceWatch): Promise<void> {
  if (!watch.dirty || watch.lost !== undefined) return;
  flush(watch);
  watch.dirty = false;
  const { unconfirmed, backend: { device } } = watch;
  device.pushErrorScope("validation");
  await device.popErrorScope().catch(() => null);
  // Error events arrive one turn of the event loop later; consequences of a rejected program, several turns later.
  await new Promise((resolve) => setImmediate(resolve));
  if (watch.failures.length > watch.reported) await new Promise((resolve) => setTimeout(resolve, 20));
  watch.reported = watch.failures.length;
  // What ran while we waited is not confirmed.
  if (watch.unconfirmed === unconfirmed && !watch.dirty) watch.unconfirmed = new WeakSet();
}

/**
 * Runs a part of a training. On WebGPU it waits until the device has reported on it.
 *
 * @param part The computation.
 * @returns Its result; rejects with an `Error` whose cause is a {@link DeviceFailed} if the device rejected an operation of it.
 */
export async function onDevice<A>(part: () => A | Promise<A>): Promise<A> {
  const watch = (tf.getBackend() as string | undefined) === "webgpu" ? watchOf(tf.backend()) : undefined;
  if (watch === undefined) return await part();
  const before = watch.failures.length;
  const result = await (async () => await part())().finally(() => awaitReport(watch));
  const since = watch.failures.slice(before).map(([failure]) => failure);
  const failure = since.find(({ kernel }) => kernel !== undefined) ?? since[0];
  if (failure !== undefined) throw toError(failure);
  return result;
}

/**
 * Throws an `Error` whose cause is a {@link DeviceFailed} if an error of the device is known to have made the data invalid.
 *
 * @param backend Any backend of tfjs.
 * @param dataId The data.
 */
export function checkData(backend: unknown, dataId: object): void {
  const watch = watchOf(backend);
  const [failure] = (watch && invalidatedBy(watch, dataId)) ?? [];
  if (failure !== undefined) throw toError(failure);
}

/**
 * Reads data from a GPU after the device has confirmed it.
 *
 * @param backend The backend.
 * @param dataId The data.
 * @param read Reads it.
 * @returns The result of `read`; rejects with an `Error` whose cause is a {@link DeviceFailed} if the data is invalid, or if reading fails.
 */
export async function readData<A>(backend: unknown, dataId: object, read: () => Promise<A>): Promise<A> {
  const watch = watchOf(backend);
  if (watch === undefined) return await read();
  await awaitReport(watch);
  checkData(backend, dataId);
  const failed = (message: string): Error => toError({ _tag: "DeviceFailed", message: firstLine(message) });
  if (watch.lost !== undefined) throw failed(watch.lost);
  let rejectRead = (_: string): void => {};
  const lost = new Promise<never>((_, reject) => rejectRead = (message) => reject(failed(message)));
  watch.reads.add(rejectRead);
  try {
    flush(watch);
    return await Promise.race([read(), lost]);
  } catch (cause) {
    throw toError(cause).cause === undefined ? failed(`it cannot be read: ${toError(cause).message}`) : cause;
  } finally {
    watch.reads.delete(rejectRead);
  }
}
