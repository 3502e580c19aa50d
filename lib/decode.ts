/**
 * The walk that decodes named components of any kind, afresh or into live ones, all or nothing.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import {
  type AnyKind,
  type Codec,
  codecKind,
  codecPrefix,
  type Codecs,
  describe,
  type Step,
  type Target,
  withArticle,
} from "./component.ts";
import { isPlainRecord, shown } from "./rules.ts";
import type { Encoded } from "./encode.ts";
import type { Problem, ProblemKind } from "./errors.ts";
import { isAllocation } from "./guard.ts";
import { encodedObjects, liveValues, unmatched } from "./live_value.ts";
import { type Overridden, overridden } from "./overridden.ts";
import { holdsComponents, isBranch, join, kindOf, type Named, type Node, nodesByPath, unwrap } from "./state_tree.ts";
import { isDType, typedView } from "./tensor.ts";

// --- capture and restore

const absent: unique symbol = Symbol("absent");

function once<A>(thunk: () => A): () => A {
  let value: { readonly of: A } | undefined;
  return () => (value ??= { of: thunk() }).of;
}

/**
 * Decodes components, afresh or into live ones, all or nothing; what the kinds have made in vain is the caller's to take back.
 *
 * @param encoded What {@link encode} gave.
 * @param kinds The kinds, in the order in which they are asked.
 * @param codecs The user's own, by component name.
 * @param live The live components, or undefined for fresh ones.
 * @param known Problems that were found before, to be listed with these.
 * @param overrides Receives the plain data that live components have otherwise, before anything changes.
 * @param dry Whether to stop before anything is changed.
 * @returns Every problem, and then nothing has changed; or the components.
 */
