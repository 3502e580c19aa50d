/**
 * What this process is, for a checkpoint to record: apart from the catalogue, so that reading one need not load tfjs.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { version } from "./catalogue.ts";
import type { Environment } from "./manifest.ts";

// --- constructors

/** What this process is. */
export function environment(): Environment {
  const { Bun, Deno, process } = globalThis as {
    readonly Bun?: { readonly version: string };
    readonly Deno?: { readonly version: { readonly deno: string } };
    readonly process?: { readonly version: string };
  };
  const runtime = Bun ? `bun ${Bun.version}` : Deno ? `deno ${Deno.version.deno}` : `node ${process?.version.slice(1)}`;
  // tfjs has no backend before its first operation, whatever its types say; a run of plain data never has one.
  const backend = (tf.getBackend() as string | undefined) ?? "none";
  return { dogear: version, tfjs: tf.version["tfjs"], runtime, backend };
}
