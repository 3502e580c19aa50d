/**
 * The private fields of tfjs's layers and models; see tfjs-layers 4.22, `engine/topology.ts`, `engine/container.ts`, `variables.ts`.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";

// --- types

/** A weight of a layer. Training changes the core variable in it. */
export interface LayerVariable {
  readonly originalName: string;
  val: tf.Variable;
  trainable: boolean;
}

interface LayerFields {
  name: string;
  trainable_?: boolean;
  _trainable?: boolean;
  readonly _trainableWeights: readonly LayerVariable[];
  readonly _nonTrainableWeights: readonly LayerVariable[];
  readonly weights: readonly LayerVariable[];
  /** The states of a stateful recurrent layer. */
  states_?: tf.Tensor[] | null;
  /** The option `weights`: the values that the layer's first call sets its weights to. */
  initialWeights?: readonly tf.Tensor[] | null;
  /** The counted seed of a random preprocessing layer. */
  readonly randomGenerator?: { seed: number | undefined };
}

/** One call of a layer in the graph of a functional model: a node of tfjs. */
export interface CallNode {
  readonly id: number;
  readonly outboundLayer: tf.layers.Layer;
  readonly inboundLayers: readonly tf.layers.Layer[];
  readonly nodeIndices: readonly number[];
  readonly tensorIndices: readonly number[];
  readonly inputTensors: readonly tf.SymbolicTensor[];
  readonly outputTensors: readonly tf.SymbolicTensor[];
  readonly callArgs?: Readonly<Record<string, unknown>>;
}

interface ModelFields {
  /** The inner model to which a sequential model delegates once it is built. */
  model?: tf.LayersModel | undefined;
  /** The calls of its graph, each as the layer's name and the index among the layer's calls. */
  readonly containerNodes: ReadonlySet<string>;
  readonly inputLayers?: readonly tf.layers.Layer[];
  readonly outputLayers?: readonly tf.layers.Layer[];
  readonly outputLayersNodeIndices: readonly number[];
  readonly outputLayersTensorIndices: readonly number[];
  readonly inputNames: readonly string[];
  readonly outputNames: readonly string[];
  /** The weights that the compiled model trains, even if `trainable` was changed since. */
  collectedTrainableWeights?: readonly LayerVariable[];
  isOptimizerOwned: boolean;
  loss: unknown;
  metrics: unknown;
}

// --- constructors

/** A layer's private fields. */
export function layerFields(layer: tf.layers.Layer): LayerFields & Record<string, unknown> {
  return layer as unknown as LayerFields & Record<string, unknown>;
}

/** A model's private fields. */
export function modelFields(model: tf.LayersModel): ModelFields {
  return model as unknown as ModelFields;
}

/** The calls of a layer in all graphs. */
export function callsOf(layer: tf.layers.Layer): readonly CallNode[] {
  return layer.inboundNodes as unknown as readonly CallNode[];
}
