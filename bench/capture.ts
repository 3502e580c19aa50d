/**
 * `captureState` of 512 MiB in 200 tensors, against 1 MiB in 200 tensors. No data is copied, so the size must not matter.
 *
 *     bun run bench capture
 *
 * @module
 */
import { captureState, release } from "@dogear/dogear";
import type * as tf from "@tensorflow/tfjs";
import { compare } from "./rounds.ts";
import { mebi, useBackend, variables } from "./scene.ts";

function capturing(name: string, weights: readonly tf.Variable[]): Parameters<typeof compare>[0] {
  const snapshots: ReturnType<typeof captureState>[] = [];
  return {
    name,
    run: () => void snapshots.push(captureState({ weights })),
    after: () => snapshots.splice(0).forEach((snapshot) => release(snapshot)()),
  };
}

for (const backend of ["cpu", "wasm"] as const) {
  await useBackend(backend);
  const [large, small] = [variables(512 * mebi, 200), variables(mebi, 200)];
  await compare(
    capturing(`${backend}: capture 512 MiB in 200 tensors`, large),
    capturing("capture 1 MiB in 200 tensors", small),
    101,
  );
  [...large, ...small].forEach((weight) => weight.dispose());
}
