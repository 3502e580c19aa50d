/**
 * The walk that encodes named components of any kind, at any depth, keeping what they share.
 *
 * @module
 */
import { type AnyKind, type Codec, codecKind, codecPrefix, type Codecs, type Site } from "./component.ts";
import { beside, hidden } from "./properties.ts";
import { isPlainRecord, shown } from "./rules.ts";
import { join, kindOf, maxDepth, type Named, type Node, record } from "./state_tree.ts";
import { type Held, heldCopy, isTypedArray, type TypedArray } from "./tensor.ts";

// --- types

/** Components as nodes, and for kinds to which it matters the order in which their objects came to be. */
export interface Encoded {
  readonly components: readonly Named[];
  readonly order: readonly (readonly [kind: string, paths: readonly string[]])[];
}

// --- capture

function refusal(path: string, expected: string, found: string): TypeError {
  return new TypeError(`Cannot capture ${path === "" ? "the components" : path}: expected ${expected}, found ${found}`);
}

const capturable =
  "a tfjs model, optimizer, variable or tensor, one of this toolkit's values, or plain data (null instead of undefined; anything else needs a codec in options.codecs)";

/** A number as state: every NaN is one NaN. */
function encodeNumber(n: number): number {
  return Number.isNaN(n) ? NaN : n;
}

/** Lets the kinds that name their parts see every value of theirs. */
function announce(
  value: unknown,
  kinds: readonly AnyKind[],
  names: Map<object, string>,
  seen: Set<object> = new Set(),
  depth = 0,
): void {
  if (typeof value !== "object" || value === null || seen.has(value) || depth > maxDepth) return;
  const plain = Array.isArray(value) || isPlainRecord(value);
  const parts: readonly unknown[] | undefined = plain ? Object.values(value) : undefined;
  if (parts === undefined) return kinds.find((kind) => kind.is(value))?.nameParts?.(value, names);
  seen.add(value);
  for (const part of parts) announce(part, kinds, names, seen, depth + 1);
}

/** Whether a value is made of its parts, so that it cannot be one of them. */
function isContainer(value: object): boolean {
  return Array.isArray(value) || isPlainRecord(value) || value instanceof Map || value instanceof Set;
}

/** Refuses a record with properties that a walk over its names does not meet, or that are computed. */
function checkNames(value: object, path: string): void {
  for (const name of Reflect.ownKeys(value)) {
    const found = hidden(value, name);
    if (typeof name === "symbol") throw refusal(path, "names that are strings", "a symbol as a name");
    if (found !== undefined) throw refusal(join(path, name), "a property that is enumerable and holds a value", found);
  }
}

/** Refuses an array or typed array with properties beside its items. */
function checkItems(value: readonly unknown[] | TypedArray, path: string): void {
  const name = beside(value);
  if (name === undefined) return;
  throw refusal(path, "an array of items alone", `one with names beside its items: ${String(name)}`);
}

/** A typed array that is plain data, and where it is. */
interface View {
  readonly array: TypedArray;
  readonly path: string;
}

/** Refuses views that share bytes: a write through one would be seen through the other, and in restored ones no more. */
function checkViews(views: ReadonlyMap<ArrayBufferLike, readonly View[]>): void {
  for (const all of views.values()) {
    if (all.length < 2) continue;
    const sorted = all.filter(({ array }) => array.byteLength > 0)
      .toSorted((a, b) => a.array.byteOffset - b.array.byteOffset);
    let last = sorted[0];
    for (const view of sorted.slice(1)) {
      if (last !== undefined && view.array.byteOffset < last.array.byteOffset + last.array.byteLength) {
        const [first, second] = all.indexOf(last) < all.indexOf(view) ? [last, view] : [view, last];
        throw refusal(
          second.path,
          `an array with a buffer of its own, such as its slice(), or the very array at ${first.path}`,
          `another view of the bytes of ${first.path}`,
        );
      }
      if (
        last === undefined ||
        view.array.byteOffset + view.array.byteLength > last.array.byteOffset + last.array.byteLength
      ) {
        last = view;
      }
    }
  }
}

