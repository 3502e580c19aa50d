/**
 * What a GPU refuses, seen: tfjs submits programs to WebGPU and never looks whether they were accepted.
 *
 * A program that the adapter refuses makes the whole command buffer invalid in which it is: none of its operations is run, and their
 * outputs are what their memory held before. The device says so later, by events. So the programs of a backend are watched: what was computed
 * since the device last answered is marked when it refuses something, and so is what is computed from that. Marked data is neither captured
 * nor read for a save, and a program that was refused once throws when it is run again. See tfjs-backend-webgpu 4.22, `backend_webgpu.ts`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { DeviceFailed } from "../errors.ts";
import { toError } from "../explain.ts";

// --- types

interface Info {
  readonly dataId: object;
}

/** A program of tfjs, which gets its whole key before it is compiled. */
interface Program {
  readonly outputShape: number[];
  readonly shaderKey: string;
}

type Run = (program: Program, inputs: readonly Info[], dtype: string, uniforms?: unknown, output?: Info) => Info;

type GPUError = { readonly message: string } | null;

interface Device {
  addEventListener(type: "uncapturederror", listener: (event: { readonly error: GPUError }) => void): void;
  readonly lost: Promise<{ readonly message: string }>;
  pushErrorScope(filter: "validation"): void;
  popErrorScope(): Promise<GPUError>;
  createComputePipeline(descriptor: object): object;
}

