/**
 * Every kind of network, on every backend of this runtime, resumes with the same bits in new processes of every runtime with that backend.
 *
 * By default each network is paired with one optimizer and each optimizer with one or two networks; on WebGPU, three are. Of these pairs Bun
 * has one half on cpu and the other on wasm, and Deno the opposite ones. From torture 2 on both have all; from torture 4 on each network is paired with four
 * optimizers.
 * `bun tests/programs/networks.ts` prints the whole table.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Backend, backends, testOn } from "../support/backends.ts";
import { here } from "../support/children.ts";
import { masked, networks, optimizers } from "../programs/kinds.ts";
import { cellsOf, pairings } from "../programs/networks.ts";
import { isTriedHere, torture } from "../support/torture.ts";

const every = Object.keys(networks).length;

/** The number of pairs: fewer on WebGPU, where each process compiles its shaders. */
function countOn(backend: Backend): number {
  return backend === "webgpu" ? Math.min(3 * every, 3 * torture) : every * Math.min(4, torture);
}

/** Pairs with masked networks: half of these networks in each runtime. */
const half = Object.keys(masked).length / 2;
const withMasks = pairings(
  torture > 1 ? Object.keys(masked) : Object.keys(masked).slice(...here === "bun" ? [0, half] : [half]),
).slice(0, half * Math.min(4, torture));

/** Networks for which tfjs 4.22 lacks kernels, by backend. */
const untrainable: Readonly<Record<string, readonly string[]>> = {
  wasm: [
    "2-d convolution",
    "1-d convolution",
    "separable and depthwise",
    "embedding",
    "masked GRU, words",
    "masked LSTM, words",
    "masked convolutional LSTM",
  ],
};

for (const backend of backends) {
  testOn(backend, `same bits: 13 kinds of network by 7 optimizers, and with masks, saved in ${here}`, async () => {
    const shared = backend !== "webgpu" && torture === 1;
    const plain = pairings(Object.keys(networks)).slice(0, countOn(backend))
      .filter((_, n) => !shared || isTriedHere(n + (backend === "cpu" ? 0 : 1)));
    const cells = await cellsOf(here, backend, [...plain, ...withMasks]);
    assert.equal(
      new Set(cells.map(({ network, optimizer }) => `${network} ${optimizer}`)).size,
      plain.length + withMasks.length,
    );
    if (plain.length >= every) {
      const seen = cells.filter(({ network }) => network in networks);
      assert.deepEqual(new Set(seen.map(({ network }) => network)), new Set(Object.keys(networks)));
      assert.deepEqual(new Set(seen.map(({ optimizer }) => optimizer)), new Set(Object.keys(optimizers)));
    }
    for (const { network, optimizer, verdict, reason = "" } of cells) {
      const cannot = untrainable[backend]?.includes(network) === true;
      const expected = cannot ? "unsupported" : backend === "webgpu" && network in masked ? "refused" : "exact";
      assert.equal(verdict, expected, `${network} by ${optimizer}: ${reason}`);
      if (cannot) assert.match(reason, /^Kernel '\w+' not registered for backend 'wasm'$/);
      if (expected === "refused") assert.match(reason, /^WebGPU refused the kernel TransposeProgram of tfjs/);
    }
  });
}
