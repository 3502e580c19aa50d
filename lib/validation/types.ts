/**
 * Validation with io-ts: named types for arguments and stored values, and the sentences about what breaks them.
 *
 * The name of a type completes the sentence "Expected x to be …". {@link demand} throws these sentences as a `TypeError`, for arguments;
 * a codec made by {@link plainCodec} gives them in its left, for stored values. Everything is checked by `validate`: the `is` of `t.array` skips
 * the holes of sparse arrays.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import * as t from "io-ts";

// --- types

/** A type that changes no value. */
export type Plain<A> = t.Type<A, A, unknown>;

/** A type of any values. */
export type Rule = t.Mixed;

type FieldTypes = Readonly<Record<string, t.Mixed>>;

/** The values of a record of types. */
type ValuesOf<F extends FieldTypes> = { readonly [K in keyof F]: t.TypeOf<F[K]> };

// --- constructors

/** Whether a value is a plain record: an object whose prototype is `Object.prototype` or null. */
export function isPlainRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** Describes a value for a message: numbers and short strings in full, anything else by what it is. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  if (isAwaited(value)) return typeof value === "function" ? "a task" : "a promise";
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isPlainRecord(value)) return "an object";
  const className: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (className === "Object") return "an object that inherits from another";
  return typeof className === "string" && className !== ""
    ? `an instance of ${className}`
    : "an object of an unknown class";
}

/** Whether a value is a promise, or a task of the toolkit, which gives what `await` was forgotten for. */
export function isAwaited(value: unknown): boolean {
  return value instanceof Promise || (typeof value === "function" && "then" in value);
}

/** {@link shown}, and what to do: to await a task or promise, otherwise the remedy, if any. */
export function foundOrAwait(value: unknown, remedy?: string): string {
  const advice = isAwaited(value) ? "await it" : remedy;
  return advice === undefined ? shown(value) : `${shown(value)}: ${advice}`;
}

/** {@link shown}, but a short array of numbers, strings and other scalars in full: the items may be what is wrong. */
function shownWithItems(value: unknown): string {
  if (!Array.isArray(value) || value.length === 0 || value.length > 8) return foundOrAwait(value);
  const items = Array.from(value, (item: unknown) => Object(item) === item ? undefined : shown(item));
  const text = `[${items.join(", ")}]`;
  return items.includes(undefined) || text.length > 60 ? shown(value) : text;
}

/** The values that satisfy a predicate; `expected` completes "Expected x to be …". */
export function must(expected: string, holds: (value: unknown) => boolean): Plain<unknown> {
  return t.refinement(t.unknown, holds, expected);
}

/** The values of a type that also satisfy a predicate; `expected` describes both. */
export function refine<A>(type: Plain<A>, expected: string, holds: (value: A) => boolean): Plain<A> {
  return t.refinement(type, holds, expected);
}

/** One of these strings. */
export function oneOf<S extends string>(...strings: readonly S[]): Plain<S> {
  const keys = Object.fromEntries(strings.map((s) => [s, null])) as Record<S, null>;
  return t.keyof(keys, strings.map((s) => JSON.stringify(s)).join(" or ")) as t.Mixed as Plain<S>;
}

/** An integer from `least` to `most`, both included, and never -0. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Plain<number> {
  return refine(
    t.number,
    `an integer from ${least} to ${most}`,
    (value) => Number.isSafeInteger(value) && value >= least && value <= most && !Object.is(value, -0),
  );
}

/** A finite number that satisfies a predicate. */
export function finite(expected: string, holds: (value: number) => boolean): Plain<number> {
  return refine(t.number, expected, (value) => Number.isFinite(value) && holds(value));
}

/** Any string. */
export const aString: Plain<string> = refine(t.string, "a string", () => true);

/** A function. */
export const aFunction: Plain<unknown> = must("a function", (value) => typeof value === "function");

/** A string that is not empty. */
export const aName: Plain<string> = refine(t.string, "a string that is not empty", (value) => value !== "");

/** A boolean. */
export const aBoolean: Plain<boolean> = refine(t.boolean, "a boolean", () => true);

/** A value of a type, or undefined. */
export function ifGiven<A>(type: Plain<A>): Plain<A | undefined> {
  return t.union([type, t.undefined], type.name);
}

/** A value of a type, or null. */
export function orNull<A>(type: Plain<A>, expected: string = `${type.name} or null`): Plain<A | null> {
  return t.union([type, t.null], expected);
}

/** An array whose items are all of a type. */
export function listOf<A>(item: Plain<A>, expected: string = "an array"): Plain<readonly A[]> {
  return t.readonlyArray(item, expected);
}

