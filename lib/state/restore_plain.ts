/**
 * Restores plain data: scalars, lists, records and typed arrays, and the components inside them.
 *
 * Plain data is not restored in place: each restore makes a new value. Where live plain data differs from the saved data, the difference is
 * reported, once for the outermost value that holds no component.
 *
 * @module
 */
import type { Lazy } from "fp-ts/lib/function.js";
import { describeNode } from "./kind.ts";
import { compareLive, type Destination, report, type RestoreContext } from "./restore_context.ts";
import { noLiveValue } from "./restore_strategy.ts";
import { isPlainRecord, shown } from "../validation/mod.ts";
import { holdsComponents, isBranch, isScalar, join, type Named, type Node } from "./tree.ts";
import { isDType, typedView } from "./array.ts";

// --- types

/** Restores a child of plain data, which may be a node of any sort. */
export type RestoreChild = (context: RestoreContext, node: Node, at: Destination) => Lazy<unknown>;

// --- capture and restore

/**
 * Restores plain data.
 *
 * @param context The restore in progress.
 * @param node A scalar, list, record or typed array.
 * @param at Where to.
 * @param restoreChild Restores the children.
 * @returns The value, once the restore is committed.
 */
export function restorePlain(
  context: RestoreContext,
  node: Node,
  at: Destination,
  restoreChild: RestoreChild,
): Lazy<unknown> {
  if (context.overrides === undefined || at.isCompared || at.live === noLiveValue || holdsComponents(node)) {
    return restoreByCase(context, node, at, restoreChild);
  }
  const value = restoreByCase(context, node, { ...at, isCompared: true }, restoreChild);
  compareLive(context, at, at.live, value());
  return value;
}

function restoreByCase(
  context: RestoreContext,
  node: Node,
  at: Destination,
  restoreChild: RestoreChild,
): Lazy<unknown> {
  if (isScalar(node)) return () => node;
  if (!isBranch(node)) return restoreList(context, node, at, restoreChild);
  if (node.is === "record") return restoreRecord(context, node.entries, at, restoreChild);
  if (node.is !== "array" || isDType(node.held.element)) return () => null;
  const { element, resident } = node.held;
  // Plain data may be written to, so each restore copies. It copies in the plan, because the allocation may fail.
  const array = typedView(element as never, resident?.slice() ?? new Uint8Array());
  return () => array;
}

function restoreRecord(
  context: RestoreContext,
  entries: readonly Named[],
  at: Destination,
  restoreChild: RestoreChild,
): Lazy<unknown> {
  const live = isPlainRecord(at.live) ? at.live : undefined;
  const below = (name: string, value: unknown): Destination => ({ ...at, path: join(at.path, name), live: value });
  const names = new Set(entries.map(([name]) => name));
  const liveOnly = Object.entries(live ?? {}).filter(([name]) => !names.has(name));
  const { isComponent } = context.liveValues;
  for (const [name, value] of liveOnly) {
    if (at.inFields || !isComponent(value)) continue;
    report(context, join(at.path, name), "missing", `${shown(value)}, as in the live components`, "nothing saved");
  }
  const parts = entries.map(([name, child]) => {
    const isLive = live !== undefined && Object.hasOwn(live, name);
    const there = below(name, isLive ? live[name] : noLiveValue);
    if (live !== undefined && !isLive && !at.inFields && holdsComponents(child)) {
      const found = `${describeNode(child)} in the snapshot`;
      report(context, there.path, "extra", "no such entry, as in the live components", found);
    }
    const part = restoreChild(context, child, there);
    if (!isLive && at.live !== noLiveValue && !holdsComponents(child)) compareLive(context, there, undefined, part());
    return [name, part] as const;
  });
  for (const [name, value] of liveOnly) {
    if (!isComponent(value)) compareLive(context, below(name, value), value, undefined);
  }
  return () => Object.fromEntries(parts.map(([name, part]) => [name, part()]));
}

function restoreList(
  context: RestoreContext,
  items: readonly Node[],
  at: Destination,
  restoreChild: RestoreChild,
): Lazy<unknown> {
  const live: readonly unknown[] = Array.isArray(at.live) ? at.live : [];
  const below = (i: number, value: unknown): Destination => ({ ...at, path: join(at.path, i), live: value });
  const { holdsObjects, isComponent } = context.liveValues;
  for (let i = items.length; i < live.length; i++) {
    if (at.inFields || !holdsObjects(live[i])) continue;
    report(context, join(at.path, i), "missing", `${shown(live[i])}, as in the live components`, "nothing saved");
  }
  // A scalar may replace an item of another kind; what is restored in place needs a saved state.
  const parts = items.map((item, i): Lazy<unknown> => {
    if (!isScalar(item) || holdsObjects(live[i])) {
      return restoreChild(context, item, below(i, i < live.length ? live[i] : noLiveValue));
    }
    if (!at.isCompared && at.live !== noLiveValue) compareLive(context, below(i, live[i]), live[i], item);
    return () => item;
  });
  for (let i = items.length; i < live.length; i++) {
    if (!isComponent(live[i])) compareLive(context, below(i, live[i]), live[i], undefined);
  }
  return () => parts.map((part) => part());
}
