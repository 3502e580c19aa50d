/**
 * `captureState` of 512 MiB in 200 tensors, against copying the same tensors.
 *
 *     bun run bench capture
 *
 * @module
 */
import { captureState, release } from "@dogear/dogear";
import { compare } from "./rounds.ts";
import { mebi, useBackend, variables } from "./scene.ts";

for (const backend of ["cpu", "wasm"] as const) {
  await useBackend(backend);
  const weights = variables(512 * mebi, 200);
  const snapshots: ReturnType<typeof captureState>[] = [];
  await compare(
    {
      name: `${backend}: capture 512 MiB in 200 tensors`,
      run: () => void snapshots.push(captureState({ weights })),
      after: () => snapshots.splice(0).forEach((snapshot) => release(snapshot)()),
    },
    { name: "copy their data", run: () => void weights.map((weight) => weight.dataSync().slice()) },
    25,
  );
  weights.forEach((weight) => weight.dispose());
}
