/**
 * What a backend of tfjs does to the bits of a run and how much it can hold: WebGPU's settings and wasm's memory.
 *
 * Facts this rests on (tfjs 4.22). WebGPU computes an operation on fewer than 1,000 numbers on the CPU if none of them is on the GPU, where
 * `exp` and others have other bits: a restored tensor is not, the one that it was saved from may have been. Large inner products it sums
 * by atomic additions, in any order. One setting each ends that. wasm's memory ends at 4 GiB: beyond, its allocator answers 0, or with a block
 * that ends past the memory; tfjs writes there all the same, and nothing works any more.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import type { IO } from "fp-ts/lib/IO.js";
import type { Encoded } from "../encode.ts";
import type { Problem } from "../errors.ts";
import { isBranch, nodesByPath } from "../state_tree.ts";
import { elementBytes, isDType, sizeOf } from "../tensor.ts";
import { watchDevices } from "./device.ts";

// --- types

/** Settings of tfjs by their names. */
export type Settings = Readonly<Record<string, boolean | number>>;

/** The allocator of the wasm backend's memory. */
interface Allocator {
  readonly _malloc: (bytes: number) => number;
  readonly _free: (address: number) => void;
}

// --- constructors

/**
 * The settings under which WebGPU repeats its bits: no operation on the CPU, and inner products in one order (3 is the packed program).
 *
 * Restoring where each tensor was would not do instead of the first. That belongs to the data, which a snapshot shares with the live tensors and
 * with every restore: an operation of one of them uploads it for all, so that two restores of one snapshot would not be independent.
 */
const exact: Settings = { WEBGPU_CPU_FORWARD: false, WEBGPU_MATMUL_PROGRAM_TYPE: 3 };

/**
 * Sets what a backend needs to repeat its bits: run it before training on WebGPU.
 *
 * On WebGPU results are then on the GPU, however small they are, and read by `await tensor.data()`. The device is listened to from now on: an
 * operation that it refuses (tfjs does not look) is an error that names the kernel, in training, captures and saves. Scatters and gradients of embeddings may
 * add atomically on some GPUs all the same, for which tfjs has no setting; cpu and wasm need none.
 *
 * @returns What it set: `WEBGPU_CPU_FORWARD` and `WEBGPU_MATMUL_PROGRAM_TYPE` where `@tensorflow/tfjs-backend-webgpu` is imported, nothing
 *   elsewhere.
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
export const exactBackend: IO<Settings> = () => {
  const { flagRegistry } = tf.env() as unknown as { readonly flagRegistry: object };
  const known = Object.entries(exact).filter(([name]) => Object.hasOwn(flagRegistry, name));
  for (const [name, value] of known) tf.env().set(name, value);
  if (known.length > 0) watchDevices();
  return Object.fromEntries(known);
};

function withSettings(name: string, valueOf: (setting: string) => unknown): string {
  return [name, ...Object.keys(exact).map((setting) => `${setting}=${valueOf(setting)}`)].join(" ");
}

/** The backend in use and, for WebGPU and tfjs-node, what decides its bits. */
export function backendName(): string {
  // tfjs has no backend before its first operation, whatever its types say; a run of plain data never has one.
  const name = (tf.getBackend() as string | undefined) ?? "none";
  // tfjs-node has other kernels on a GPU.
  if (name === "tensorflow" && (tf.backend() as { readonly isUsingGpuDevice?: unknown }).isUsingGpuDevice === true) {
    return "tensorflow gpu";
  }
  return name === "webgpu" ? withSettings(name, (setting) => tf.env().get(setting)) : name;
}

/** Whether a backend of this name repeats its bits. */
export function isExact(name: string): boolean {
  return !name.startsWith("webgpu") || name === withSettings("webgpu", (setting) => exact[setting]);
}

// --- capture and restore

/** What a restore asks of the memory beside the tensors themselves. */
const spareBytes = 2 ** 20;
/** Where wasm's memory ends: 64 KiB, one page, below 4 GiB. */
const memoryEnd = 2 ** 32 - 2 ** 16;

/** The bytes of each tensor that a restore would have to make; a layer that is built makes its weights once before it is given these. */
function tensorsToMake(encoded: Encoded, fresh: boolean): readonly number[] {
  return [...nodesByPath(encoded.components).values()].flatMap((node) => {
    if (!isBranch(node) || node.is !== "array" || node.held.resident === undefined) return [];
    const { element, shape } = node.held;
    const bytes = isDType(element) ? sizeOf(shape) * elementBytes(element) : 0;
    return bytes === 0 ? [] : fresh && node.name !== undefined ? [bytes, bytes] : [bytes];
  });
}

/**
 * Asks the backend in use for the memory of a restore, and gives it back: only wasm's can be asked, and only it is ruined by asking too much.
 *
 * @param encoded What is to be restored.
 * @param fresh Whether models are built from it.
 * @returns That there is too little; nothing if there is enough.
 */
export function roomProblem(encoded: Encoded, fresh: boolean): Problem | undefined {
  if (tf.getBackend() !== "wasm") return undefined;
  const { wasm } = tf.backend() as unknown as { readonly wasm: Allocator };
  const sizes = tensorsToMake(encoded, fresh);
  if (sizes.length === 0) return undefined;
  const taken: number[] = [];
  try {
    for (const bytes of [spareBytes, ...sizes]) {
      const address = wasm._malloc(bytes);
      if (address !== 0) taken.push(address);
      if (address === 0 || (address >>> 0) + bytes > memoryEnd) {
        const total = sizes.reduce((a, b) => a + b);
        return {
          path: "",
          kind: "memory",
          expected: `room for ${total} bytes in the memory of the wasm backend, which ends at 4 GiB`,
          found: "less beside its tensors",
        };
      }
    }
    return undefined;
  } finally {
    for (const address of taken) wasm._free(address);
  }
}
