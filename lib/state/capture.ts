/**
 * Captures named components as a state tree.
 *
 * {@link capture} walks the components once. The first kind that recognises a value captures it; plain data is captured here. An object
 * that is reached again becomes a reference to its first path. Fields of optimizers and callbacks are captured last, because they may
 * refer to any component.
 *
 * Laws: *no trace*: capturing changes nothing. *canonical*: every NaN number is one NaN.
 *
 * @module
 */
import { type AnyKind, type Codec, codecKind, codecPrefix, type OwnCodecs, type PartPath, type Site } from "./kind.ts";
import { overlapping, type View } from "./overlapping_views.ts";
import { partNames } from "./part_names.ts";
import { beside, hidden } from "./properties.ts";
import { foundOrAwait, isPlainRecord, shown } from "../validation/mod.ts";
import { cannotCapture, uncapturable } from "./refusal.ts";
import { isWithin, join, kindOf, maxDepth, type Named, type Node, record } from "./tree.ts";
import { type Held, heldBytes, isTypedArray, type TypedArray } from "./array.ts";

// --- types

/**
 * Captured components.
 *
 * @internal
 */
export interface Encoded {
  readonly components: readonly Named[];
  /** For kinds whose order of creation is state: the paths of their objects in that order. */
  readonly order: readonly (readonly [kind: string, paths: readonly string[]])[];
}

/** Where a value is captured. */
interface Origin {
  readonly path: string;
  readonly depth: number;
  /** Whether this is within fields ({@link Site.deferred}). */
  readonly inFields: boolean;
  /** Whether a kind or codec made the value to capture another one, so that its typed arrays are not the user's. */
  readonly isDerived: boolean;
  /** Whether the user's own types are looked for: everywhere but in what a kind of the toolkit encodes. */
  readonly mayBeOwn: boolean;
  /** The kind or codec that encoded the value, or what the value is in. */
  readonly by: string | undefined;
}

/** One capture in progress. */
interface CaptureContext {
  /** The toolkit's kinds that are recognised anywhere, in the order in which they are tried. */
  readonly common: readonly AnyKind[];
  /** The kinds of the user's own types. */
  readonly types: readonly AnyKind[];
  /** First the toolkit's kinds, then the user's. */
  readonly all: readonly AnyKind[];
  /** The kinds that are recognised within fields only. */
  readonly fieldKinds: readonly AnyKind[];
  readonly names: ReadonlyMap<object, string>;
  /** The path of each object captured so far. */
  readonly paths: Map<object, string>;
  /** The objects of each kind whose order of creation is state. */
  readonly ordered: Map<AnyKind, Map<object, string>>;
  /** The typed arrays of the user's plain data. */
  readonly views: View[];
  /** The captures of fields, which run last and may add more. */
  readonly deferred: (() => void)[];
  readonly held: Held[];
}

// --- constructors

function partOrigin({ path, depth, inFields, isDerived, mayBeOwn, by }: Origin, part: PartPath): Origin {
  const sub = typeof part === "object" ? part.reduce<string>(join, path) : join(path, part);
  return { path: sub, depth: depth + 1, inFields, isDerived, mayBeOwn, by };
}

/**
 * What a kind uses to capture a value.
 *
 * @param context The capture in progress.
 * @param at Where the value is.
 * @param inner Where its parts are: as `at`, or in an object.
 */
function siteOf(context: CaptureContext, at: Origin, inner: Origin = at): Site {
  const { paths, held, names, deferred } = context;
  return {
    part: (part, value) => captureValue(context, value, partOrigin(inner, part)),
    plain: (value) => {
      if (isPlainRecord(value)) return captureRecord(context, value, inner);
      if (Array.isArray(value)) return captureList(context, value, inner);
      // A codec may encode a tensor or a typed array as itself.
      const isItself = typeof value === "object" && value !== null && paths.get(value) === at.path;
      return isItself
        ? captureContent(context, value, { ...inner, mayBeOwn: false })
        : captureValue(context, value, inner);
    },
    hold: (array, name) => {
      held.push(array);
      return name === undefined ? { is: "array", held: array } : { is: "array", held: array, name };
    },
    names,
    deferred: (part, entries) => {
      const found: Named[] = [];
      const fields: Origin = {
        ...partOrigin(at, part),
        inFields: true,
        isDerived: false,
        mayBeOwn: true,
        by: undefined,
      };
      deferred.push(() => void found.push(...entries(siteOf(context, fields))));
      return record(found);
    },
    fields: at.inFields,
    isCaptured: (object) => paths.has(object),
    refuse: (expected, found, sub) => {
      throw cannotCapture(sub === undefined ? at.path : `${at.path}/${sub}`, expected, found);
    },
  };
}

