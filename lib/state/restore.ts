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
import { codecNamed, codecPrefix, describeNode } from "./kind.ts";
import type { Encoded } from "./capture.ts";
import { isAllocation, type Problem } from "../errors/mod.ts";
import {
  cleanUp,
  isBuiltByParent,
  noLiveValue,
  report,
  type RestoreContext,
  restoreContext,
  type RestoreRequest,
  topLevel,
} from "./restore_context.ts";
import { objectAt, restoreCoded, restoreNode } from "./restore_nodes.ts";
import { describeLive } from "./live_value.ts";
import { isCase, join, type Node, unwrap } from "./tree.ts";

// --- types

/** The components of a plan by name; each value is valid once the plan is committed. */
type Planned = readonly (readonly [name: string, value: Lazy<unknown>])[];

// --- capture and restore

/**
 * Restores components: all of them, or none.
 *
 * @param encoded What was captured.
 * @param request What to restore into, and with which kinds and codecs.
 * @returns The components; or every problem, and nothing live has changed.
 */
export function restore(
  encoded: Encoded,
  request: RestoreRequest,
): Either<readonly Problem[], Record<string, unknown>> {
  const context = restoreContext(encoded, request);
  const checked = cleanedUpIfLeft(context, (planned) => {
    const problems = context.problems.list;
    return problems.length > 0 ? E.left(problems) : E.right(planned);
  });
  // Outside of what is caught: a commit that failed must not be reported as if nothing had changed.
  return E.map((planned: Planned) => commitRestore(context, planned))(checked);
}

/** The problems that {@link restore} would report. Nothing is changed, whether or not it finds any. */
export function problemsOfRestore(encoded: Encoded, request: RestoreRequest): readonly Problem[] {
  const context = restoreContext(encoded, request);
  return E.toUnion(cleanedUpIfLeft<never>(context, () => E.left(context.problems.list)));
}

/** Plans a restore and continues with the plan. What throws is one more problem. */
function cleanedUpIfLeft<A>(
  context: RestoreContext,
  next: (planned: Planned) => Either<readonly Problem[], A>,
): Either<readonly Problem[], A> {
  const thrown = (error: unknown): readonly Problem[] => [...context.problems.list, problemOf(error)];
  const result = E.flatten(E.tryCatch(() => next(planRestore(context)), thrown));
  if (E.isLeft(result)) cleanUp(context);
  return result;
}

function problemOf(error: unknown): Problem {
  const found = error instanceof Error ? error.message : String(error);
  return isAllocation(error)
    ? { path: "", kind: "memory", expected: "enough memory for the restored components", found }
    : {
      path: "",
      kind: "format",
      expected: "components that can be restored",
      found,
      remedy: "Look at what threw this: it is the cause of the error, with its stack",
      cause: error,
    };
}

/** The plan: checks everything, makes what is fresh, and collects commits. Fields are planned last, because they may refer to everything. */
function planRestore(context: RestoreContext): Planned {
  const { encoded: { components }, live, fields } = context;
  reportUnmatched(context);
  if (live === undefined) buildInOrder(context);
  const matched = components.filter(([name]) => live === undefined || Object.hasOwn(live, name));
  const planned = matched.map(([name, node]) => [name, planComponent(context, name, node)] as const);
  // Fields may add fields of their own to the queue.
  for (const { run } of fields.queue) run();
  return planned;
}

/** The commit: changes the live objects. Nothing in it may fail. */
function commitRestore(context: RestoreContext, planned: Planned): Record<string, unknown> {
  const { actions, encoded, kinds, objects } = context;
  for (const run of actions.commits) run();
  for (const [name, paths] of encoded.order) {
    const kind = kinds.get(name);
    kind?.reorder?.(paths.flatMap((path) => objects.byPath.get(path) ?? []).filter((object) => kind.is(object)));
  }
  for (const run of actions.finishes) run();
  const components = Object.fromEntries(planned.map(([name, value]) => [name, value()]));
  for (const run of actions.cleanups) run();
  return components;
}

/** Builds objects in the order in which the captured ones were created, where tfjs numbers them in that order. */
function buildInOrder(context: RestoreContext): void {
  for (const [kind, paths] of context.encoded.order) {
    if (context.kinds.get(kind)?.reorder !== undefined) continue;
    for (const path of paths) if (!isBuiltByParent(context, path)) objectAt(context, path, false);
  }
}

/** Reports the live components, codecs and saved components that have no counterpart. */
function reportUnmatched(context: RestoreContext): void {
  const { encoded: { components }, codecs, live } = context;
  const saved = new Set(components.map(([name]) => name));
  const unsaved = (of: object): readonly string[] => Object.keys(of).filter((name) => !saved.has(name));
  for (const name of unsaved(live ?? {})) {
    const path = join("", name);
    report(context, path, "missing", describeLive(context.liveKinds, live?.[name]), "nothing", { saved: "found" });
  }
  for (const name of unsaved(codecs)) {
    const remedy = "Pass codecs only for components that were saved";
    report(context, join("", name), "missing", "a component of this name for its codec", "none", { remedy });
  }
  for (const [name, node] of components) {
    if (live === undefined || Object.hasOwn(live, name)) continue;
    report(context, join("", name), "extra", "nothing", describeNode(unwrap(node)), { saved: "found" });
  }
}

function planComponent(context: RestoreContext, name: string, node: Node): Lazy<unknown> {
  const { codecs } = context;
  const path = join("", name);
  const live = context.live === undefined ? noLiveValue : context.live[name];
  const codec = Object.hasOwn(codecs, name) ? codecs[name] : undefined;
  const kind = isCase(node, "kind") ? node.kind : undefined;
  if (codec === undefined || isCase(node, "shared")) return restoreNode(context, node, topLevel(path, live));
  if (!isCase(node, "kind") || kind !== codecPrefix + codec.name) {
    const remedy =
      "Pass the codec that it was saved with, or none if it was saved without one. Use the new codec from the next save on";
    report(context, path, "kind", `what ${codecNamed(codec.name)} encodes`, describeNode(node), { remedy });
    return () => live;
  }
  const value = restoreCoded(context, codec, node.state, topLevel(path, live), false);
  context.values.byPath.set(path, value);
  return value;
}