/** An array of items of a type, no two of which have one name. */
export function listOfNamed<A>(item: Plain<A>, expected: string, nameOf: (one: A) => string): Plain<readonly A[]> {
  const list = listOf(item);
  return validating(expected, (value, context) => {
    const result = list.validate(value, context);
    if (E.isLeft(result)) return result;
    const names = result.right.map(nameOf);
    const second = names.findIndex((name, i) => names.indexOf(name) < i);
    if (second < 0) return result;
    const found = `two named ${shown(names[second])}`;
    // At the item, so that what encloses the array has no objection to the whole.
    const at = t.appendContext(context, `${second}`, item, result.right[second]);
    return t.failure(result.right[second], at, `Expected ${context[0]?.key} to be ${expected}, found ${found}`);
  });
}

/** The message for a Standard Schema where values are also encoded. */
const decodesOnly = t.refinement(
  t.unknown,
  () => false,
  "a codec of io-ts, because a checkpoint also encodes: a Standard Schema, such as one of zod, only decodes",
);

/** A codec of io-ts that has these methods. */
export function codecWith(...methods: readonly ("is" | "validate" | "decode" | "encode")[]): Plain<unknown> {
  const isCodec = must(
    "a codec of io-ts, such as t.type({ text: t.string }) or codecOf(name, Class, toPlain, fromPlain)",
    (value) => hasMethods(value, methods),
  );
  return validating(isCodec.name, (value, context) => {
    const type = declaresSchema(value) && !isCodec.is(value) ? decodesOnly : isCodec;
    return type.validate(value, [...context.slice(0, -1), { ...context.at(-1)!, type }]);
  });
}

/** Whether a value is an object with a name, as every codec of io-ts has, and these methods. Schemas of zod have methods of these names too. */
export function hasMethods(value: unknown, methods: readonly string[]): boolean {
  return typeof value === "object" && value !== null && typeof Reflect.get(value, "name") === "string" &&
    methods.every((name) => typeof Reflect.get(value, name) === "function");
}

/** Whether a value declares the interface of Standard Schema; some libraries' schemas are functions. */
export function declaresSchema(value: unknown): value is { readonly "~standard": unknown } {
  return ((typeof value === "object" && value !== null) || typeof value === "function") && "~standard" in value;
}

/** A type from its `validate`. */
function validating<A>(name: string, validate: t.Validate<unknown, A>): Plain<A> {
  const type: Plain<A> = new t.Type(name, (value): value is A => E.isRight(type.decode(value)), validate, t.identity);
  return type;
}

/** A plain record whose values are all of a type. Unlike `t.record`, it accepts `__proto__` as a name, and no instances of classes. */
export function recordOf<A>(item: Plain<A>, expected: string): Plain<unknown> {
  return validating(expected, (value, context) => {
    if (!isPlainRecord(value)) return t.failure(value, context);
    const errors = Object.entries(value).flatMap(([key, one]) => {
      const result = item.validate(one, t.appendContext(context, key, item, one));
      return E.isLeft(result) ? result.left : [];
    });
    return errors.length === 0 ? t.success(value) : t.failures(errors);
  });
}

/**
 * A plain object with exactly these fields.
 *
 * io-ts has no such type: `t.type` accepts further fields, `t.strict` drops them, and both accept instances of classes.
 *
 * @param fields The fields, each with its type.
 * @param optional Fields that may be absent; where present, they are of their type.
 */
export function exactRecord<F extends FieldTypes, O extends FieldTypes = Record<never, never>>(
  fields: F,
  optional?: O,
): Plain<ValuesOf<F> & Partial<ValuesOf<O>>> {
  const name = "a plain object";
  const required = t.type(fields as F & t.Props, name);
  return validating(name, (value, context) => {
    if (!isPlainRecord(value)) return t.failure(value, context);
    const others = Object.keys(value).filter((key) => !Object.hasOwn(fields, key)).flatMap((key) => {
      const type = optional !== undefined && Object.hasOwn(optional, key) ? optional[key]! : t.never;
      const result = type.validate(value[key], t.appendContext(context, key, type, value[key]));
      return E.isLeft(result) ? result.left : [];
    });
    const result = required.validate(value, context);
    const errors = E.isLeft(result) ? [...result.left, ...others] : others;
    return errors.length === 0 ? t.success(value as never) : t.failures(errors);
  });
}

/**
 * A union of plain objects, discriminated by one field.
 *
 * Used in place of `t.union`, whose error does not say that the field is wrong, and lists the errors of every type.
 *
 * @param name What they are, such as `a schedule`.
 * @param tag The field.
 * @param types A type for each of its values.
 */
export function tagged<A>(name: string, tag: string, types: Readonly<Record<string, t.Decoder<unknown, A>>>): Plain<A> {
  const tags = oneOf(...Object.keys(types));
  return validating(name, (value, context) => {
    if (!isPlainRecord(value)) return t.failure(value, context);
    const found = Object.hasOwn(value, tag) ? value[tag] : undefined;
    const known = tags.validate(found, t.appendContext(context, tag, tags, found));
    return E.isLeft(known) ? known : types[known.right]!.validate(value, context);
  });
}

