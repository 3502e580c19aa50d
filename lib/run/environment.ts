/**
 * The environment of this process: the versions and the backend that a checkpoint records, and the memory that a load may use.
 *
 * It is not in `manifest.ts`, because reading a manifest must not load tfjs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { totalmem } from "node:os";
import { type Environment, version } from "../checkpoint/mod.ts";
import { backendName, isExact } from "../tfjs/mod.ts";

// --- constructors

/** The versions, runtime and backend of this process. */
export function environment(): Environment {
  const { bun, deno, node } = process.versions;
  const runtime = bun ? `bun ${bun}` : deno ? `deno ${deno}` : `node ${node}`;
  return { dogear: version, tfjs: tf.version["tfjs"], runtime, backend: backendName() };
}

/** The memory that this process may use, in bytes: the machine's, or the limit of its container. */
export function memoryLimit(): number {
  const { constrainedMemory } = process as { readonly constrainedMemory?: () => number };
  const limit = constrainedMemory?.call(process) ?? 0;
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}

// --- combinators

/** Why further steps in the current environment may give other bits than in the one that saved, as sentences. */
export function mayDiffer(saved: Environment, current: Environment): readonly string[] {
  // A state without tensors needs no backend.
  const names = [saved.backend, current.backend].includes("none") ? [] : ["tfjs", "backend"] as const;
  const changed = names.filter((name) => saved[name] !== current[name]);
  return [
    ...changed.map((name) => `${name}: ${saved[name]} when it was saved, ${current[name]} now`),
    ...(isExact(current.backend) ? [] : ["backend: webgpu repeats its bits only after exactBackend()"]),
  ];
}
