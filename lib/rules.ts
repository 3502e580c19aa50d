/**
 * Rules for plain data: what a value must be, said once for the arguments of a constructor and for decoding.
 *
 * A rule answers with every objection it has, as sentences. An argument that breaks one is a `TypeError`
 * ({@link demand}), stored data that breaks one is a left of a codec.
 *
 * @module
 */
// --- types

/** Every objection to a value that goes by a name; none if it is as it must be. */
export type Rule = (value: unknown, name: string) => readonly string[];

// --- constructors

/** Whether a value is a plain record: an object whose prototype is `Object.prototype` or null. */
export function isPlainRecord(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** A value in a few words: numbers and short strings as they are, everything else by its sort. */
export function shown(value: unknown): string {
  if (typeof value === "string") return JSON.stringify(value.length > 60 ? `${value.slice(0, 60)}…` : value);
  if (Object.is(value, -0)) return "-0";
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (Array.isArray(value)) return `an array of ${value.length}`;
  if (isPlainRecord(value)) return "an object";
  const made: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  if (made === "Object") return "an object that inherits from another";
  return typeof made === "string" && made !== "" ? `an instance of ${made}` : "an object of an unknown class";
}

/** The rule that a predicate holds; `expected` completes "Expected x to be …". */
export function must(expected: string, holds: (value: unknown) => boolean): Rule {
  return (value, name) => holds(value) ? [] : [`Expected ${name} to be ${expected}, found ${shown(value)}`];
}

/** The rule for one of these strings. */
export function oneOf(...strings: readonly string[]): Rule {
  return must(strings.map((s) => JSON.stringify(s)).join(" or "), (value) => strings.some((s) => s === value));
}

/** The rule for an integer from `least` to `most`, both included, and never -0. */
export function integer(least: number, most: number = Number.MAX_SAFE_INTEGER): Rule {
  return must(
    `an integer from ${least} to ${most}`,
    (value) => Number.isSafeInteger(value) && Number(value) >= least && Number(value) <= most && !Object.is(value, -0),
  );
}

/** The rule for a function. */
export const aFunction: Rule = must("a function", (value) => typeof value === "function");

/** The rule for a string that is not empty. */
export const aName: Rule = must("a string that is not empty", (value) => typeof value === "string" && value !== "");

/** The rule for a boolean. */
export const aBoolean: Rule = must("a boolean", (value) => typeof value === "boolean");

/** The rule for what a rule allows, or undefined. */
export function ifGiven(rule: Rule): Rule {
  return (value, name) => value === undefined ? [] : rule(value, name);
}

/** The rule for a codec of io-ts that has these methods. */
export function ioTs(...methods: readonly ("is" | "validate" | "decode" | "encode")[]): Rule {
  const has = (value: unknown): boolean =>
    // Schemas of other libraries have methods of these names, too, but no name, and say what they are.
    typeof value === "object" && value !== null && typeof Reflect.get(value, "name") === "string" &&
    !("~standard" in value) && methods.every((name) => typeof Reflect.get(value, name) === "function");
  return (value, name) =>
    has(value) ? [] : [
      `Expected ${name} to be a codec of io-ts, such as t.type({ text: t.string }), found ${shown(value)}: ` +
      "write it with io-ts, or leave it out and check what it gives by a function of your own",
    ];
}

/** The rule for an array whose items all keep a rule. */
export function listOf(rule: Rule): Rule {
  return (value, name) =>
    Array.isArray(value)
      ? Array.from(value, (item, i) => rule(item, `${name}[${i}]`)).flat()
      : [`Expected ${name} to be an array, found ${shown(value)}`];
}

/** The rule for a plain object with exactly these fields, each under its own rule. */
export function record(fields: Readonly<Record<string, Rule>>): Rule {
  return (value, name) => {
    if (!isPlainRecord(value)) return [`Expected ${name} to be a plain object, found ${shown(value)}`];
    const unknown = Object.keys(value).filter((key) => !Object.hasOwn(fields, key));
    return [
      ...Object.entries(fields).flatMap(([key, rule]) =>
        Object.hasOwn(value, key)
          ? rule(value[key], `${name}.${key}`)
          : [`Expected ${name}.${key}, found no such field`]
      ),
      ...unknown.map((key) => `Expected no field ${shown(key)} in ${name}`),
    ];
  };
}

/** A rule and, for values that keep it and only for those, a further one. */
export function refined<A>(rule: Rule, further: (value: A, name: string) => readonly string[]): Rule {
  return (value, name) => {
    const objections = rule(value, name);
    return objections.length > 0 ? objections : further(value as A, name);
  };
}

// --- combinators

/** A `TypeError` with every objection of the rule, if there is one. */
export function demand(name: string, rule: Rule, value: unknown): void {
  const objections = rule(value, name);
  if (objections.length > 0) throw new TypeError(objections.join("; "));
}