export function restore(
  encoded: Encoded,
  kinds: readonly AnyKind[],
  codecs: Codecs,
  live: Readonly<Record<string, unknown>> | undefined,
  known: readonly Problem[] = [],
  overrides?: Overridden[],
  dry = false,
): readonly Problem[] | { readonly components: Record<string, unknown> } {
  const problems: Problem[] = [...known];
  const reported = new Set<string>();
  const commits: (() => void)[] = [];
  const made: { readonly path: string; readonly value: unknown; readonly discard: () => void }[] = [];
  const afters: (() => void)[] = [];
  const values = new Map<string, () => unknown>();
  const lives = new Map<string, object>();
  const livePlain = new Map<string, unknown>();
  const paths = new Map<object, string>();
  const built = new Set<object>();
  const kindNamed = (name: string): AnyKind | undefined => kinds.find((kind) => kind.name === name);
  const common = kinds.filter(({ within }) => !within);
  const liveValue = liveValues(common);
  const finishes: (() => void)[] = [];
  /** Fields, which are restored after everything else: what they share is met before them, wherever it is. */
  const late: { readonly path: string; readonly run: () => void }[] = [];
  let fields = false;
  const [elsewhere, refilled] = [new Set<unknown>(), new Map<unknown, unknown>()];

  // Objects may be needed before the walk reaches them.
  const nodes = nodesByPath(encoded.components);
  const sharedPaths = new Set(
    [...nodes.values()].flatMap((node) => isBranch(node) && node.is === "shared" ? [node.path] : []),
  );

  const report = (path: string, kind: ProblemKind, expected: string, found: string): void => {
    const once = JSON.stringify([kind, path, expected, found]);
    if (!reported.has(once)) problems.push({ path, kind, expected, found });
    reported.add(once);
  };

  /** Whether plain data is compared here; where it is part of what is compared as a whole, it is not compared again. */
  let comparing = overrides !== undefined && live !== undefined;
  const compare = (path: string, given: unknown, saved: unknown): void => {
    if (comparing && given !== absent) overrides?.push(...overridden(given, saved, path));
  };

  /** Whether an object is made by another one, in which it stands. */
  const isBuiltWithin = (path: string): boolean => {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const node = nodes.get(path.slice(0, end));
      if (node !== undefined && isBranch(node) && node.is === "kind" && kindNamed(node.kind)?.buildsParts) return true;
    }
    return false;
  };

  const objectAt = (path: string): object | undefined => {
    const known = lives.get(path);
    if (known !== undefined) return known;
    const node = nodes.get(path);
    if (node === undefined || !isBranch(node) || node.is !== "kind") return undefined;
    const object = kindNamed(node.kind)?.build?.(node.state, target(path));
    if (object === undefined) return undefined;
    built.add(object);
    lives.set(path, object);
    return object;
  };

  const target = (path: string): Target => {
    const below = (step: Step): string => [step].flat().reduce<string>(join, path);
    return {
      fresh: live === undefined,
      problem: (kind, expected, found, at) => report(at ? `${path}/${at}` : path, kind, expected, found),
      part: (step, part, node, adopt) => walk(node, below(step), part, adopt),
      value: (step, node) => walk(node, below(step), absent),
      plain: (node) => walk(node, path, absent)(),
      object: (step, node) => objectAt(isBranch(node) && node.is === "shared" ? node.path : below(step)),
      built: (object) => built.has(object),
      made: (tensor, discard) => {
        made.push({ path, value: tensor, discard });
        return tensor;
      },
      after: (run) => void afters.push(run),
      commit: (run) => void commits.push(run),
      overrides: (at, given, saved) => compare(at === "" ? path : `${path}/${at}`, given, saved),
      late: (step, run) => {
        const at = below(step);
        late.push({ path: at, run: () => run(target(at)) });
      },
      finish: (run) => void finishes.push(run),
      fields,
      isElsewhere: (object) => elsewhere.has(object),
      objects: () => paths.keys(),
      refilled,
    };
  };

  /** Whether a place is within fields. */
  const isLate = (of: string): boolean => late.some(({ path }) => of.startsWith(`${path}/`));

  /** What is first met within fields, and needed before those are restored. */
  const ahead = (of: string, given: unknown): (() => unknown) | undefined =>
    isLate(of) ? walk(nodes.get(of) ?? null, of, given) : undefined;

  const shared = (of: string, path: string, given: unknown, adopt?: (shared: unknown) => void): () => unknown => {
    const value = values.get(of) ?? ahead(of, given);
    if (value === undefined) {
      report(path, "sharing", "an object that stands before it in the snapshot", `a reference to ${of}`);
      return () => null;
    }
    const object = lives.get(of);
    const differs = object === undefined
      ? given !== livePlain.get(of) && liveValue.holdsObjects(given)
      : given !== object;
    if (given !== absent && differs) {
      if (object !== undefined && adopt !== undefined && live === undefined) adopt(object);
      else if (!fields || live !== undefined) {
        report(path, "sharing", `the same object as ${of}, as in the snapshot`, "another one");
      }
    } else if (object === undefined && checkKind(nodes.get(of) ?? null, path, given)) {
      // Live data that is shared as the saved is was compared where it was first met.
      if (given !== livePlain.get(of) && !holdsComponents(nodes.get(of) ?? null)) compare(path, given, value());
    }
    return !fields || isLate(of) ? value : () => {
      const found = value();
      elsewhere.add(found);
      return found;
    };
  };

  const restoreObject = (kind: AnyKind, state: Node, path: string, given: unknown): () => unknown => {
    // What a fresh object was made with need not be of the class that its field had.
    const fits = given !== absent &&
      !(fields && live === undefined && kind.is(given) && kind.ofClass?.(state, given) === false);
    const object = fits ? given : live === undefined || fields ? objectAt(path) : undefined;
    if (object === undefined) {
      if (live !== undefined) {
        report(path, "extra", "no such component, as in the live ones", `${withArticle(kind.name)} in the snapshot`);
      } else if (problems.length === 0) {
        report(path, "class", `${withArticle(kind.name)} that can be built`, "one that cannot");
      }
      return () => null;
    }
    if (!kind.is(object)) {
      report(path, "kind", `${withArticle(kind.name)}, as in the snapshot`, liveValue.describe(object));
      return () => object;
    }
    const owner = lives.get(path);
    const other = paths.get(object as object);
    if ((owner !== undefined && owner !== object) || (other !== undefined && other !== path)) {
      const found = other !== undefined && other !== path
        ? `the same object as ${other}`
        : "a second object in its place";
      report(path, "sharing", "an object of its own, as in the snapshot", found);
      return () => object;
    }
    lives.set(path, object as object);
    paths.set(object as object, path);
    const at = target(path);
    const outer = fields;
    if (!fields) elsewhere.add(object);
    // What is in an object of another kind is that kind's, wherever the object is.
    fields = false;
    const restored = kind.restore(state, at, object);
    fields = outer;
    return restored;
  };

  const restoreValue = (kind: AnyKind, state: Node, path: string, given: unknown): () => unknown => {
    if (given !== absent && given !== null && !kind.is(given)) {
      report(path, "kind", `${withArticle(kind.name)}, as in the snapshot`, liveValue.describe(given));
      return () => given;
    }
    if (!fields) elsewhere.add(given);
    return kind.restore(state, target(path), given === absent || given === null ? undefined : given);
  };

  /** As {@link restoreValue}; tensors that the codec was given and did not put into its value are let go, unless another component is one. */
  const restoreCodec = (codec: Codec, state: Node, path: string): () => unknown => {
    const before = made.length;
    const value = restoreValue(codecKind(codec), state, path, absent);
    const given = made.slice(before).filter((m) => !sharedPaths.has(m.path));
    if (given.length > 0 && problems.length === 0) {
      // Asked before anything is committed: the codec is the user's, and may throw.
      const { kept, copies } = encodedObjects(codec, value(), (object) => kindNamed("Tensor")?.is(object) === true);
      copies.forEach((copy) => (copy as { dispose(): void }).dispose());
      const unused = copies.length > 0 ? [] : given.filter((m) => !kept.has(m.value));
      commits.push(() => unused.forEach(({ discard }) => discard()));
    }
    return value;
  };

  /** Compares what a codec encodes a live value to; what it cannot encode is not compared. */
  const compareCoded = (codec: Codec, state: Node, path: string, given: unknown): void => {
    if (!comparing || given === absent || holdsComponents(state) || !codec.is(given)) return;
    const encoded = E.tryCatch(() => codec.encode(given) as unknown, E.toError);
    if (E.isRight(encoded)) compare(path, encoded.right, target(path).plain(state));
  };

  const restoreRecord = (entries: readonly Named[], path: string, given: unknown): () => unknown => {
    const of = isPlainRecord(given) ? given : undefined;
    const names = new Set(entries.map(([name]) => name));
    for (const [name, value] of Object.entries(of ?? {})) {
      if (!names.has(name) && !fields && liveValue.isComponent(value)) {
        report(join(path, name), "missing", `${shown(value)}, as in the live components`, "nothing in the snapshot");
      }
    }
    const parts = entries.map(([name, child]) => {
      const has = of !== undefined && Object.hasOwn(of, name);
      if (of !== undefined && !has && !fields && holdsComponents(child)) {
        report(
          join(path, name),
          "extra",
          "no such entry, as in the live components",
          `${describe(child)} in the snapshot`,
        );
      }
      const part = walk(child, join(path, name), has ? of[name] : absent);
      if (!has && given !== absent && !holdsComponents(child)) compare(join(path, name), undefined, part());
      return [name, part] as const;
    });
    for (const [name, value] of Object.entries(of ?? {})) {
      if (!names.has(name) && !liveValue.isComponent(value)) compare(join(path, name), value, undefined);
    }
    return () => Object.fromEntries(parts.map(([name, part]) => [name, part()]));
  };

  const restoreArray = (items: readonly Node[], path: string, given: unknown): () => unknown => {
    const of = Array.isArray(given) ? given : [];
    for (let i = items.length; i < of.length; i++) {
      if (!fields && liveValue.holdsObjects(of[i])) {
        report(join(path, i), "missing", `${shown(of[i])}, as in the live components`, "nothing in the snapshot");
      }
    }
    // One item need not be of the kind of another, but what is restored in place needs a state.
    const parts = items.map((item, i) =>
      (typeof item === "object" && item !== null) || liveValue.holdsObjects(of[i])
        ? walk(item, join(path, i), i < of.length ? of[i] : absent)
        : restoreItem(item, join(path, i), given === absent ? absent : of[i])
    );
    for (let i = items.length; i < of.length; i++) {
      if (!liveValue.isComponent(of[i])) compare(join(path, i), of[i], undefined);
    }
    return () => parts.map((part) => part());
  };

  /** A scalar of an array, which is no place of its own. */
  const restoreItem = (item: Node, path: string, given: unknown): () => unknown => {
    compare(path, given, item);
    return () => item;
  };

  /** Whether a value may take the place of a live one; a best that is found, or not found yet: null stands for any plain data. */
  const checkKind = (node: Node, path: string, given: unknown): boolean => {
    if (given === absent || given === null || kindOf(node).startsWith(codecPrefix)) return true;
    const kind = kindNamed(kindOf(node));
    if (
      kind !== undefined
        ? kind.is(given)
        : node === null
        ? fields || !liveValue.isComponent(given)
        : liveValue.kind(given) === kindOf(node)
    ) {
      return true;
    }
    report(path, "kind", `${describe(node)}, as in the snapshot`, liveValue.describe(given));
    return false;
  };

  /** Plain data, compared with the live one as a whole where no component is in it. */
  const restorePlain = (node: Node, path: string, given: unknown): () => unknown => {
    if (comparing && given !== absent && !holdsComponents(node)) {
      comparing = false;
      const value = restorePlain(node, path, given);
      comparing = true;
      compare(path, given, value());
      return value;
    }
    if (Array.isArray(node)) return restoreArray(node, path, given);
    if (!isBranch(node)) return () => node;
    if (node.is === "record") return restoreRecord(node.entries, path, given);
    if (node.is === "array" && !isDType(node.held.element)) {
      const { element, resident } = node.held;
      // Each restore gives an array of its own: plain data may be written to. It is made before anything is changed, for there may be no room.
      const array = typedView(element as never, resident?.slice() ?? new Uint8Array());
      return () => array;
    }
    return () => null;
  };

  const walk = (node: Node, path: string, found: unknown, adopt?: (shared: unknown) => void): () => unknown => {
    const given = fields && (found === undefined || found === null) ? absent : found;
    const known = values.get(path);
    if (fields && known !== undefined) return shared(path, path, given, adopt);
    if (isBranch(node)) {
      if (node.is === "shared") return shared(node.path, path, given, adopt);
      if (node.is === "aside") return walk(node.state, path, given, adopt);
    }
    const kindName = isBranch(node) && node.is === "kind"
      ? node.kind
      : kindOf(node) === "Tensor"
      ? "Tensor"
      : undefined;
    const value = once(((): () => unknown => {
      if (kindName !== undefined) {
        const kind = kindNamed(kindName);
        if (kind === undefined) {
          report(path, "kind", "a kind that this version or a codec in options.codecs knows", describe(node));
          return () => null;
        }
        const state = isBranch(node) && node.is === "kind" ? node.state : node;
        return kind.build === undefined
          ? restoreValue(kind, state, path, given)
          : restoreObject(kind, state, path, given);
      }
      if (!checkKind(node, path, given)) return () => given;
      livePlain.set(path, given);
      return restorePlain(node, path, given);
    })());
    values.set(path, value);
    return value;
  };

  const component = ([name, node]: Named): readonly [string, () => unknown] => {
    const path = join("", name);
    const given = live === undefined ? absent : live[name];
    const codec = Object.hasOwn(codecs, name) ? codecs[name] : undefined;
    const kind = isBranch(node) && node.is === "kind" ? node.kind : undefined;
    if (codec === undefined && kind?.startsWith(codecPrefix)) {
      report(
        path,
        "kind",
        `the codec ${kind.slice(codecPrefix.length)} in options.codecs, as when it was saved`,
        "no codec of this name",
      );
      return [name, () => given];
    }
    if (codec === undefined || (isBranch(node) && node.is === "shared")) return [name, walk(node, path, given)];
    if (kind !== codecPrefix + codec.name || !isBranch(node) || node.is !== "kind") {
      report(path, "kind", `what the codec ${codec.name} encodes`, describe(node));
      return [name, () => given];
    }
    compareCoded(codec, node.state, path, given);
    const value = once(restoreCodec(codec, node.state, path));
    values.set(path, value);
    return [name, value];
  };

  for (const { path, expected } of unmatched(encoded, codecs, live)) {
    report(path, "missing", expected, "nothing in the snapshot");
  }

  const undo = (): void => {
    for (const run of afters.toReversed()) run();
  };
  try {
    if (live === undefined) {
      for (const [name, order] of encoded.order) {
        if (kindNamed(name)?.reorder !== undefined) continue;
        for (const path of order) if (!isBuiltWithin(path)) objectAt(path);
      }
    }
    const parts = encoded.components.flatMap((named): (readonly [string, () => unknown])[] => {
      if (live !== undefined && !Object.hasOwn(live, named[0])) {
        report(
          join("", named[0]),
          "extra",
          "no such component, as in the live ones",
          `${describe(unwrap(named[1]))} in the snapshot`,
        );
        return [];
      }
      return [component(named)];
    });
    fields = true;
    for (const { run } of late) run();
    if (problems.length > 0 || dry) {
      undo();
      return problems;
    }
    for (const run of commits) run();
    for (const [name, order] of encoded.order) {
      const kind = kindNamed(name);
      kind?.reorder?.(order.flatMap((path) => lives.get(path) ?? []).filter((object) => kind.is(object)));
    }
    for (const run of finishes) run();
    const components = Object.fromEntries(parts.map(([name, part]) => [name, part()]));
    for (const run of afters) run();
    return { components };
  } catch (error) {
    undo();
    const found = error instanceof Error ? error.message : String(error);
    return [
      ...problems,
      isAllocation(error)
        ? { path: "", kind: "memory", expected: "room for what is restored", found }
        : { path: "", kind: "format", expected: "components that can be restored", found },
    ];
  }
}
