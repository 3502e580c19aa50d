/**
 * The kind of variables: a value, whether it is trainable, the name the user gave it, and the order among registered variables.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import { entry, isBranch, type Kind, type Node, record, scalar, type Target } from "../state/mod.ts";
import { engine, registeredVariable } from "./engine.ts";
import { textIn } from "./state_nodes.ts";
import { checkTensor, shapeOf } from "./tensor.ts";
import { holdAt } from "./tensor_data.ts";

// --- constructors

/** Variables that are weights of layers. Their layers name them. */
export const layerWeights: WeakSet<tf.Variable> = new WeakSet<tf.Variable>();

/** The names in the state of variables that are registered under another name because theirs was taken. */
const restoredNames = new WeakMap<tf.Variable, string>();

/** The name the user gave a variable, or null if tfjs generated it: a counter, or the path of a layer whose name is generated. */
export function givenVariableName(variable: tf.Variable): string | null {
  const name = restoredNames.get(variable) ?? variable.name;
  return /^\d+$/.test(name) || /(^|\/)[a-z][a-z0-9_]*_[A-Z]\w*\d\//.test(name) ? null : name;
}

function makeVariable(value: tf.Tensor, trainable: boolean, name: string | null): tf.Variable {
  if (name === null) return tf.variable(value, trainable);
  let free = name;
  for (let k = 1; registeredVariable(free) !== undefined; k++) free = `${name}_${k}`;
  const variable = tf.variable(value, trainable, free);
  restoredNames.set(variable, name);
  return variable;
}

// --- capture and restore

/** Assigns a tensor to a live variable at commit and disposes the tensor afterwards. */
export function assignAtCommit(target: Target, variable: tf.Variable, tensor: tf.Tensor): void {
  target.commit(() => variable.assign(tensor));
  target.after(() => tensor.dispose());
}

/** Compares the names, except where a layer or an optimizer names the variable. */
function checkVariableName(state: Node, target: Target, live: tf.Variable): void {
  const [saved, given, value] = [textIn(state, "name"), givenVariableName(live), entry(state, "value")];
  const isNamedByLayer = value !== undefined && isBranch(value) && value.is === "array" && value.name !== undefined;
  // In a component with several models, only the first names a shared weight.
  const isOwned = isNamedByLayer || (saved === null && layerWeights.has(live));
  if (isOwned || target.fields || saved === given) return;
  target.differs("name", given ?? "a generated name", saved ?? "a generated name");
}

/** The kind of variables. */
export const variableKind: Kind<tf.Variable> = {
  name: "Variable",
  is: (u): u is tf.Variable => u instanceof tf.Variable && !u.isDisposed,
  encode: (variable, site) => {
    const owned = site.names.get(variable);
    // An optimizer names its accumulators after the variables that it trains, so their names are not state.
    const isAccumulator = site.fields && !variable.trainable;
    return record([
      ["name", owned === undefined && !isAccumulator ? givenVariableName(variable) : null],
      ["trainable", variable.trainable],
      ["value", site.hold(holdAt(variable, site), owned)],
    ]);
  },
  build: (state, target) => {
    const trainable = scalar(state, "trainable", "boolean", target);
    const tensor = checkTensor(entry(state, "value"), target);
    if (tensor === undefined || trainable === undefined) return undefined;
    target.after(() => tensor.dispose());
    return makeVariable(tensor, trainable, textIn(state, "name"));
  },
  restore: (state, target, live) => {
    if (live === undefined || target.built(live)) return () => live as tf.Variable;
    checkVariableName(state, target, live);
    const trainable = scalar(state, "trainable", "boolean", target);
    target.overrides("trainable", live.trainable, trainable);
    const tensor = checkTensor(entry(state, "value"), target, live);
    if (tensor !== undefined) assignAtCommit(target, live, tensor);
    target.commit(() => void (live.trainable = trainable ?? live.trainable));
    return () => live;
  },
  parts: { trained: (state) => entry(state, "trainable") === true ? shapeOf(entry(state, "value")) : undefined },
  order: (paths) => Object.values(engine().state.registeredVariables).flatMap((variable) => paths.get(variable) ?? []),
  // Without a list of variables, tfjs's optimizers find their slots by the position of each variable among the registered ones.
  reorder: (objects) => {
    const { registeredVariables } = engine().state;
    const variables = objects as readonly tf.Variable[];
    const positions = new Map(Object.keys(registeredVariables).map((name, i) => [name, i]));
    const now = variables.map(({ name }) => positions.get(name) ?? -1);
    if (now.every((position, i) => i === 0 || position > (now[i - 1] ?? -1))) return;
    for (const variable of variables) {
      delete registeredVariables[variable.name];
      if (/^\d+$/.test(variable.name)) variable.name = String(engine().nextVariableId());
      registeredVariables[variable.name] = variable;
    }
  },
};
