/**
 * Restores captured components, fresh or into live ones.
 *
 * {@link restore} has two phases. The plan walks the snapshot, makes whatever can fail to be made, and collects problems and commits; it
 * changes nothing live. The commit runs only if the plan found no problem.
 *
 * Law *all or nothing*: a failed restore leaves every live object bit for bit as it was. The caller disposes the tensors that it made.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import type { Lazy } from "fp-ts/lib/function.js";
import { type AnyKind, type Codec, codecKind, codecPrefix, type Codecs, describeNode } from "./kind.ts";
import type { Encoded } from "./capture.ts";
import { isAllocation, type Problem } from "../errors/mod.ts";
import { encodedObjects } from "./live_value.ts";
import type { Overridden } from "./overridden.ts";
import {
  cleanUp,
  compareLive,
  isBuiltByParent,
  report,
  type RestoreContext,
  restoreContext,
  topLevel,
} from "./restore_context.ts";
import { objectAt, restoreNode, restoreValue, targetAt } from "./restore_nodes.ts";
import { fresh, intoLive, noLiveValue } from "./restore_strategy.ts";
import { shown } from "../validation/mod.ts";
import { holdsComponents, isCase, join, type Node, unwrap } from "./tree.ts";

// --- types

/** Live components by name. */
export type Live = Readonly<Record<string, unknown>>;

/** What to restore and how. */
export interface RestoreOptions {
  /** The kinds, in the order in which they are tried. */
  readonly kinds: readonly AnyKind[];
  /** The user's codecs by component name. */
  readonly codecs: Codecs;
  /** The live components to restore into; without them the components are built. */
  readonly live?: Live | undefined;
  /** Problems found earlier, which are listed with those of the restore. */
  readonly problems?: readonly Problem[];
  /** Receives the plain data that the live components have otherwise, before anything changes. */
  readonly overrides?: Overridden[] | undefined;
}

/** The components of a plan by name; each value is valid once the plan is committed. */
type Planned = readonly (readonly [name: string, value: Lazy<unknown>])[];

// --- capture and restore

/**
 * Restores components: all of them, or none.
 *
 * @param encoded What was captured.
 * @param options What to restore into, and with which kinds and codecs.
 * @returns The components; or every problem, and nothing live has changed.
 */
export function restore(
  encoded: Encoded,
  options: RestoreOptions,
): Either<readonly Problem[], Record<string, unknown>> {
  const context = contextOf(encoded, options);
  return cleanedUpIfLeft(context, () => {
    const planned = planRestore(context, encoded, options);
    const problems = context.problems.list;
    return problems.length > 0 ? E.left(problems) : E.right(commitRestore(context, encoded, planned));
  });
}

/** The problems that {@link restore} would report. Nothing is changed, whether or not it finds any. */
export function problemsOfRestore(encoded: Encoded, options: RestoreOptions): readonly Problem[] {
  const context = contextOf(encoded, options);
  return E.toUnion(cleanedUpIfLeft<never>(context, () => {
    planRestore(context, encoded, options);
    return E.left(context.problems.list);
  }));
}

function cleanedUpIfLeft<A>(
  context: RestoreContext,
  run: () => Either<readonly Problem[], A>,
): Either<readonly Problem[], A> {
  const thrown = (error: unknown): readonly Problem[] => [...context.problems.list, problemOf(error)];
  const result = E.flatten(E.tryCatch(run, thrown));
  if (E.isLeft(result)) cleanUp(context);
  return result;
}

function contextOf({ components }: Encoded, { kinds, live, problems = [], overrides }: RestoreOptions): RestoreContext {
  return restoreContext({ components, kinds, strategy: live ? intoLive(live) : fresh, problems, overrides });
}

function problemOf(error: unknown): Problem {
  const found = error instanceof Error ? error.message : String(error);
  return isAllocation(error)
    ? { path: "", kind: "memory", expected: "enough memory for the restored components", found }
    : { path: "", kind: "format", expected: "components that can be restored", found };
}

/** The plan: checks everything, makes what is fresh, and collects commits. Fields are planned last, because they may refer to everything. */
function planRestore(context: RestoreContext, encoded: Encoded, { codecs, live }: RestoreOptions): Planned {
  reportUnmatched(context, encoded, codecs, live);
  if (live === undefined) buildInOrder(context, encoded);
  const matched = encoded.components.filter(([name]) => live === undefined || Object.hasOwn(live, name));
  const planned = matched.map(([name, node]) => [name, planComponent(context, codecs, name, node)] as const);
  // Fields may add fields of their own to the queue.
  for (const { run } of context.fields.queue) run();
  return planned;
}

