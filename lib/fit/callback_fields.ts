/**
 * The state of callbacks: their own fields, and those of the plain objects that were given as callbacks.
 *
 * Law *same bits*: absence is state too. A field that became undefined or was deleted is restored as such.
 *
 * @module
 */
import { withoutMaps } from "./plain_maps.ts";
import { assign } from "./refill.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { entry, isCase, join, type Named, type Node } from "../state/mod.ts";
import { argumentFieldsOf, type Callbacks, isCallback, type Trainer } from "../tfjs/mod.ts";

// --- types

/** The names of a callback's fields that have no value. */
export interface FieldsWithoutValue {
  /** Fields that are undefined. */
  readonly absent: readonly string[];
  /** Fields that were deleted since the training began. */
  readonly deleted: readonly string[];
}

/** The fields of all callbacks of a training. */
export interface CallbackFields {
  readonly values: readonly Readonly<Record<string, unknown>>[];
  readonly names: readonly FieldsWithoutValue[];
}

/** The callbacks of a training, and what tfjs sets on each. */
interface TrainingWithCallbacks {
  readonly callbacks: Callbacks;
  readonly model: object;
  readonly trainer: Trainer;
  readonly params: unknown;
}

// --- capture

/** The fields of callbacks, as they are now, without those that tfjs has set. */
export function fieldsOfCallbacks(
  { callbacks: { stateful, initialFields }, model, trainer, params }: TrainingWithCallbacks,
): CallbackFields {
  const converted = new Map<object, unknown>();
  const setOnEach = new Map<string, readonly unknown[]>([
    ["params", [params, undefined]],
    ["model", [trainer, null]],
    ["validationData", [null]],
  ]);
  const each = stateful.map((object, i) => {
    const initial = initialFields[i] ?? {};
    // tfjs's own classes keep their arguments in fields.
    const isSetByTfjs = (name: string, value: unknown): boolean =>
      argumentFieldsOf(object).includes(name)
        ? Object.is(initial[name], value)
        : isCallback(object) && setOnEach.get(name)?.includes(value) === true;
    const [values, absent]: [Record<string, unknown>, string[]] = [{}, []];
    for (const name of Reflect.ownKeys(object)) {
      const { value, writable = false } = Object.getOwnPropertyDescriptor(object, name) as PropertyDescriptor;
      if (typeof value === "function") continue;
      if (typeof name === "symbol") {
        throw new TypeError(
          `Cannot capture callbacks/${i}: expected fields whose names are strings, found ${String(name)}; ` +
            "give the field a string as its name. If it is not state, make it #private: those fields are not saved",
        );
      }
      if (!writable || isSetByTfjs(name, value)) continue;
      if (value === undefined) absent.push(name);
      // The inner model of a sequential one is not a component; the sequential one is.
      else values[name] = value === trainer ? model : withoutMaps(value, join(`callbacks/${i}`, name), converted);
    }
    const deleted = Object.keys(initial).filter((name) => !Object.hasOwn(object, name));
    return { values, names: { absent, deleted } };
  });
  return { values: each.map(({ values }) => values), names: each.map(({ names }) => names) };
}

/** The arguments that callbacks of tfjs's own classes were made with, except functions. */
export function configurationsOf({ stateful }: Callbacks): readonly (readonly unknown[])[] {
  return stateful.map((object) =>
    argumentFieldsOf(object).flatMap((name) => {
      const value = (object as Record<string, unknown>)[name];
      return typeof value === "function" || value == null ? [] : [[name, value]];
    })
  );
}

// --- restore

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

/** The names of the fields that a checkpoint has of a plain object, if this call has none in its place: no callbacks, or an empty object. */
export function fieldsOfNoCallback({ stateful }: Callbacks, saved: Node | undefined): readonly string[] {
  const isEmpty = (object: unknown): boolean => isPlainRecord(object) && Object.keys(object).length === 0;
  const nodes: readonly Node[] = Array.isArray(saved) ? saved : [];
  return nodes.flatMap((node, i) =>
    isEmpty(stateful[i]) && isCase(node, "record") ? node.entries.map(([name]) => name) : []
  );
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
