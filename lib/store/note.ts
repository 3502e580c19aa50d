/**
 * Notes: a few words or hyperparameters on a checkpoint.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { isPlainRecord, must, type Plain } from "../validation/mod.ts";

// --- types

/**
 * A few words on a checkpoint, or a flat record of plain values such as hyperparameters: `"lr 1e-3, seed 7"` or `{ lr: 1e-3, seed: 7 }`. It has
 * at most 4096 bytes as JSON. It is no state: no id covers it, and no restore reads it.
 */
export type Note = string | { readonly [name: string]: string | number | boolean | null };

const mostBytes = 4096;

// --- constructors

function isValue(u: unknown): boolean {
  return u === null || typeof u === "string" || typeof u === "number" || typeof u === "boolean";
}

function isNote(u: unknown): boolean {
  const isPlain = typeof u === "string" ||
    (isPlainRecord(u) && Reflect.ownKeys(u).every((name) => typeof name === "string" && isValue(u[name])));
  // The cheap bound first: a text of gigabytes is no note, and takes long to encode.
  return isPlain && (typeof u !== "string" || u.length <= mostBytes) &&
    Buffer.byteLength(JSON.stringify(u)) <= mostBytes;
}

/** What a {@link Note} is. */
export const aNote: Plain<unknown> = must(
  `a text, or a flat record of texts, numbers, booleans and nulls, of at most ${mostBytes} bytes as JSON`,
  isNote,
);

/** A copy of a note, which does not change if the caller's record does. */
export function copyOfNote(note: Note): Note {
  return typeof note === "string" ? note : Object.freeze({ ...note });
}
