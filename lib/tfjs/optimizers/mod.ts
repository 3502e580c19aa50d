/**
 * Optimizers: the handlers of TensorFlow.js's seven optimizers and of the user's own, with every hidden field.
 *
 * Read `optimizer_class` (where each class keeps its state), then `optimizer`. `object_fields` and `field_kinds` capture the fields of user-defined classes.
 *
 * Promises: a restored optimizer takes the next step with the same bits; `setLearningRate` changes what training does.
 *
 * @module
 */
export { fieldKinds, isPlainData } from "./field_kinds.ts";
export { tensorsInFields } from "./object_fields.ts";
export { optimizerKind, setLearningRate } from "./optimizer.ts";
