/**
 * The backends of tfjs that this runtime has: cpu and wasm everywhere, WebGPU in Deno.
 *
 * WebGPU needs an adapter: a graphics card, or Mesa's lavapipe (Debian: `mesa-vulkan-drivers`). Without one its tests are skipped, or
 * fail if `DOGEAR_WEBGPU=required`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import "@tensorflow/tfjs-backend-webgpu";
import assert from "node:assert/strict";
import process from "node:process";
import { exactBackend } from "../../mod.ts";
import { skippedIf } from "./portable.ts";

// --- types

export type Backend = "cpu" | "wasm" | "webgpu";

/** The private part of tfjs's WebGPU backend. */
export interface WebGPU {
  readonly tensorMap: { get(dataId: object): { readonly resource?: object | null; readonly values?: unknown } };
  uploadToGPU(dataId: object): void;
}

// --- constructors

const isDeno = process.versions["deno"] !== undefined;

/** The backends of a runtime. */
export const backendsOf: Readonly<Record<"bun" | "deno", readonly Backend[]>> = {
  bun: ["cpu", "wasm"],
  deno: ["cpu", "wasm", "webgpu"],
};

/** The backends of this runtime. */
export const backends: readonly Backend[] = backendsOf[isDeno ? "deno" : "bun"];

async function hasAdapter(): Promise<boolean> {
  const { gpu } = navigator as { readonly gpu?: { requestAdapter(): Promise<object | null> } };
  return (await gpu?.requestAdapter() ?? null) !== null;
}

/** Whether the WebGPU tests are skipped. */
export const noWebGPU: boolean = process.env["DOGEAR_WEBGPU"] !== "required" && !(isDeno && await hasAdapter());

/** Sets the backend, with its exact settings. */
export async function useBackend(backend: Backend): Promise<void> {
  exactBackend();
  assert.ok(await tf.setBackend(backend), `Expected the backend ${backend}, found no adapter for it`);
}

// --- combinators

/** A test on one backend; WebGPU tests are skipped without an adapter. */
export function testOn(backend: Backend, title: string, body: () => void | Promise<void>): void {
  const leftOut = backend === "webgpu" && noWebGPU;
  skippedIf(leftOut ? "no WebGPU adapter (mesa-vulkan-drivers)" : undefined)(`${title}, ${backend}`, async () => {
    await useBackend(backend);
    await body();
  });
}
