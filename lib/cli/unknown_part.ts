/**
 * The errors of parts and components that a checkpoint does not have. They name those that were probably meant, or those that there are.
 *
 * @module
 */
import { findPart, namesMeant, type Part, someOf, tensorNames } from "../checkpoint/mod.ts";
import { children, dereference, isCase, type Named, nodesByPath, segment } from "../state/mod.ts";
import { type Usage, usageError } from "./arguments.ts";
import { separateCheckpoint } from "./reference.ts";
import { didYouMean, nearestName } from "./suggestion.ts";

// --- types

/** A path, corrected as far as it leads. */
interface Followed {
  /** The path, with the nearest names in place of those that do not exist. */
  readonly corrected: string;
  /** The deepest path on it that exists; empty if that is no component. */
  readonly above: string;
  /** What is in that. */
  readonly there: readonly string[];
}

// --- constructors

/** How many names a list has; the rest is counted. */
const most = 20;

/** How many names a misspelt one is compared with. */
const mostCompared = 1000;

function lastOf(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1);
}

/** The last names of parts, without those that no path names. */
function namesOf(parts: readonly Part[]): readonly string[] {
  return parts.flatMap(([path, node]) => isCase(node, "aside") ? [] : [lastOf(path)]);
}

/** The name that begins with another, or the nearest one. Of a letter or two any other is near; long words take long to compare. */
function nearOf(name: string, there: readonly string[]): string | undefined {
  if (name.length < 3 || name.length > 60) return undefined;
  return there.find((one) => one.startsWith(name)) ?? nearestName(name, there.slice(0, mostCompared));
}

/** Follows a path as far as it exists, and on with the nearest name where it does not. */
function followed(components: readonly Named[], path: string): Followed {
  const nodes = nodesByPath(components);
  const names = path.split("/");
  let at: readonly Part[] = components.map(([name, node]) => [segment(name), node]);
  for (const [i, name] of names.entries()) {
    const there = namesOf(at);
    const near = there.includes(name) ? name : nearOf(name, there);
    const found = at.find(([one]) => lastOf(one) === near);
    if (near === undefined || found === undefined) {
      return { corrected: names.join("/"), above: names.slice(0, i).join("/"), there };
    }
    names[i] = near;
    at = children(...dereference(found[1], found[0], nodes));
    // A kind and its state have the same path.
    while (at.length === 1 && at[0]![0] === found[0]) at = children(at[0]![1], found[0]);
  }
  return { corrected: names.join("/"), above: names.join("/"), there: namesOf(at) };
}

/** The layer that was probably meant by a component and a misspelt name. */
function layerMeant(components: readonly Named[], wanted: string): string | undefined {
  const folders = [...tensorNames(components).values()].map((name) => name.slice(0, name.lastIndexOf("/")));
  const layers = folders.filter((name) => name.split("/").length === 2 && wanted.split("/").length === 2);
  return nearestName(wanted, [...new Set(layers)].slice(0, mostCompared));
}

/** The parts that were probably meant. */
function partsMeant(components: readonly Named[], wanted: string, { corrected, above }: Followed): readonly string[] {
  const tensors = namesMeant(components, wanted);
  if (tensors.some((name) => name.endsWith(`/${wanted}`) || name.startsWith(`${wanted}/`))) return tensors;
  if (findPart(components, corrected) !== undefined) return [corrected];
  const layer = layerMeant(components, wanted);
  if (layer !== undefined) return [layer];
  const others = tensors.length > 0 || corrected === wanted ? tensors : namesMeant(components, corrected);
  return others.length > 0 || corrected === wanted ? others : [above];
}

/**
 * The error of a part that a checkpoint does not have.
 *
 * @param checkpoint The number of the checkpoint.
 * @param components Its components.
 * @param wanted The path or the name that was asked for.
 * @param run The reference of the checkpoint.
 */
export function unknownPart(checkpoint: number, components: readonly Named[], wanted: string, run?: string): Usage {
  const found = `Expected a part of checkpoint ${checkpoint}, found ${JSON.stringify(wanted)}`;
  const separate = separateCheckpoint(wanted, run);
  if (separate !== "") return usageError(found + separate);
  const path = followed(components, wanted);
  const { above, there } = path;
  const near = partsMeant(components, wanted, path);
  const listed = `${above === "" ? "Its components are" : `${above} has`} ${someOf(there, most) || "no parts"}`;
  const remedy = near.length > 0 ? `Did you mean ${someOf(near)}?` : listed;
  return usageError(`${found}. ${remedy}`);
}

/**
 * The error of a component that a checkpoint does not have, or that has no tensors.
 *
 * @param checkpoint The number of the checkpoint.
 * @param components Its components.
 * @param wanted The name of the component.
 * @param withTensors The components that have tensors.
 */
export function unknownComponent(
  checkpoint: number,
  components: readonly Named[],
  wanted: string,
  withTensors: readonly string[],
): Usage {
  const isThere = components.some(([name]) => name === wanted);
  const found = `found ${isThere ? "no tensor in" : "no component"} ${JSON.stringify(wanted)}`;
  const listed = withTensors.length === 0 ? "None has tensors" : `Those with tensors are ${someOf(withTensors, most)}`;
  const remedy = isThere ? "" : didYouMean(wanted, withTensors);
  return usageError(
    `Expected a component with tensors in checkpoint ${checkpoint}, ${found}.${remedy === "" ? ` ${listed}` : remedy}`,
  );
}
