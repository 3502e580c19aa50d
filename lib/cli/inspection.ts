/**
 * What a checkpoint and its parts are, as the JSON documents of `dogear inspect` say it.
 *
 * @module
 */
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { findPart, heldOf, type LazyCheckpoint, leavesOf, type Part } from "../checkpoint/mod.ts";
import { arraysOf, type Held, isBranch, kindOf, nodesByPath, segment, sizeOf } from "../state/mod.ts";
import type { CommandTask } from "./arguments.ts";
import { type CheckpointStatus, statusJson } from "./checkpoint_status.ts";
import { componentText } from "./component_facts.ts";
import { isModel, layerNamed, type ModelTable, modelTableAt } from "./model_table.ts";
import { unknownPart } from "./unknown_part.ts";
import { type Statistics, statistics } from "./statistics.ts";

// --- types

/** What a component is, and where its tensors are. */
export interface ComponentFacts {
  readonly name: string;
  readonly kind: string;
  readonly tensors: number;
  readonly elements: number;
  readonly files: readonly string[];
  /** What is in it, in a line. */
  readonly about: string;
}

/** A part of a state. */
export interface PartRead {
  readonly part: Part;
  readonly leaves: readonly Part[];
  /** The layers of the part, if it is a model. */
  readonly model: ModelTable | undefined;
  /** The statistics of the part, if it is one tensor. */
  readonly tensor: { readonly held: Held; readonly statistics: Statistics } | undefined;
}

// --- a whole checkpoint

/** The components of an open checkpoint. */
export function componentFacts({ encoded, fileOf }: LazyCheckpoint): readonly ComponentFacts[] {
  const nodes = nodesByPath(encoded.components);
  return encoded.components.map(([name, node]) => {
    const path = segment(name);
    const arrays = arraysOf(node, path).map(([, { held }]) => held);
    const elements = arrays.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    const files = [...new Set(arrays.map(fileOf))];
    return {
      name,
      kind: kindOf(node),
      tensors: arrays.length,
      elements,
      files,
      about: componentText(node, path, nodes),
    };
  });
}

/** An open checkpoint as JSON. */
export function checkpointJson(opened: LazyCheckpoint, status: CheckpointStatus): Record<string, unknown> {
  const { store, checkpoint, manifest: { parent, environment, id = null, files } } = opened;
  const about = { parent, environment, id, files, components: componentFacts(opened) };
  return { location: store.locationOf(checkpoint), ...statusJson(status), ...about };
}

// --- a part

function leafJson([path, node]: Part, fileOf: LazyCheckpoint["fileOf"]): Record<string, unknown> {
  const held = heldOf(node);
  if (held !== undefined) return { path, dtype: held.element, shape: held.shape, file: fileOf(held) };
  if (isBranch(node)) return { path, kind: kindOf(node), ...(node.is === "shared" ? { shared: node.path } : {}) };
  return { path, kind: kindOf(node), value: node };
}

/**
 * Reads a part of a state, with statistics if it is one tensor.
 *
 * @param opened The checkpoint.
 * @param wanted The path of the part, or the name of a tensor or a layer.
 * @param verify Verifies the file of the tensor: statistics of a damaged file would be wrong.
 * @param run The reference of the checkpoint, for messages.
 */
export function readPart(
  opened: LazyCheckpoint,
  wanted: string,
  verify: (file: string) => CommandTask<unknown>,
  run?: string,
): CommandTask<PartRead> {
  const { checkpoint, encoded: { components }, fileOf } = opened;
  const part = findPart(components, wanted) ?? layerNamed(components, wanted);
  if (part === undefined) return TE.left(unknownPart(checkpoint, components, wanted, run));
  const leaves = leavesOf(part);
  const [path, node] = part;
  const model = isModel(node) ? modelTableAt(node, path, nodesByPath(components)) : undefined;
  const [held, ...others] = leaves.flatMap(([, node]) => heldOf(node) ?? []);
  if (held === undefined || others.length > 0) return TE.right({ part, leaves, model, tensor: undefined });
  return pipe(
    verify(fileOf(held)),
    TE.flatMapTask(() => async () => statistics(held, await held.home.read(held))),
    TE.map((found) => ({ part, leaves, model, tensor: { held, statistics: found } })),
  );
}

/** A part as JSON. */
export function partJson({ store, checkpoint, fileOf }: LazyCheckpoint, found: PartRead): Record<string, unknown> {
  const { part: [path, node], leaves, tensor, model } = found;
  return {
    location: store.locationOf(checkpoint),
    path,
    kind: kindOf(node),
    parts: leaves.map((leaf) => leafJson(leaf, fileOf)),
    statistics: tensor?.statistics ?? null,
    model: model === undefined
      ? null
      : { layers: model.layers, parameters: model.parameters, trainable: model.trainable },
  };
}
