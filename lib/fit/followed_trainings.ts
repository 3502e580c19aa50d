/**
 * Which trainings a training follows: those of this process that trained weights that its model has when it begins.
 *
 * Law *nothing silent*: a training that was saved after an earlier stage does not continue after another end of that stage, which a restore of
 * its checkpoint would discard.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import type { Problem } from "../errors/mod.ts";
import { layerFields, modelFields } from "../tfjs/mod.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { checksum } from "./tensor_checksum.ts";

// --- types

/** The end of a training. */
interface TrainingEnd {
  readonly name: string;
  readonly epochs: number;
}

/** What a training began with, as its checkpoints have it. */
export interface Beginning {
  /** A checksum of each weight of the model. */
  readonly weights: Int32Array;
  /** The trainings that some of them came from. */
  readonly after: readonly TrainingEnd[];
}

/** The same of a call, and what came from other trainings. */
export interface CalledBeginning extends Beginning {
  /** The checksums of the weights that came from each. */
  readonly followed: ReadonlyMap<TrainingEnd, readonly number[]>;
}

// --- constructors

/** The ends of the trainings of this process by the data of the weights that they trained. A weight that is written to gets other data. */
const ends = new WeakMap<object, TrainingEnd>();

/** The data of variables. */
function dataOf(weights: readonly { readonly val: tf.Variable }[]): readonly object[] {
  return weights.map(({ val }) => val.dataId as object);
}

/** Records that a training has ended. Frozen weights are not its result. */
export function recordEnd(model: tf.LayersModel, name: string, epochs: number): void {
  const end = { name, epochs };
  const { collectedTrainableWeights = [] } = modelFields(modelFields(model).model ?? model);
  for (const data of dataOf(collectedTrainableWeights)) ends.set(data, end);
}

/** What a call begins with. */
export async function beginningOf(model: tf.LayersModel): Promise<CalledBeginning> {
  const { weights } = layerFields(model);
  const followed = new Map<TrainingEnd, number[]>();
  const found = dataOf(weights).map((data) => ends.get(data));
  const sums: number[] = [];
  for (const [i, { val }] of weights.entries()) {
    // Typed arrays of 32 bits are signed in a checkpoint.
    const sum = await checksum([val], 0) | 0;
    sums.push(sum);
    const end = found[i];
    if (end !== undefined) followed.set(end, [...followed.get(end) ?? [], sum]);
  }
  return { weights: Int32Array.from(sums), after: [...followed.keys()].map((end) => ({ ...end })), followed };
}

// --- restore

/** Whether decoded data is a {@link Beginning}, or undefined, as in checkpoints of earlier versions. */
export function isBeginning(value: unknown): value is Beginning | undefined {
  return value === undefined ||
    (isPlainRecord(value) && value["weights"] instanceof Int32Array && Array.isArray(value["after"]));
}

function endsText(ends: readonly TrainingEnd[]): string {
  if (ends.length === 0) return "none";
  return ends.map(({ name, epochs }) => `${JSON.stringify(name)} after ${epochs} ${epochs === 1 ? "epoch" : "epochs"}`)
    .join(" and ");
}

/**
 * The difference between the trainings that a call follows and those that the saved training followed.
 *
 * A call that follows none is not one: its script builds the model anew, or leaves out complete stages.
 */
export function followedProblems(
  name: string,
  saved: Beginning | undefined,
  call: CalledBeginning,
): readonly Problem[] {
  if (saved === undefined) return [];
  const before = new Set(saved.weights);
  const others = [...call.followed].flatMap(([end, sums]) => sums.every((sum) => before.has(sum)) ? [] : [end]);
  if (others.length === 0) return [];
  const [now, then] = [endsText(others), endsText(saved.after)];
  const remedy = "The saved training began with other weights. To begin it with those of this call, give it and each " +
    `training after it another name: { to, name: ${JSON.stringify(`${name}-2`)} }`;
  return [{
    path: "fit/follows",
    kind: "value",
    expected: now === then ? `other weights of ${now}` : now,
    found: then,
    saved: "found",
    remedy,
  }];
}
