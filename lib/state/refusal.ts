/**
 * Why a value cannot be captured, and what to write instead.
 *
 * @module
 */
import { type AnyKind, codecNamed, codecPrefix } from "./kind.ts";
import { isAwaited, isPlainRecord, shown } from "../validation/mod.ts";

// --- constructors

const capturableValues =
  "a tfjs model, optimizer, variable or tensor, an Rng, Schedule, Scaler or Cursor, or plain data";

/** Codecs of classes of the language. */
const builtIns: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [Map.prototype, 'codecOf("Map", Map, (value) => [...value], (entries) => new Map(entries))'],
  [Set.prototype, 'codecOf("Set", Set, (value) => [...value], (items) => new Set(items))'],
  [Date.prototype, 'codecOf("Date", Date, (value) => value.getTime(), (time) => new Date(time))'],
]);

/** The error of a value that cannot be captured. */
export function cannotCapture(path: string, expected: string, found: string): TypeError {
  return new TypeError(`Cannot capture ${path === "" ? "the components" : path}: expected ${expected}, found ${found}`);
}

/**
 * The error of a value that no kind captures.
 *
 * @param path Where the value is.
 * @param value The value.
 * @param types The kinds of the user's own types.
 * @param by The kind or codec that encoded it, if it is not the user's.
 * @param reason What the kind that it resembles says of it.
 */
export function uncapturable(
  path: string,
  value: unknown,
  types: readonly AnyKind[],
  by: string | undefined,
  reason: string = shown(value),
): TypeError {
  const codec = by?.startsWith(codecPrefix) === true ? by.slice(codecPrefix.length) : undefined;
  const found = codec === undefined ? reason : `${reason}, from ${codecNamed(codec)}`;
  const remedy = codec === undefined
    ? remedyOf(value, reason, types)
    : value === undefined
    ? "write null in its encode (with codecOf, toPlain); for a field that an older checkpoint lacks, give a value in its decode"
    : "correct its encode (with codecOf, toPlain): return plain data, such as [...map] for a Map";
  return cannotCapture(path, capturableValues, remedy === "" ? found : `${found}: ${remedy}`);
}

function remedyOf(value: unknown, reason: string, types: readonly AnyKind[]): string {
  if (isAwaited(value)) return "await it";
  if (value === undefined) return "write null instead of undefined, or leave the name out";
  if (typeof value === "function") return "a function cannot be saved, so keep the data that it needs instead";
  if (typeof value === "symbol") return "write a string";
  if (reason === "a disposed tensor") {
    return "save it before its dispose(), and return it from tf.tidy or tf.keep it there";
  }
  if (typeof value !== "object" || value === null || isPlainRecord(value) || reason.startsWith("a malformed")) {
    return "";
  }
  if (Array.isArray(value)) return `write Array.from(value), or pass the option types: [${codecFor(value)}]`;
  const inherited = types.find((kind) => takesParent(kind, value));
  const why = inherited === undefined
    ? ""
    : `${codecNamed(inherited.name.slice(codecPrefix.length))} takes no subclasses, so `;
  return `${why}pass the option types: [${codecFor(value)}]`;
}

/** Whether a codec is of a class that the value's class extends. */
function takesParent(kind: AnyKind, value: object): boolean {
  let parent: unknown = Object.getPrototypeOf(Object.getPrototypeOf(value));
  try {
    while (Object(parent) === parent && !kind.is(Object.create(parent as object))) {
      parent = Object.getPrototypeOf(parent);
    }
  } catch {
    // The user's own check expects the fields of an instance.
    return false;
  }
  return Object(parent) === parent;
}

/** A call of `codecOf` for the class of a value: ready to use, unless the class has state that is not in its fields. */
function codecFor(value: object): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  const Class: unknown = Object(prototype).constructor;
  const name = typeof Class === "function" && Class.name !== "" ? Class.name : "Name";
  const source = typeof Class === "function" ? Function.prototype.toString.call(Class) : "#";
  const ofFields = Object.keys(value).length > 0 && !/#|\[native code\]|extends/.test(source);
  return builtIns.get(prototype) ??
    `codecOf("${name}", ${name}, ` +
      (Array.isArray(value)
        ? `(value) => [...value], (items) => ${name}.from(items))`
        : ofFields
        ? `(value) => ({ ...value }), (fields) => Object.assign(Object.create(${name}.prototype), fields))`
        : "toPlain, fromPlain)");
}
