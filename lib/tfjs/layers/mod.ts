/**
 * Layers and models: captures and restores them, from the config to weights, flags, recurrent states and the graph of calls.
 *
 * Read `class_name` and `layer_name` for how a class and a name are identified. Then read `layer`, with `layer_config`, `layer_flags`,
 * `recurrent_state` and `user_layer_fields`; then `model`, with `call_graph`, `input_names` and `compile_state`.
 *
 * Promises: a layer that cannot be rebuilt exactly is an error at its path; names that TensorFlow.js generated are not state.
 *
 * @module
 */
export { sublayers } from "./layer_name.ts";
export { layerKind } from "./layer.ts";
export { modelKind, uncompiled } from "./model.ts";
