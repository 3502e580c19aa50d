/**
 * Backends: the WebGPU settings that make a run repeat its bits, and the memory limit of wasm.
 *
 * Facts from tfjs 4.22. WebGPU runs an operation on the CPU if it has fewer than 1,000 numbers and none of them is on the GPU, and `exp`
 * and others differ in bits between the two: a restored tensor is on the CPU, the saved one may have been on the GPU. It sums large inner
 * products by atomic additions, in any order. One setting turns each of these off. wasm's memory ends at 4 GiB. Beyond that its allocator
 * returns 0, or a block that ends past the memory; tfjs writes there all the same, and the backend is unusable afterwards.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { elementBytes, type Encoded, isBranch, isDType, nodesByPath, sizeOf } from "../state/mod.ts";
import type { Problem } from "../errors/mod.ts";
import { awaitable, type AwaitableIO } from "../task.ts";
import { watchDevices } from "./device_errors.ts";

// --- types

/** Flags of tfjs's environment by name. */
export type Settings = Readonly<Record<string, boolean | number>>;

/** The allocator of the wasm backend. */
type Allocator = { _malloc(bytes: number): number; _free(address: number): void };

// --- constructors

/**
 * The settings under which WebGPU repeats its bits: no operation on the CPU, and inner products in one order (3 is the packed program).
 *
 * To restore whether each tensor was on the GPU would not replace the first. A snapshot shares its data with the live tensors and with
 * every restore. An operation on one of them uploads the data for all, so two restores of one snapshot would not be independent.
 */
const exactSettings: Settings = { WEBGPU_CPU_FORWARD: false, WEBGPU_MATMUL_PROGRAM_TYPE: 3 };

/**
 * Makes the WebGPU backend repeat its bits and report its errors: run it before training on WebGPU.
 *
 * Every result is then on the GPU, however small: read it by `await tensor.data()`. An operation that the device rejects, which tfjs
 * ignores, becomes an error that names the kernel, in training, captures and saves. Scatters and gradients of embeddings may still add
 * atomically on some GPUs; tfjs has no setting for that. cpu and wasm need no settings.
 *
 * @returns The settings it made: `WEBGPU_CPU_FORWARD` and `WEBGPU_MATMUL_PROGRAM_TYPE` if `@tensorflow/tfjs-backend-webgpu` is imported,
 *   otherwise none.
 *
 * Law: *same bits*.
 *
 * @example
 * ```ts
 * import { exactBackend } from "@dogear/dogear";
 * import * as tf from "@tensorflow/tfjs";
 * import assert from "node:assert/strict";
 *
 * await tf.setBackend("cpu");
 * assert.deepEqual(exactBackend(), {});
 * ```
 */
export const exactBackend: AwaitableIO<Settings> = awaitable((): Settings => {
  const { flagRegistry } = tf.env() as unknown as { readonly flagRegistry: object };
  const settings = Object.entries(exactSettings).filter(([name]) => Object.hasOwn(flagRegistry, name));
  for (const [name, value] of settings) tf.env().set(name, value);
  if (settings.length > 0) watchDevices();
  return Object.fromEntries(settings);
});

function withSettings(name: string, valueOf: (setting: string) => unknown): string {
  return [name, ...Object.keys(exactSettings).map((setting) => `${setting}=${valueOf(setting)}`)].join(" ");
}

/** The backend in use, with what else decides its bits: WebGPU's settings, tfjs-node's GPU. */
export function backendName(): string {
  // Contrary to its type, tfjs has no backend before its first operation; a run of plain data never has one.
  const name = (tf.getBackend() as string | undefined) ?? "none";
  // tfjs-node's kernels differ on a GPU.
  if (name === "tensorflow" && (tf.backend() as { readonly isUsingGpuDevice?: unknown }).isUsingGpuDevice === true) {
    return "tensorflow gpu";
  }
  return name === "webgpu" ? withSettings(name, (setting) => tf.env().get(setting)) : name;
}

/** Whether a backend of this name repeats its bits. */
export function isExact(name: string): boolean {
  return !name.startsWith("webgpu") || name === withSettings("webgpu", (setting) => exactSettings[setting]);
}

// --- capture and restore

/** The memory that a restore needs in addition to the tensors: 1 MiB. */
const spareBytes = 2 ** 20;
/** The end of wasm's memory: one page (64 KiB) below 4 GiB. */
const memoryEnd = 2 ** 32 - 2 ** 16;

/** The size in bytes of each tensor that a restore allocates: a fresh layer allocates each weight once more, for its initial value. */
function allocationsOf(encoded: Encoded, fresh: boolean): readonly number[] {
  return [...nodesByPath(encoded.components).values()].flatMap((node) => {
    if (!isBranch(node) || node.is !== "array" || node.held.resident === undefined) return [];
    const { element, shape } = node.held;
    const bytes = isDType(element) ? sizeOf(shape) * elementBytes(element) : 0;
    return bytes === 0 ? [] : fresh && node.name !== undefined ? [bytes, bytes] : [bytes];
  });
}

/**
 * Checks that the memory of a restore can be allocated, by allocating and freeing it. Only wasm is checked: it alone breaks when it
 * runs out of memory.
 *
 * @param encoded The state to be restored.
 * @param fresh Whether models are built from it.
 * @returns The problem if the memory is too small.
 */
export function memoryProblem(encoded: Encoded, fresh: boolean): Problem | undefined {
  if (tf.getBackend() !== "wasm") return undefined;
  const { wasm } = tf.backend() as unknown as { readonly wasm: Allocator };
  const sizes = allocationsOf(encoded, fresh);
  if (sizes.length === 0) return undefined;
  const blocks: number[] = [];
  try {
    const fit = [spareBytes, ...sizes].every((bytes) => {
      const address = wasm._malloc(bytes);
      if (address !== 0) blocks.push(address);
      return address !== 0 && (address >>> 0) + bytes <= memoryEnd;
    });
    if (fit) return undefined;
    const total = sizes.reduce((a, b) => a + b);
    const expected = `${total} bytes free in the memory of the wasm backend, which ends at 4 GiB`;
    return { path: "", kind: "memory", expected, found: "less, because its tensors take the rest" };
  } finally {
    for (const address of blocks) wasm._free(address);
  }
}