/** The commit: changes the live objects. Nothing in it may fail. */
function commitRestore(context: RestoreContext, { order }: Encoded, planned: Planned): Record<string, unknown> {
  const { actions, objects } = context;
  for (const run of actions.commits) run();
  for (const [name, paths] of order) {
    const kind = context.kinds.get(name);
    kind?.reorder?.(paths.flatMap((path) => objects.byPath.get(path) ?? []).filter((object) => kind.is(object)));
  }
  for (const run of actions.finishes) run();
  const components = Object.fromEntries(planned.map(([name, value]) => [name, value()]));
  for (const run of actions.cleanups) run();
  return components;
}

/** Builds objects in the order in which the captured ones were created, where tfjs numbers them in that order. */
function buildInOrder(context: RestoreContext, { order }: Encoded): void {
  for (const [kind, paths] of order) {
    if (context.kinds.get(kind)?.reorder !== undefined) continue;
    for (const path of paths) if (!isBuiltByParent(context, path)) objectAt(context, path, false);
  }
}

/** Reports the live components, codecs and saved components that have no counterpart. */
function reportUnmatched(
  context: RestoreContext,
  { components }: Encoded,
  codecs: Codecs,
  live: Live | undefined,
): void {
  const saved = new Set(components.map(([name]) => name));
  for (const [name, value] of Object.entries(live ?? {})) {
    if (saved.has(name)) continue;
    const path = join("", name);
    const expected = `a component of this name in the snapshot, or the option keep: [${JSON.stringify(path)}]`;
    report(context, path, "missing", expected, `none for the live one, ${shown(value)}`);
  }
  for (const name of Object.keys(codecs)) {
    if (saved.has(name)) continue;
    report(context, join("", name), "missing", "a component of this name for its codec", "nothing in the snapshot");
  }
  for (const [name, node] of components) {
    if (live === undefined || Object.hasOwn(live, name)) continue;
    const path = join("", name);
    const expected = `a live component of this name, or the option skip: [${JSON.stringify(path)}]`;
    report(context, path, "extra", expected, `${describeNode(unwrap(node))} in the snapshot alone`);
  }
}

function planComponent(context: RestoreContext, codecs: Codecs, name: string, node: Node): Lazy<unknown> {
  const path = join("", name);
  const live = context.strategy.component(name);
  const codec = Object.hasOwn(codecs, name) ? codecs[name] : undefined;
  const kind = isCase(node, "kind") ? node.kind : undefined;
  if (codec === undefined && kind?.startsWith(codecPrefix)) {
    const expected = `the codec ${kind.slice(codecPrefix.length)} in options.codecs, as when it was saved`;
    report(context, path, "kind", expected, "no codec for this component");
    return () => live;
  }
  if (codec === undefined || (isCase(node, "shared"))) {
    return restoreNode(context, node, topLevel(path, live));
  }
  if (kind !== codecPrefix + codec.name || !isCase(node, "kind")) {
    report(context, path, "kind", `what the codec ${codec.name} encodes`, describeNode(node));
    return () => live;
  }
  compareCoded(context, codec, node.state, path, live);
  const value = planCoded(context, codec, node.state, path);
  context.values.byPath.set(path, value);
  return value;
}

/**
 * Restores a value by the user's codec. The codec decodes from tensors that the restore made; the commit discards those that its value does
 * not hold and that no other component shares.
 */
function planCoded(context: RestoreContext, codec: Codec, state: Node, path: string): Lazy<unknown> {
  const before = context.tensors.length;
  const value = restoreValue(context, codecKind(codec), state, topLevel(path, noLiveValue));
  const made = context.tensors.slice(before).filter((tensor) => !context.sharedPaths.has(tensor.path));
  if (made.length > 0 && context.problems.list.length === 0) {
    // In the plan, because the codec is the user's and may throw.
    const { kept, copies } = encodedObjects(
      codec,
      value(),
      (object) => context.kinds.get("Tensor")?.is(object) === true,
    );
    copies.forEach((copy) => (copy as { dispose(): void }).dispose());
    const unused = copies.length > 0 ? [] : made.filter((tensor) => !kept.has(tensor.value));
    context.actions.commits.push(() => unused.forEach(({ discard }) => discard()));
  }
  return value;
}

/** Compares what a codec encodes a live value to. A live value that it cannot encode is not compared. */
function compareCoded(context: RestoreContext, codec: Codec, state: Node, path: string, live: unknown): void {
  if (context.overrides === undefined || live === noLiveValue || holdsComponents(state) || !codec.is(live)) return;
  const encoded = E.tryCatch(() => codec.encode(live) as unknown, E.toError);
  if (E.isLeft(encoded)) return;
  compareLive(context, topLevel(path, live), encoded.right, targetAt(context, path, false).plain(state));
}
