/**
 * TensorFlow.js: the handlers that capture and restore its tensors, variables, layers, models and optimizers, and the private parts of its training API that are used.
 *
 * Read `engine` and `tensor`, then the folders `optimizers` and `layers`. `private_fields` and the `*_api` modules declare what TensorFlow.js keeps
 * private. Facts about it were read in the source of version 4.22.0.
 *
 * Promises: capture copies no tensor data on any backend and changes no object; what cannot be rebuilt exactly is an error at its path.
 *
 * @module
 */
export { disposeOnFailure, registeredVariable, secondCopyFault } from "./engine.ts";
export { onDevice } from "./device_errors.ts";
export { backendName, exactBackend, isExact, memoryProblem, type Settings } from "./backend.ts";
export { hold, holdAt, variablesToTensors } from "./tensor_data.ts";
export { checkTensor, shapeOf, tensorKind } from "./tensor.ts";
export { assignAtCommit, givenVariableName, layerWeights, variableKind } from "./variable.ts";
export {
  batchOf,
  drawingFrom,
  hookRandom,
  isDataset,
  type Iterator,
  type ReproducibleDataset,
  sampleWeights,
  type TfDataset,
} from "./dataset_api.ts";
export { type CallNode, callsOf, layerFields, type LayerVariable, modelFields } from "./private_fields.ts";
export { listItems, recordEntries, stateIn, textIn } from "./state_nodes.ts";
export {
  argumentFieldsOf,
  type Batch,
  type Callbacks,
  callbacksOf,
  checkCallbacks,
  disposeLogs,
  disposeNew,
  isCallback,
  type Logs,
  type Trainer,
  trainerOf,
  trainOnBatch,
} from "./training_api.ts";
