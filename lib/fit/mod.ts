/**
 * Resumable `model.fit` and `model.fitDataset`: the training loop of TensorFlow.js, saved at batches and resumed with the same bits.
 *
 * Read `options` and `fit`, then `training_run`, the loop that `fit` and `fit_dataset` share, with `user_calls`, `training_checkpoints`,
 * `repeated_call` and `followed_trainings`. Then
 * `training_state`, what a checkpoint holds, with `best_weights`, `callback_fields`,
 * `plain_maps` and `refill`. `fit_dataset` reads its data through
 * `dataset_feed`, with `tensor_checksum`.
 *
 * Promises: *same bits* as an uninterrupted call, callbacks included; what cannot be resumed exactly is refused before training begins.
 *
 * @module
 */
export { fit } from "./fit.ts";
export { fitDataset } from "./fit_dataset.ts";
export type { FitOptions, RestoreBest } from "./options.ts";
