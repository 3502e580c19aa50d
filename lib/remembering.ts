/**
 * What callbacks remember between their calls: their own fields, and those of the plain objects that they were given as.
 *
 * Law *same bits*: absence is state too. A field that became undefined, or was deleted, is so again after a restore.
 *
 * @module
 */
import { aligned, assign, withoutMaps } from "./refilling.ts";
import { isPlainRecord } from "./rules.ts";
import { entry, join, type Named, type Node } from "./state_tree.ts";
import { argumentFieldsOf, type Callbacks, isCallback, type Trainer } from "./tfjs/training.ts";

// --- types

/** The names of fields that have no value. */
export interface Valueless {
  /** They are undefined. */
  readonly absent: readonly string[];
  /** They were deleted since the object was made. */
  readonly deleted: readonly string[];
}

/** What all callbacks of a training remember. */
export interface Memories {
  readonly values: readonly Readonly<Record<string, unknown>>[];
  readonly names: readonly Valueless[];
}

type Fields = Record<string, unknown>;

// --- capture

/** Whether a field is what tfjs gives every callback, or as a class of tfjs's own was made with. */
function isGiven(
  object: object,
  name: string,
  value: unknown,
  made: Fields,
  params: unknown,
  trainer: Trainer,
): boolean {
  if (argumentFieldsOf(object).includes(name)) return Object.is(made[name], value);
  if (!isCallback(object)) return false;
  if (name === "params") return value === params || value === undefined;
  if (name === "model") return value === trainer || value === null;
  return name === "validationData" && value === null;
}

/** What callbacks remember now. */
export function memoriesOf(
  { stateful, initialFields }: Callbacks,
  params: unknown,
  trainer: Trainer,
  model: object,
): Memories {
  const converted = new Map<object, unknown>();
  const each = stateful.map((object, i) => {
    const [values, absent, fresh]: [Fields, string[], Fields] = [{}, [], initialFields[i] ?? {}];
    for (const name of Reflect.ownKeys(object)) {
      const { value, writable = false } = Object.getOwnPropertyDescriptor(object, name) as PropertyDescriptor;
      if (typeof value === "function") continue;
      if (typeof name === "symbol") {
        throw new TypeError(
          `Cannot capture callbacks/${i}: expected fields whose names are strings, found ${String(name)}; ` +
            "give the field a string as its name, or make it #private if it is not state",
        );
      }
      if (!writable || isGiven(object, name, value, fresh, params, trainer)) continue;
      if (value === undefined) absent.push(name);
      // A model that only trains inside of a sequential one is no component by itself.
      else values[name] = value === trainer ? model : withoutMaps(value, join(`callbacks/${i}`, name), converted);
    }
    const deleted = Object.keys(fresh).filter((name) => !Object.hasOwn(object, name));
    return { values, names: { absent, deleted } };
  });
  return { values: each.map(({ values }) => values), names: each.map(({ names }) => names) };
}

/** How callbacks of tfjs's own classes were made, but for functions. */
export function configurationsOf({ stateful }: Callbacks): readonly (readonly unknown[])[] {
  return stateful.map((object) =>
    argumentFieldsOf(object).flatMap((name) => {
      const value = (object as Fields)[name];
      return typeof value === "function" || value == null ? [] : [[name, value]];
    })
  );
}

// --- restore

/** What callbacks remember now, in the form of what was saved: to be restored over. */
export function alignedMemories(
  memories: readonly Fields[],
  saved: Node | undefined,
  shared: (path: string) => unknown,
): unknown {
  if (!Array.isArray(saved)) return memories;
  return saved.map((node: Node, i) => aligned(memories[i] ?? {}, node, "free", shared));
}

/**
 * Puts what was saved back into callbacks.
 *
 * @param callbacks The live ones.
 * @param values What was restored of each.
 * @param names Of the fields without one, or undefined in a checkpoint of version 0.1.0, which does not say.
 * @param refill Puts a value into the live object that is to hold it.
 */
export function recall(
  { stateful }: Callbacks,
  values: readonly Readonly<Fields>[],
  names: readonly Valueless[] | undefined,
  refill: (live: unknown, restored: unknown) => unknown,
): void {
  stateful.forEach((object, i) => {
    const fields = object as unknown as Fields;
    for (const [name, value] of Object.entries(values[i] ?? {})) assign(object, name, refill(fields[name], value));
    for (const name of names?.[i]?.absent ?? []) assign(object, name, undefined);
    for (const name of names?.[i]?.deleted ?? []) Reflect.deleteProperty(object, name);
  });
}

/** Whether decoded data lists what no value is saved of. */
export function areNames(value: unknown): value is readonly Valueless[] {
  return Array.isArray(value) &&
    value.every((one) => isPlainRecord(one) && Array.isArray(one["absent"]) && Array.isArray(one["deleted"]));
}

/** A component of a snapshot, not restored. */
export function nodeOf(components: readonly Named[], name: string): Node | undefined {
  return entry({ is: "record", entries: components }, name);
}
