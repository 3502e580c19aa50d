/**
 * Optimizers: captures and restores every hidden field of TensorFlow.js's seven optimizers and of user-defined ones.
 *
 * Read `optimizer_class` for where each class keeps its state, then `optimizer`. `object_fields` captures the fields of objects of user-defined
 * classes, and `field_kinds` the values in them that are neither plain data nor components.
 *
 * Promises: a restored optimizer takes the next step with the same bits; `setLearningRate` changes what training does.
 *
 * @module
 */
export { fieldKinds, isPlainData } from "./field_kinds.ts";
export { tensorsInFields } from "./object_fields.ts";
export { optimizerKind, setLearningRate } from "./optimizer.ts";
