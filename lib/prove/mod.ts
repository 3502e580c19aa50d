/**
 * Proof that a training resumes: it runs, is resumed from several points, in new processes too, and every step is compared. The entry `@dogear/dogear/prove`.
 *
 * Promises: a training that does not resume with the same bits is reported with its first different step, the path and the cause.
 *
 * @example
 * ```ts
 * import { Loader, pipe } from "@dogear/dogear";
 * import { proveResume } from "@dogear/dogear/prove";
 * import assert from "node:assert/strict";
 *
 * const loader = pipe(Loader.fromArray([1, 2, 3, 4]), Loader.batch(2));
 * const proof = await proveResume({
 *   loader,
 *   fresh: () => ({ sum: 0, cursor: Loader.start(loader) }),
 *   step: (state, batch) => ({ ...state, sum: state.sum + batch.length }),
 * });
 * assert.equal(proof.steps, 2);
 * ```
 *
 * @module
 */

// Read `prove`; then `steps`, `uninterrupted_run` and `resumed_run`, the runs that it compares; then `spawn` and `worker` for new processes; then
// `diagnose`, which names the cause of a difference, with `nondeterminism` and `mutations`, which record what a step reads and changes.
export { type Proof, type ProveOptions, proveResume } from "./prove.ts";
export type { Training } from "./steps.ts";
