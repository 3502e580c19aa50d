/**
 * TensorFlow.js: captures and restores its tensors, variables, layers, models and optimizers, and calls the private parts of its training API.
 *
 * Read `engine` and `private_fields` for what TensorFlow.js keeps private. Then read `tensor_data`, `tensor` and `variable`, and the folders
 * `optimizers` and `layers`. `backend` and `device_errors` are about what a backend gets wrong; `training_api` and `dataset_api` serve the
 * training loops, `gradients` those of users. Facts about TensorFlow.js were read in the source of version 4.22.0.
 *
 * Promises: capture copies no tensor data on any backend and changes no object; what cannot be rebuilt exactly is an error at its path.
 *
 * @module
 */
export { disposeOnFailure, registeredVariable, secondCopyFault } from "./engine.ts";
export { type CallNode, callsOf, layerFields, type LayerVariable, modelFields } from "./private_fields.ts";
export { listItems, recordEntries, stateIn, textIn } from "./state_nodes.ts";
export { hold, holdAt, variablesToTensors } from "./tensor_data.ts";
export { checkTensor, shapeOf, tensorKind } from "./tensor.ts";
export { assignAtCommit, givenVariableName, layerWeights, variableKind } from "./variable.ts";
export { backendName, exactBackend, isExact, memoryProblem, type Settings } from "./backend.ts";
export { onDevice } from "./device_errors.ts";
export { accumulateGrads, type MeanGradients } from "./gradients.ts";
export {
  argumentFieldsOf,
  type Batch,
  type Callbacks,
  callbacksOf,
  checkCallbacks,
  checkFitData,
  checkNumbers,
  disposeLogs,
  disposeNew,
  isCallback,
  type Logs,
  mayAddLogs,
  type Trainer,
  trainerOf,
  trainOnBatch,
} from "./training_api.ts";
export { batchOf, drawingFrom, isDataset, type Iterator, sampleWeights, type TfDataset } from "./dataset_api.ts";