/** The values of a type whose fields are also of the types that a function of the value gives, such as `position: integer(0, length)`. */
export function dependent<A>(type: Plain<A>, fields: (value: A) => FieldTypes): Plain<A> {
  return validating(type.name, (value, context) => {
    const result = type.validate(value, context);
    if (E.isLeft(result)) return result;
    const further = t.type({ ...fields(result.right) }, type.name).validate(value, context);
    return E.isLeft(further) ? further : result;
  });
}

// --- sentences

/** Whether a type tries others one after another: io-ts then adds an entry with the index of the one tried to the context. */
function triesOthers(type: t.Decoder<unknown, unknown>): boolean {
  if (type instanceof t.UnionType || type instanceof t.IntersectionType) return true;
  const wraps = [t.RefinementType, t.RecursiveType, t.ReadonlyType, t.ExactType].some((wrapper) =>
    type instanceof wrapper
  );
  return wraps && triesOthers((type as t.RefinementType<t.Mixed>).type);
}

/** What is wrong in a value: where, what was expected there, and what was found. */
export interface Objection {
  /** Names and indices from the value down. */
  readonly path: readonly string[];
  readonly expected: string;
  readonly found: string;
}

/** One error of io-ts: as an {@link Objection}, as a sentence, with its path and the paths above it in the form of the sentence. */
function objection({ context, message }: t.ValidationError) {
  let [last, path] = [context[0]!, context[0]!.key];
  const [above, keys]: [string[], string[]] = [[], []];
  let parent: t.ContextEntry | undefined;
  context.forEach((entry, i) => {
    if (i === 0 || triesOthers(context[i - 1]!.type)) return;
    parent = context[i - 1]!;
    above.push(path);
    keys.push(entry.key);
    path += Array.isArray(parent.actual) ? `[${entry.key}]` : `.${entry.key}`;
    last = entry;
  });
  const missing = isPlainRecord(parent?.actual) && !Object.hasOwn(parent.actual, last.key);
  const found = missing ? "no such field" : shownWithItems(last.actual);
  const sentence = last.type === t.never
    ? `Expected no field ${shown(last.key)} in ${above.at(-1)}`
    : `Expected ${path} to be ${last.type.name}, found ${found}`;
  return {
    sentence: message ?? sentence,
    path,
    above,
    about: { path: keys, expected: last.type.name, found: message === undefined ? found : `${found}: ${message}` },
  };
}

/** The objections in the errors of io-ts: of a union, those inside the value if any of its types got there. */
function distinct(errors: t.Errors): readonly ReturnType<typeof objection>[] {
  const all = errors.map(objection);
  const above = new Set(all.flatMap((one) => one.above));
  return all.filter(({ path }) => !above.has(path));
}

/** The errors of a codec of io-ts that decoded a value, one for each place in the value. */
export function objectionsOf(errors: t.Errors): readonly Objection[] {
  const places = new Map<string, Objection>();
  // A codec of the user's own may give errors without a context.
  const withContext = errors.map((error) =>
    error.context.length > 0 ? error : { ...error, context: [{ key: "", type: anyValue, actual: error.value }] }
  );
  for (const { path, about } of distinct(withContext)) {
    const before = places.get(path);
    const expected = before === undefined || before.expected === about.expected
      ? about.expected
      : `${before.expected} or ${about.expected}`;
    places.set(path, { ...about, expected });
  }
  return [...places.values()];
}

const anyValue = must("a value of the codec", () => true);

/**
 * The sentences about a value that is not of a type, one for each error: `Expected Rng.state[3] to be an integer from …, found 0.5`.
 *
 * Of a union, the errors inside the value are kept if any of its types got there, and one sentence for all of its types if none did.
 *
 * @param name What the value is called.
 * @returns The sentences; none if the value is of the type.
 */
function objections(name: string, type: t.Mixed, value: unknown): readonly string[] {
  const result = type.validate(value, [{ key: name, type, actual: value }]);
  if (E.isRight(result)) return [];
  return [...new Set(distinct(result.left).map(({ sentence }) => sentence))];
}

// --- combinators

/** Throws a `TypeError` with every objection to an argument, if there is any. */
export function demand(name: string, type: t.Mixed, value: unknown): void {
  const found = objections(name, type, value);
  if (found.length > 0) throw new TypeError(found.join("; "));
}

/**
 * The codec of a plain value that encodes as itself.
 *
 * @param name The codec's name, with which the path in each sentence begins.
 * @param type The type of the value; each objection becomes one `t.ValidationError` with a message.
 * @param restore Makes the library's own frozen copy, so that no decoded value shares memory with its source.
 */
export function plainCodec<A>(name: string, type: Plain<A>, restore: (value: A) => A): Plain<A> {
  return new t.Type<A, A, unknown>(
    name,
    (value): value is A => objections(name, type, value).length === 0,
    (value, context) => {
      const messages = objections(name, type, value);
      return messages.length === 0
        ? t.success(restore(value as A))
        : t.failures(messages.map((message) => ({ value, context, message })));
    },
    t.identity,
  );
}
