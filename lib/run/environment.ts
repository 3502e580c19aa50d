/**
 * The environment of this process, as a checkpoint records it. It is not in `manifest.ts`, because reading a manifest must not load tfjs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { type Environment, version } from "../checkpoint/mod.ts";
import { backendName, isExact } from "../tfjs/mod.ts";

// --- constructors

/** The versions, runtime and backend of this process. */
export function environment(): Environment {
  const { Bun, Deno, process } = globalThis as {
    readonly Bun?: { readonly version: string };
    readonly Deno?: { readonly version: { readonly deno: string } };
    readonly process?: { readonly version: string };
  };
  const runtime = Bun ? `bun ${Bun.version}` : Deno ? `deno ${Deno.version.deno}` : `node ${process?.version.slice(1)}`;
  return { dogear: version, tfjs: tf.version["tfjs"], runtime, backend: backendName() };
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