/** Holds a copy of a typed array, because its owner may write to it later. */
function heldCopy(array: TypedArray): Held {
  const bytes = new Uint8Array(array.byteLength);
  bytes.set(new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
  return heldBytes(array[Symbol.toStringTag], [array.length], bytes);
}

// --- capture and restore

/**
 * Captures named components. Their arrays stay held until each is released.
 *
 * @param components A record of components.
 * @param kinds The kinds, in the order in which they are tried.
 * @param own The user's codecs.
 * @param held Receives every array that is now held.
 * @throws TypeError naming the path of what cannot be captured; nothing stays held.
 */
export function capture(
  components: object,
  kinds: readonly AnyKind[],
  own: OwnCodecs,
  held: Held[],
): Encoded {
  const { codecs } = own;
  if (!isPlainRecord(components)) {
    throw cannotCapture("", "a record of named components", foundOrAwait(components));
  }
  for (const name of Object.keys(codecs)) {
    if (!Object.hasOwn(components, name)) {
      throw cannotCapture(join("", name), "a component for the codec of this name", "none");
    }
  }
  try {
    const types = own.types.map(codecKind);
    const common = kinds.filter(({ isField }) => !isField);
    const context: CaptureContext = {
      common,
      types,
      all: [...common, ...types],
      fieldKinds: kinds.filter(({ isField }) => isField),
      names: partNames(components, common),
      paths: new Map([[components, ""]]),
      ordered: new Map(),
      views: [],
      deferred: [],
      held,
    };
    checkProperties(components, "");
    const entries = Object.entries(components).map(([name, value]): Named => [
      name,
      captureComponent(context, name, value, Object.hasOwn(codecs, name) ? codecs[name] : undefined),
    ]);
    for (const run of context.deferred) run();
    checkViews(context.views);
    const order = [...context.ordered].map(([kind, paths]) => [kind.name, kind.order?.(paths) ?? []] as const);
    return { components: entries, order };
  } catch (error) {
    for (const array of held) array.home.release(array);
    throw error;
  }
}

function captureComponent(context: CaptureContext, name: string, value: unknown, codec: Codec | undefined): Node {
  if (name === "" || !name.isWellFormed()) {
    const expected = "a component name that is not empty and has no lone surrogate";
    throw cannotCapture(JSON.stringify(name), expected, "this name");
  }
  const at: Origin = {
    path: join("", name),
    depth: 0,
    inFields: false,
    isDerived: false,
    mayBeOwn: true,
    by: undefined,
  };
  if (codec === undefined) return captureValue(context, value, at);
  if (!codec.is(value)) throw cannotCapture(at.path, `a value of its codec ${codec.name}`, shown(value));
  if (typeof value === "object" && value !== null) return captureObject(context, value, at, codec);
  const kind = codecPrefix + codec.name;
  return { is: "kind", kind, state: siteOf(context, { ...at, by: kind }).plain(codec.encode(value)) };
}

function captureValue(context: CaptureContext, value: unknown, at: Origin): Node {
  switch (typeof value) {
    case "number":
      return Number.isNaN(value) ? NaN : value;
    case "boolean":
    case "bigint":
      return value;
    case "string":
      return captureField(context, value, at) ?? value;
    case "object":
      return value === null ? null : captureObject(context, value, at);
    default: {
      const field = captureField(context, value, at);
      if (field !== undefined) return field;
      const type = ownTypes(context, at).find(({ is }) => is(value));
      if (type !== undefined) return captureBy(context, type, value as object, at);
      throw uncapturable(at.path, value, context.types, at.by);
    }
  }
}

/** Captures an object, or a reference to it if it has been captured. */
function captureObject(context: CaptureContext, value: object, at: Origin, codec?: Codec): Node {
  const { path, depth, inFields } = at;
  if (depth > maxDepth) throw cannotCapture(path, `data nested at most ${maxDepth} deep`, "deeper data");
  const earlier = context.paths.get(value);
  if (earlier === undefined) {
    context.paths.set(value, path);
    return codec === undefined ? captureContent(context, value, at) : captureBy(context, codecKind(codec), value, at);
  }
  const isAncestor = earlier === "" || isWithin(path, earlier);
  // Fields are captured last, so they may refer to the object or the model that they belong to.
  if (isAncestor && (!inFields || isMadeOfParts(value))) {
    throw cannotCapture(
      path,
      "data without a cycle",
      `a reference to what contains it, ${earlier || "the components"}`,
    );
  }
  return { is: "shared", path: earlier };
}

/** Whether a value consists of its parts, so that it cannot be one of them. */
function isMadeOfParts(value: object): boolean {
  return Array.isArray(value) || isPlainRecord(value) || value instanceof Map || value instanceof Set;
}

/** The kinds of the user's own types that are looked for at a place. */
function ownTypes({ types }: CaptureContext, { mayBeOwn }: Origin): readonly AnyKind[] {
  return mayBeOwn ? types : [];
}

/** Captures an object by the first kind that recognises it, or as plain data. */
function captureContent(context: CaptureContext, value: object, at: Origin): Node {
  const field = captureField(context, value, at);
  if (field !== undefined) return field;
  const types = ownTypes(context, at);
  // The toolkit's kinds are of class instances and tagged values: other plain data is not tried, because that is slow.
  const isUntagged = (Array.isArray(value) || isPlainRecord(value)) && !("_tag" in value);
  for (const kind of isUntagged ? types : at.mayBeOwn ? context.all : context.common) {
    if (kind.is(value)) {
      // The toolkit's own values are immutable: two equal ones and one twice are the same state.
      if (kind.build === undefined && "_tag" in value && !types.includes(kind)) context.paths.delete(value);
      return captureBy(context, kind, value, at);
    }
    const reason = kind.rejection?.(value);
    if (reason !== undefined && !types.some(({ is }) => is(value))) {
      throw uncapturable(at.path, value, context.types, at.by, reason);
    }
  }
  if (isTypedArray(value)) return captureTypedArray(context, value, at);
  if (Array.isArray(value)) return captureList(context, value, at);
  if (isPlainRecord(value)) return captureRecord(context, value, at);
  throw uncapturable(at.path, value, context.types, at.by);
}

function captureBy(context: CaptureContext, kind: AnyKind, value: object, at: Origin): Node {
  // Parts of an object belong to its kind, also where the object is in a field.
  // Without object spread, which makes the capture of many tensors slower.
  const { path, depth } = at;
  const mayBeOwn = kind.name.startsWith(codecPrefix);
  const state = kind.encode(
    value,
    siteOf(context, at, { path, depth, inFields: false, isDerived: true, mayBeOwn, by: kind.name }),
  );
  if (kind.order !== undefined) {
    const paths = context.ordered.get(kind) ?? new Map<object, string>();
    context.ordered.set(kind, paths.set(value, at.path));
  }
  return kindOf(state) === kind.name ? state : { is: "kind", kind: kind.name, state };
}

/** Captures a value of a kind that is state within fields only; undefined for all others. */
function captureField(context: CaptureContext, value: unknown, at: Origin): Node | undefined {
  if (!at.inFields) return undefined;
  const site = siteOf(context, at);
  const kind = context.fieldKinds.find((kind) => kind.isField?.(value, site));
  return kind && { is: "kind", kind: kind.name, state: kind.encode(value, site) };
}

function captureTypedArray(context: CaptureContext, value: TypedArray, at: Origin): Node {
  const { buffer } = value;
  if ("detached" in buffer && buffer.detached === true) {
    const found = `a ${value.constructor.name} whose buffer was transferred`;
    throw cannotCapture(at.path, "an array that has its buffer", found);
  }
  checkItems(value, at.path);
  if (!at.isDerived) context.views.push({ array: value, path: at.path });
  return siteOf(context, at).hold(heldCopy(value));
}

function captureRecord(context: CaptureContext, value: object, at: Origin): Node {
  checkProperties(value, at.path);
  const entries: Named[] = [];
  // Plain loops, here and in lists: data may be nested 1,000 deep, and each callback is one more frame on the stack.
  for (const [name, child] of Object.entries(value)) entries.push([name, captureChild(context, child, at, name)]);
  return record(entries);
}

function captureList(context: CaptureContext, value: readonly unknown[], at: Origin): Node {
  if (Object.getPrototypeOf(value) !== Array.prototype) {
    const { constructor } = value;
    const found = constructor === undefined ? "an array of no class" : `an array of the class ${constructor.name}`;
    throw uncapturable(at.path, value, context.types, at.by, found);
  }
  checkItems(value, at.path);
  const nodes: Node[] = [];
  for (let i = 0; i < value.length; i++) {
    const item = value[i];
    if (item === undefined && !(i in value)) throw cannotCapture(join(at.path, i), "an item", "a hole in the array");
    nodes.push(captureChild(context, item, at, i));
  }
  return nodes;
}

/** Captures a child of plain data. Most are scalars, whose paths are not made. */
function captureChild(context: CaptureContext, value: unknown, at: Origin, part: string | number): Node {
  if (typeof value === "number") return Number.isNaN(value) ? NaN : value;
  if (value === null || typeof value === "boolean" || (typeof value === "string" && !at.inFields)) return value;
  return captureValue(context, value, partOrigin(at, part));
}

/** Rejects a record that has computed, hidden or symbol properties, which a restore could not reproduce. */
function checkProperties(value: object, path: string): void {
  for (const name of Reflect.ownKeys(value)) {
    const found = hidden(value, name);
    if (typeof name === "symbol") throw cannotCapture(path, "names that are strings", "a symbol as a name");
    if (found === undefined) continue;
    throw cannotCapture(join(path, name), "a property that is enumerable and holds a value", found);
  }
}

/** Rejects an array or typed array that has properties besides its items. */
function checkItems(value: readonly unknown[] | TypedArray, path: string): void {
  const name = beside(value);
  if (name === undefined) return;
  throw cannotCapture(path, "an array of items alone", `one with names beside its items: ${String(name)}`);
}

/** Rejects typed arrays that share bytes. */
function checkViews(views: readonly View[]): void {
  const [first, second] = overlapping(views) ?? [];
  if (first === undefined || second === undefined) return;
  const expected = `an array with its own buffer, such as its slice(), or the very array at ${first.path}`;
  throw cannotCapture(second.path, expected, `another view of the bytes of ${first.path}`);
}
