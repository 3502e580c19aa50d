/**
 * What this process is, for a checkpoint to record: apart from the catalogue, so that reading one need not load tfjs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { version } from "./catalogue.ts";
import type { Environment } from "./manifest.ts";
import { backendName, isExact } from "./tfjs/backend.ts";

// --- constructors

/** What this process is. */
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

/** Why further steps in one environment may have other bits than they would have had in the one that saved, in a sentence each. */
export function mayDiffer(saved: Environment, current: Environment): readonly string[] {
  // What has no tensors has no backend.
  const names = [saved.backend, current.backend].includes("none") ? [] : ["tfjs", "backend"] as const;
  const changed = names.filter((name) => saved[name] !== current[name]);
  return [
    ...changed.map((name) => `${name}: ${saved[name]} when it was saved, ${current[name]} now`),
    ...(isExact(current.backend) ? [] : ["backend: webgpu repeats its bits only after exactBackend()"]),
  ];
}
