/**
 * Layers and models: their handlers, from configuration to weights, flags, recurrent states and call graph.
 *
 * Read `layer`, then `model`. The other modules are one part of a layer or a model each.
 *
 * Promises: a layer that cannot be rebuilt exactly is an error at its path; names that TensorFlow.js generated are not state.
 *
 * @module
 */
export { sublayers } from "./layer_name.ts";
export { layerKind } from "./layer.ts";
export { modelKind } from "./model.ts";
