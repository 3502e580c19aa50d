/**
 * Resumable `model.fit` and `model.fitDataset`: the training loop of TensorFlow.js, saved at batches and resumed with the same bits.
 *
 * Read `fit`, then `training_run`, which both trainings share, then `training_state` and `callback_fields`.
 *
 * Promises: *same bits* as an uninterrupted call, callbacks included; what cannot be resumed exactly is refused before training begins.
 *
 * @module
 */
export { fit } from "./fit.ts";
export { fitDataset } from "./fit_dataset.ts";
export type { FitOptions } from "./options.ts";
