/**
 * The state of callbacks: their own fields, and those of the plain objects that were given as callbacks.
 *
 * Law *same bits*: absence is state too. A field that became undefined or was deleted is restored as such.
 *
 * @module
 */
import { withoutMaps } from "./plain_maps.ts";
import { aligned, assign } from "./refill.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { entry, join, type Named, type Node } from "../state/mod.ts";
import { argumentFieldsOf, type Callbacks, isCallback, type Trainer } from "../tfjs/mod.ts";

// --- types

/** The names of a callback's fields that have no value. */
export interface FieldsWithoutValue {
  /** Fields that are undefined. */
  readonly absent: readonly string[];
  /** Fields that were deleted since the callback was initialFields. */
  readonly deleted: readonly string[];
}

/** The fields of all callbacks of a training. */
export interface CallbackFields {
  readonly values: readonly Readonly<Record<string, unknown>>[];
  readonly names: readonly FieldsWithoutValue[];
}

// --- capture

/** Whether tfjs has set a field: it sets some on every callback, and its own classes keep their arguments in others. */
function isSetByTfjs(
  object: object,
  name: string,
  value: unknown,
  initialFields: Record<string, unknown>,
  params: unknown,
  trainer: Trainer,
): boolean {
  if (argumentFieldsOf(object).includes(name)) return Object.is(initialFields[name], value);
  if (!isCallback(object)) return false;
  if (name === "params") return value === params || value === undefined;
  if (name === "model") return value === trainer || value === null;
  return name === "validationData" && value === null;
}

/** The fields of callbacks, as they are now. */
export function fieldsOfCallbacks(
  { stateful, initialFields }: Callbacks,
  params: unknown,
  trainer: Trainer,
  model: object,
): CallbackFields {
  const converted = new Map<object, unknown>();
  const each = stateful.map((object, i) => {
    const [values, absent, fresh]: [Record<string, unknown>, string[], Record<string, unknown>] = [
      {},
      [],
      initialFields[i] ?? {},
    ];
    for (const name of Reflect.ownKeys(object)) {
      const { value, writable = false } = Object.getOwnPropertyDescriptor(object, name) as PropertyDescriptor;
      if (typeof value === "function") continue;
      if (typeof name === "symbol") {
        throw new TypeError(
          `Cannot capture callbacks/${i}: expected fields whose names are strings, found ${String(name)}; ` +
            "give the field a string as its name, or make it #private if it is not state",
        );
      }
      if (!writable || isSetByTfjs(object, name, value, fresh, params, trainer)) continue;
      if (value === undefined) absent.push(name);
      // The inner model of a sequential one is no component; the sequential one stands for it.
      else values[name] = value === trainer ? model : withoutMaps(value, join(`callbacks/${i}`, name), converted);
    }
    const deleted = Object.keys(fresh).filter((name) => !Object.hasOwn(object, name));
    return { values, names: { absent, deleted } };
  });
  return { values: each.map(({ values }) => values), names: each.map(({ names }) => names) };
}

/** The arguments that callbacks of tfjs's own classes were initialFields with, except functions. */
export function configurationsOf({ stateful }: Callbacks): readonly (readonly unknown[])[] {
  return stateful.map((object) =>
    argumentFieldsOf(object).flatMap((name) => {
      const value = (object as Record<string, unknown>)[name];
      return typeof value === "function" || value == null ? [] : [[name, value]];
    })
  );
}

// --- restore

/** The fields of callbacks in the form of the saved ones, to restore into. */
export function alignedFields(
  fields: CallbackFields["values"],
  saved: Node | undefined,
  shared: (path: string) => unknown,
): unknown {
  if (!Array.isArray(saved)) return fields;
  return saved.map((node: Node, i) => aligned(fields[i] ?? {}, node, "any", shared));
}

/**
 * Writes restored fields into callbacks.
 *
 * @param callbacks The live callbacks.
 * @param values The restored fields of each.
 * @param names The fields of each without a value; undefined for a checkpoint of version 0.1.0, which does not record them.
 * @param refill Writes a restored value into a live object.
 */
export function restoreCallbackFields(
  { stateful }: Callbacks,
  values: CallbackFields["values"],
  names: CallbackFields["names"] | undefined,
  refill: (live: unknown, restored: unknown) => unknown,
): void {
  stateful.forEach((object, i) => {
    const fields = object as unknown as Record<string, unknown>;
    for (const [name, value] of Object.entries(values[i] ?? {})) assign(object, name, refill(fields[name], value));
    for (const name of names?.[i]?.absent ?? []) assign(object, name, undefined);
    for (const name of names?.[i]?.deleted ?? []) Reflect.deleteProperty(object, name);
  });
}

/** Whether decoded data is a list of {@link FieldsWithoutValue}. */
export function areFieldNames(value: unknown): value is readonly FieldsWithoutValue[] {
  return Array.isArray(value) &&
    value.every((one) => isPlainRecord(one) && Array.isArray(one["absent"]) && Array.isArray(one["deleted"]));
}

/** The node of a component, by its name. */
export function componentNode(components: readonly Named[], name: string): Node | undefined {
  return entry({ is: "record", entries: components }, name);
}