/**
 * Encodes named components; what they hold stays held until each is released.
 *
 * @param components A record of components.
 * @param kinds The kinds, in the order in which they are asked.
 * @param codecs The user's own, by component name.
 * @param held Receives everything that is now held.
 * @throws TypeError naming the path of what cannot be captured; nothing stays held.
 */
export function encode(components: object, kinds: readonly AnyKind[], codecs: Codecs, held: Held[]): Encoded {
  const seen = new Map<object, string>();
  const names = new Map<object, string>();
  const byKind = new Map<AnyKind, Map<object, string>>();
  const [common, inner] = [kinds.filter(({ isField }) => !isField), kinds.filter(({ isField }) => isField)];
  const late: (() => void)[] = [];
  let fields = false;
  /** Of how many objects this is a part; what their kinds and codecs make to encode is not the user's data. */
  let within = 0;
  const views = new Map<ArrayBufferLike, View[]>();
  const viewsOf = (buffer: ArrayBufferLike): View[] => {
    const known = views.get(buffer) ?? [];
    views.set(buffer, known);
    return known;
  };

  const encodeRecord = (value: object, path: string, depth: number): Node => {
    checkNames(value, path);
    return record(
      Object.entries(value).map(([name, child]): Named => [name, walk(child, join(path, name), depth + 1)]),
    );
  };

  const encodeArray = (value: readonly unknown[], path: string, depth: number): Node => {
    if (Object.getPrototypeOf(value) !== Array.prototype) {
      throw refusal(
        path,
        capturable,
        value.constructor === undefined ? "an array of no class" : `an array of the class ${value.constructor.name}`,
      );
    }
    checkItems(value, path);
    return Array.from(
      value,
      (item, i) => {
        if (typeof item === "number") return encodeNumber(item);
        if (item === undefined && !(i in value)) throw refusal(join(path, i), "an item", "a hole in the array");
        return walk(item, join(path, i), depth + 1);
      },
    );
  };

  const site = (path: string, depth: number): Site => ({
    part: (step, part) => walk(part, [step].flat().reduce<string>(join, path), depth + 1),
    plain: (plain) =>
      isPlainRecord(plain) ? encodeRecord(plain, path, depth) : Array.isArray(plain)
        ? encodeArray(plain, path, depth)
        // A codec may encode a tensor or a typed array as itself.
        : isEncoding(plain, path)
        ? encodeContent(plain, path, depth)
        : walk(plain, path, depth),
    hold: (array, name) => {
      held.push(array);
      return name === undefined ? { is: "array", held: array } : { is: "array", held: array, name };
    },
    names,
    deferred: (step, entries) => {
      const found: Named[] = [];
      const at = [step].flat().reduce<string>(join, path);
      late.push(() => void found.push(...entries(site(at, depth + 1))));
      return record(found);
    },
    fields,
    isCaptured: (object) => seen.has(object),
    refuse: (expected, found, at) => {
      throw refusal(at === undefined ? path : `${path}/${at}`, expected, found);
    },
  });

  const encodeBy = (kind: AnyKind, value: object, path: string, depth: number): Node => {
    const at = site(path, depth);
    const outer = fields;
    // What is in an object of another kind is that kind's, wherever the object is.
    fields = false;
    within++;
    const state = kind.encode(value, at);
    within--;
    fields = outer;
    if (kind.order !== undefined) {
      const paths = byKind.get(kind) ?? new Map<object, string>();
      byKind.set(kind, paths.set(value, path));
    }
    return kindOf(state) === kind.name ? state : { is: "kind", kind: kind.name, state };
  };

  const isEncoding = (value: unknown, path: string): value is object => seen.get(value as object) === path;

  const encodeContent = (value: object, path: string, depth: number): Node => {
    // Instances of classes and tagged values have kinds; plain data need not be shown to each.
    const plain = (Array.isArray(value) || isPlainRecord(value)) && !("_tag" in value);
    const field = encodeField(value, path, depth);
    if (field !== undefined) return field;
    for (const kind of plain ? [] : common) {
      if (kind.is(value)) {
        // The toolkit's own values are immutable: two equal ones and one twice are the same state.
        if (kind.build === undefined && "_tag" in value) seen.delete(value);
        return encodeBy(kind, value, path, depth);
      }
      const reason = kind.rejection?.(value);
      if (reason !== undefined) throw refusal(path, capturable, reason);
    }
    if (isTypedArray(value)) {
      if ("detached" in value.buffer && value.buffer.detached === true) {
        throw refusal(path, "an array that has its buffer", `a ${value.constructor.name} whose buffer was transferred`);
      }
      checkItems(value, path);
      if (within === 0) viewsOf(value.buffer).push({ array: value, path });
      return site(path, depth).hold(heldCopy(value));
    }
    if (Array.isArray(value)) return encodeArray(value, path, depth);
    if (isPlainRecord(value)) return encodeRecord(value, path, depth);
    throw refusal(path, capturable, shown(value));
  };

  /** A value that is state only within fields. */
  const encodeField = (value: unknown, path: string, depth: number): Node | undefined => {
    const kind = fields ? inner.find((kind) => kind.isField?.(value, site(path, depth))) : undefined;
    return kind && { is: "kind", kind: kind.name, state: kind.encode(value, site(path, depth)) };
  };

  const encodeObject = (value: object, path: string, depth: number, codec?: Codec): Node => {
    if (depth > maxDepth) throw refusal(path, `data nested at most ${maxDepth} deep`, "deeper data");
    const earlier = seen.get(value);
    if (earlier !== undefined) {
      // What is encoded at a place above this one is being encoded still.
      const within = earlier === "" || path === earlier || path.startsWith(`${earlier}/`);
      // Fields are encoded last: they may refer to the very object, or the model, that they are fields of.
      if (within && (!fields || isContainer(value))) {
        throw refusal(path, "data without a cycle", `what it is itself a part of, ${earlier || "the components"}`);
      }
      return { is: "shared", path: earlier };
    }
    seen.set(value, path);
    return codec === undefined ? encodeContent(value, path, depth) : encodeBy(codecKind(codec), value, path, depth);
  };

  const walk = (value: unknown, path: string, depth: number): Node => {
    switch (typeof value) {
      case "number":
        return encodeNumber(value);
      case "boolean":
      case "bigint":
        return value;
      case "string":
        return encodeField(value, path, depth) ?? value;
      case "object":
        return value === null ? null : encodeObject(value, path, depth);
      default: {
        const field = encodeField(value, path, depth);
        if (field !== undefined) return field;
        throw refusal(path, capturable, shown(value));
      }
    }
  };

  const component = (name: string, value: unknown): Named => {
    if (name === "" || !name.isWellFormed()) {
      throw refusal(JSON.stringify(name), "a component name that is not empty and has no lone surrogate", "this name");
    }
    const codec = Object.hasOwn(codecs, name) ? codecs[name] : undefined;
    const path = join("", name);
    if (codec === undefined) return [name, walk(value, path, 0)];
    if (!codec.is(value)) throw refusal(path, `what its codec ${codec.name} knows`, shown(value));
    if (typeof value === "object" && value !== null) return [name, encodeObject(value, path, 0, codec)];
    const state = site(path, 0).plain(codec.encode(value));
    return [name, { is: "kind", kind: codecPrefix + codec.name, state }];
  };

  if (!isPlainRecord(components)) throw refusal("", "a record of named components", shown(components));
  for (const name of Object.keys(codecs)) {
    if (!Object.hasOwn(components, name)) {
      throw refusal(join("", name), "a component for the codec of this name", "none");
    }
  }
  try {
    announce(components, common.filter((kind) => kind.nameParts !== undefined), names);
    checkNames(components, "");
    seen.set(components, "");
    const entries = Object.entries(components).map(([name, value]) => component(name, value));
    fields = true;
    // Fields may have objects with fields of their own.
    for (const run of late) run();
    checkViews(views);
    const order = [...byKind].map(([kind, paths]) => [kind.name, kind.order?.(paths) ?? []] as const);
    return { components: entries, order };
  } catch (error) {
    for (const array of held) array.home.release(array);
    throw error;
  }
}
