/**
 * The errors of parts and components that a checkpoint does not have. They name those that were probably meant, or those that there are.
 *
 * @module
 */
import { findPart, namesMeant, type Part, someOf } from "../checkpoint/mod.ts";
import { children, dereference, isCase, type Named, nodesByPath, segment } from "../state/mod.ts";
import { type Usage, usageError } from "./arguments.ts";
import { separateCheckpoint } from "./reference.ts";
import { didYouMean, nearestName } from "./suggestion.ts";

// --- types

/** Where the path of a missing part leaves the state. */
interface Lost {
  /** The deepest path that exists; empty if that is no component. */
  readonly above: string;
  /** What is in it. */
  readonly there: readonly string[];
  /** The path that was probably meant. */
  readonly meant?: string;
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
function followed(components: readonly Named[], path: string): Lost {
  const nodes = nodesByPath(components);
  let at: readonly Part[] = components.map(([name, node]) => [segment(name), node]);
  let above = "";
  const names = path.split("/");
  for (const [i, name] of names.entries()) {
    const found = at.find(([one]) => lastOf(one) === name);
    if (found === undefined) {
      const there = namesOf(at);
      const near = nearOf(name, there);
      if (near === undefined) return { above, there };
      const meant = [...names.slice(0, i), near, ...names.slice(i + 1)].join("/");
      if (findPart(components, meant) !== undefined) return { above, there, meant };
      const further = followed(components, meant);
      return { ...further, meant: further.meant ?? further.above };
    }
    above = i === 0 ? name : `${above}/${name}`;
    at = children(...dereference(found[1], found[0], nodes));
    // A kind and its state have the same path.
    while (at.length === 1 && at[0]![0] === found[0]) at = children(at[0]![1], found[0]);
  }
  return { above, there: namesOf(at) };
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
  const { above, there, meant } = followed(components, wanted);
  const tensors = namesMeant(components, wanted);
  const isEnd = tensors.some((name) => name.endsWith(`/${wanted}`) || name.startsWith(`${wanted}/`));
  const near = isEnd || meant === undefined ? tensors : [meant];
  const listed = `${above === "" ? "Its components are" : `${above} has`} ${someOf(there, most)}`;
  const remedy = near.length > 0
    ? `Did you mean ${someOf(near)}?`
    : there.length > 0
    ? listed
    : `${above} has no parts`;
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