/** The part of tfjs's backend for WebGPU that its declarations keep private. */
interface WebGPU {
  readonly device: Device;
  readonly stagingPendingDisposal: readonly object[];
  readonly commandEncoder: object | null;
  pipelineCache: Record<string, object>;
  runWebGPUProgram: Run;
  uploadToGPU: (dataId: object) => void;
  makeTensorInfo(shape: number[], dtype: string): Info;
  disposeData(dataId: object): boolean;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

/** What is known of a device. */
interface Watch {
  readonly backend: WebGPU;
  /** Every failure there was. */
  readonly failures: DeviceFailed[];
  /** How many there were when the device last answered. */
  answered: number;
  /** The names of programs that were refused. */
  readonly refused: Set<string>;
  /** Sets of data that is not what it should be, each with why. */
  readonly spoiled: (readonly [WeakSet<object>, DeviceFailed])[];
  /** The data that programs wrote, or that was uploaded for them, since the device last answered. */
  recent: WeakSet<object>;
  /** That of the command buffer under way. */
  batch: WeakSet<object>;
  /** Programs that were compiled and not answered for, by their keys: the command buffers that they are in. */
  readonly pending: Map<string, { readonly name: string; readonly batches: Set<WeakSet<object>> }>;
  /** Whether a program was run since then. */
  dirty: boolean;
  /** What the device said when it was lost. */
  lost?: string;
  /** Reads under way, each of which is ended when the device is lost. */
  readonly reads: Set<(message: string) => void>;
}

// --- constructors

const watches = new WeakMap<object, Watch>();

/** The first line of what a device says that says something. */
function firstLine(message: string): string {
  return message.split("\n").map((line) => line.trim()).find((line) => line !== "") ?? "no reason";
}

/** Why data is not what it should be, if it is not. */
function whySpoiled({ spoiled }: Watch, dataId: object): DeviceFailed | undefined {
  return spoiled.find(([set]) => set.has(dataId))?.[1];
}

/** Keeps a failure, and marks what it spoils. */
function fail({ failures, spoiled }: Watch, failure: DeviceFailed, sets: Iterable<WeakSet<object>>): void {
  failures.push(failure);
  for (const set of sets) spoiled.push([set, failure]);
}

/** Refuses a program from now on: tfjs looks its pipeline up at each run. */
function refuse({ backend }: Watch, key: string, failure: DeviceFailed): void {
  Object.defineProperty(backend.pipelineCache, key, {
    configurable: true,
    enumerable: true,
    get: () => {
      throw toError(failure);
    },
  });
}

/** Sees each pipeline made, and whether it was accepted. */
function watchPipelines(watch: Watch, program: () => Program | undefined): void {
  const { device } = watch.backend;
  const create = device.createComputePipeline.bind(device);
  device.createComputePipeline = (descriptor) => {
    const of = program();
    if (of === undefined) return create(descriptor);
    const [key, kernel] = [of.shaderKey, of.constructor.name];
    const batches = new Set<WeakSet<object>>();
    watch.pending.set(key, { name: kernel, batches });
    device.pushErrorScope("validation");
    const pipeline = create(descriptor);
    device.popErrorScope().then((error) => {
      watch.pending.delete(key);
      if (error === null) return;
      const failure: DeviceFailed = { _tag: "DeviceFailed", kernel, message: firstLine(error.message) };
      fail(watch, failure, batches);
      // So that nothing else comes into the command buffer that is not run.
      flush(watch);
      refuse(watch, key, failure);
      watch.refused.add(kernel);
    }, () => watch.pending.delete(key));
    return pipeline;
  };
}

/** Sees each program run, and what it writes. */
function watchPrograms(watch: Watch): void {
  const { backend } = watch;
  const [run, upload, submit] = [
    backend.runWebGPUProgram.bind(backend),
    backend.uploadToGPU.bind(backend),
    backend.submitQueue.bind(backend),
  ];
  let program: Program | undefined;
  watchPipelines(watch, () => program);
  backend.runWebGPUProgram = (given, inputs, dtype, uniforms, output) => {
    const into = output ?? backend.makeTensorInfo(given.outputShape, dtype);
    const { batch } = watch;
    [program, watch.dirty] = [given, true];
    try {
      run(given, inputs, dtype, uniforms, into);
    } catch (error) {
      if (output === undefined) backend.disposeData(into.dataId);
      throw error;
    } finally {
      program = undefined;
    }
    for (const set of [batch, watch.recent]) set.add(into.dataId);
    watch.pending.get(given.shaderKey)?.batches.add(batch);
    for (const { dataId } of inputs) {
      const why = whySpoiled(watch, dataId);
      if (why !== undefined) watch.spoiled.find(([, failure]) => failure === why)?.[0].add(into.dataId);
    }
    return into;
  };
  backend.uploadToGPU = (dataId) => {
    const { length } = backend.stagingPendingDisposal;
    upload(dataId);
    // By a copy that is submitted with the programs; other uploads are done at once.
    if (backend.stagingPendingDisposal.length > length) {
      for (const set of [watch.batch, watch.recent]) set.add(dataId);
    }
  };
  backend.submitQueue = () => {
    submit();
    watch.batch = new WeakSet();
  };
}

/** Hears each error that nothing else takes, and the loss of the device. */
function listen(watch: Watch): void {
  const { backend: { device }, refused, pending } = watch;
  device.addEventListener("uncapturederror", ({ error }) => {
    const message = error?.message ?? "";
    const known = [...refused, ...[...pending.values()].map(({ name }) => name)];
    // What follows from a refusal: the pipeline's own answer says which program it is, and what it spoils.
    const follows = known.some((name) => message.includes(name)) || watch.failures.length > watch.answered;
    if (/shader|invalid/i.test(message) && follows) return;
    fail(watch, { _tag: "DeviceFailed", message: firstLine(message) }, [watch.recent]);
  });
  device.lost.then(({ message }) => {
    watch.lost = message || "the device was lost";
    for (const end of watch.reads) end(watch.lost);
  });
}

/** What is known of a backend's device: nothing but for WebGPU, which is watched from now on. */
function watchOf(backend: unknown): Watch | undefined {
  const known = watches.get(backend as object);
  const { runWebGPUProgram, device } = backend as Partial<WebGPU>;
  if (known !== undefined || runWebGPUProgram === undefined || device === undefined) return known;
  const watch: Watch = {
    backend: backend as WebGPU,
    failures: [],
    answered: 0,
    refused: new Set(),
    spoiled: [],
    recent: new WeakSet(),
    batch: new WeakSet(),
    pending: new Map(),
    dirty: false,
    reads: new Set(),
  };
  watches.set(watch.backend, watch);
  watchPrograms(watch);
  listen(watch);
  // What was compiled before may have been refused: it is compiled again, and looked at.
  watch.backend.pipelineCache = {};
  return watch;
}

/** Watches the device of WebGPU as soon as its backend is there. */
export function watchDevices(): void {
  const [kernelName, backendName] = ["DogearDevice", "webgpu"];
  if (tf.getKernel(kernelName, backendName) !== undefined) return;
  tf.registerKernel({
    kernelName,
    backendName,
    kernelFunc: () => {
      throw new TypeError("Expected a kernel of tfjs, found the name under which dogear watches the device");
    },
    // tfjs runs it with each backend that it sets up.
    setupFunc: (backend) => void watchOf(backend),
  });
  if ((tf.getBackend() as string | undefined) === backendName) watchOf(tf.backend());
}

// --- combinators

/** Waits until the device has answered for all that was submitted. */
async function settle(watch: Watch): Promise<void> {
  if (!watch.dirty || watch.lost !== undefined) return;
  flush(watch);
  watch.dirty = false;
  const { recent, backend: { device } } = watch;
  device.pushErrorScope("validation");
  await device.popErrorScope().catch(() => null);
  // Events come in a turn of their own; what follows from a refusal comes some turns later.
  await new Promise((resolve) => setImmediate(resolve));
  if (watch.failures.length > watch.answered) await new Promise((resolve) => setTimeout(resolve, 20));
  watch.answered = watch.failures.length;
  // What was run meanwhile may be answered for later.
  if (watch.recent === recent && !watch.dirty) watch.recent = new WeakSet();
}

/** Submits what tfjs collects, so that nothing which comes after is in one command buffer with it. */
function flush({ backend }: Watch): void {
  if (backend.commandEncoder === null) return;
  backend.endComputePassEncoder();
  backend.submitQueue();
}

/**
 * Runs a part of a training; on WebGPU waits until the device has answered for it, and throws what it refused.
 *
 * @param part What computes.
 * @returns Its result; rejects with an `Error` whose cause is a {@link DeviceFailed} if the device refused an operation meanwhile.
 */
export async function onDevice<A>(part: () => A | Promise<A>): Promise<A> {
  const watch = (tf.getBackend() as string | undefined) === "webgpu" ? watchOf(tf.backend()) : undefined;
  if (watch === undefined) return await part();
  const before = watch.failures.length;
  let result: A;
  try {
    result = await part();
  } finally {
    await settle(watch);
  }
  const since = watch.failures.slice(before);
  const failure = since.find(({ kernel }) => kernel !== undefined) ?? since[0];
  if (failure !== undefined) throw toError(failure);
  return result;
}

/**
 * Sees that data of a backend is what was computed; throws an `Error` whose cause is a {@link DeviceFailed} if that is known not to be so.
 *
 * @param backend Any backend of tfjs.
 * @param dataId Data of it.
 */
export function checkData(backend: unknown, dataId: object): void {
  const watch = watchOf(backend);
  const why = watch && whySpoiled(watch, dataId);
  if (why !== undefined) throw toError(why);
}

/**
 * Reads data from a GPU, once it is known that it is what was computed.
 *
 * @param backend Its backend.
 * @param dataId The data.
 * @param read Reads it.
 * @returns What was read; rejects with an `Error` whose cause is a {@link DeviceFailed} if it is not to be used, or cannot be read.
 */
export async function readData<A>(backend: unknown, dataId: object, read: () => Promise<A>): Promise<A> {
  const watch = watchOf(backend);
  if (watch === undefined) return await read();
  await settle(watch);
  checkData(backend, dataId);
  const failed = (message: string): Error => toError({ _tag: "DeviceFailed", message: firstLine(message) });
  if (watch.lost !== undefined) throw failed(watch.lost);
  let end = (_: string): void => {};
  const lost = new Promise<never>((_, reject) => end = (message) => reject(failed(message)));
  watch.reads.add(end);
  try {
    flush(watch);
    return await Promise.race([read(), lost]);
  } catch (cause) {
    throw toError(cause).cause === undefined ? failed(`it cannot be read: ${toError(cause).message}`) : cause;
  } finally {
    watch.reads.delete(end);
  }
}
