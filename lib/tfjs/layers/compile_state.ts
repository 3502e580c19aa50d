/**
 * What `model.compile` decided: the optimizer, the losses and metrics, and the list of weights that the compiled model trains.
 *
 * `collectedTrainableWeights` is what a compiled model trains, even if `trainable` was changed since (tfjs-layers 4.22, `engine/training.ts`).
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { entry, type Node, record, type Site, type Target } from "../../state/mod.ts";
import { isPlainRecord } from "../../validation/mod.ts";
import { layerFields, listItems, modelFields } from "../mod.ts";

// --- constructors

/** The private fields of the model that trains: a sequential model delegates to an inner one. */
function trainingFields(model: tf.LayersModel): ReturnType<typeof modelFields> {
  return modelFields(modelFields(model).model ?? model);
}

// --- capture and restore

/** Losses or metrics as data: each a name, or the name of a function; by output if the user gave them so. */
function encodeLosses(losses: unknown, outputNames: readonly string[]): unknown {
  if (typeof losses === "function") return { function: losses.name };
  if (Array.isArray(losses)) return losses.map((loss) => encodeLosses(loss, outputNames));
  if (isPlainRecord(losses)) {
    // By the output's index: the keys are names of output layers, which tfjs may have generated.
    const parts = outputNames.map((
      name,
      i,
    ) => [i, name in losses ? encodeLosses(losses[name], outputNames) : undefined]);
    return { byOutput: parts.filter(([, loss]) => loss !== undefined) };
  }
  return losses ?? null;
}

function decodeLosses(losses: unknown, outputNames: readonly string[], target: Target, at: string): unknown {
  if (Array.isArray(losses)) return losses.map((loss) => decodeLosses(loss, outputNames, target, at));
  if (!isPlainRecord(losses)) return losses;
  if ("function" in losses) {
    const remedy =
      "A checkpoint holds no code. Load it into a model that is compiled with this function, or load the model alone: " +
      "loadModel(store, { compile: false })";
    return target.problem("config", "the name of a loss or metric", `the function ${losses["function"]}`, at, remedy);
  }
  const byOutput = losses["byOutput"] as readonly (readonly [number, unknown])[];
  return Object.fromEntries(byOutput.map(([i, loss]) => [outputNames[i], decodeLosses(loss, outputNames, target, at)]));
}

/** The compile state of a model; null if it is not compiled. */
export function encodeCompile(model: tf.LayersModel, site: Site): Node {
  if (!model.optimizer) return null;
  const fields = trainingFields(model);
  const removed = fields.collectedTrainableWeights?.find(({ val }) => !site.names.has(val));
  if (removed !== undefined) {
    const found = `${removed.originalName} of a layer it no longer has: compile it again`;
    site.refuse("a model that trains its own weights", found);
  }
  const { collectedTrainableWeights = [] } = fields;
  return record([
    ["optimizer", site.part(["compile", "optimizer"], model.optimizer)],
    ["owned", fields.isOptimizerOwned],
    ["loss", site.plain(encodeLosses(fields.loss, fields.outputNames))],
    ["metrics", site.plain(encodeLosses(fields.metrics, fields.outputNames))],
    ["trained", collectedTrainableWeights.map(({ val }, i) => site.part(["compile", "trained", i], val))],
  ]);
}

/** Compiles a freshly built model. */
export function buildCompile(saved: Node, target: Target, model: tf.LayersModel): void {
  const { outputNames } = trainingFields(model);
  const loss = decodeLosses(target.plain(entry(saved, "loss") ?? null), outputNames, target, "compile/loss");
  const metrics = decodeLosses(target.plain(entry(saved, "metrics") ?? null), outputNames, target, "compile/metrics");
  const optimizer = target.object(["compile", "optimizer"], entry(saved, "optimizer") ?? null);
  if (loss === undefined || metrics === undefined || !(optimizer instanceof Object)) return;
  model.compile({
    optimizer: optimizer as tf.Optimizer,
    loss: loss as string,
    ...(metrics === null ? {} : { metrics: metrics as string }),
  });
  for (const part of [model, modelFields(model).model]) {
    if (part !== undefined) modelFields(part).isOptimizerOwned = entry(saved, "owned") === true;
  }
}

/**
 * Restores the compile state into a model that is compiled alike.
 *
 * @param hasSameLayers Whether the model has the saved layers. With others, which are reported, it trains other weights.
 */
export function restoreCompile(saved: Node, target: Target, model: tf.LayersModel, hasSameLayers: boolean): void {
  const isCompiled = Boolean(model.optimizer);
  // `buildCompile` reported why a fresh model could not be compiled.
  if (target.fresh && !isCompiled) return;
  if (isCompiled && saved === null) return target.differs("config", "compiled", "not compiled", "compile");
  if (saved === null) return;
  if (!isCompiled) return target.differs("config", "not compiled", "compiled", "compile");
  const fields = trainingFields(model);
  for (const part of ["loss", "metrics"] as const) {
    const live = JSON.stringify(encodeLosses(fields[part], fields.outputNames));
    const found = JSON.stringify(target.plain(entry(saved, part) ?? null));
    if (live !== found) target.differs("config", live, found, `compile/${part}`);
  }
  target.part(["compile", "optimizer"], model.optimizer, entry(saved, "optimizer") ?? null);
  if (!hasSameLayers) return;
  const trained = listItems(entry(saved, "trained")).map((node, i) => target.value(["compile", "trained", i], node));
  target.commit(() => {
    const all = [...fields.collectedTrainableWeights ?? [], ...layerFields(model).weights];
    const weights = new Map(all.map((weight) => [weight.val, weight]));
    fields.collectedTrainableWeights = trained.flatMap((variable) => weights.get(variable() as tf.Variable) ?? []);
  });
}
