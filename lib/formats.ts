/**
 * The formats of a manifest: the envelope that all of them have, and the way from an older one to the newest.
 *
 * The envelope names the format and has a CRC-32 of the body behind it, so that every version can tell a manifest that is damaged from one
 * that is of a later format. There is one decoder, that of the newest format; the body of an older one goes through a step to each next
 * format before it.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { Either } from "fp-ts/lib/Either.js";
import { Buffer } from "node:buffer";
import { crc32 } from "node:zlib";
import type { Problem } from "./errors.ts";
import { isPlainRecord } from "./rules.ts";

// --- types

/**
 * Makes the body of a manifest one of the next format. It is pure, and throws a {@link Problem} where it finds what no manifest of its
 * format has; values that it leaves alone are checked after all steps.
 */
export type Step = (body: unknown) => unknown;

/** Why a manifest is not one: it is of a later format, or it is not well-formed. */
export type ManifestError = { readonly newer: string } | { readonly problems: readonly Problem[] };

// --- constructors

/** The step from each older format to the next, that from `dogear/1` first. */
export const steps: readonly Step[] = [];

/** The name of the format that so many steps lead to. */
export function formatAfter(steps: readonly Step[]): string {
  return `dogear/${steps.length + 1}`;
}

function problem(expected: string, found: string, kind: "format" | "digest" = "format"): ManifestError {
  return { problems: [{ path: "snapshot.json", kind, expected, found }] };
}

function digestOf(body: Uint8Array): string {
  return crc32(body).toString(16).padStart(8, "0");
}

/** The deepest nesting of brackets in a body: a tree of 3,000 nodes, each in at most four of them. */
const deepest = 12_100;

/** Whether JSON is nested deeper than a body may be; looked at first, as engines parse and walk it by recursion. */
function isTooDeep(text: string): boolean {
  let [depth, inString] = [0, false];
  for (let at = 0; at < text.length; at++) {
    const unit = text.charCodeAt(at);
    if (inString) {
      if (unit === 0x5c) at++;
      else if (unit === 0x22) inString = false;
    } else if (unit === 0x22) inString = true;
    else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > deepest) return true;
    } else if (unit === 0x5d || unit === 0x7d) depth--;
  }
  return false;
}

// --- capture and restore

/**
 * The bytes of a manifest.
 *
 * @param format Its format.
 * @param body Its body, as JSON.
 */
export function seal(format: string, body: string): Uint8Array {
  const bytes = Buffer.from(body);
  const head = `{"format":"${format}","crc32":"${digestOf(bytes)}","manifest":`;
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from("}\n")]);
}

/**
 * The body of a manifest, as one of the newest format.
 *
 * @param bytes What {@link seal} gave.
 * @param steps The way from each format to the next; the newest is the one that they lead to.
 * @param part What of the text of a body of the newest format is wanted; all of it by default.
 * @returns The body, of which nothing but its digest is checked; or that the manifest is of a later format, or what is wrong with it.
 */
export function unseal(
  bytes: Uint8Array,
  steps: readonly Step[],
  part: (body: string) => string = (body) => body,
): Either<ManifestError, unknown> {
  const newest = formatAfter(steps);
  const text = E.tryCatch(
    () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    () => problem("UTF-8", "other bytes"),
  );
  if (E.isLeft(text)) return text;
  // A later format may be of any form behind its name.
  const version = /^\{"format":"dogear\/([1-9]\d*)"/.exec(text.right)?.[1];
  if (version !== undefined && Number(version) > steps.length + 1) return E.left({ newer: `dogear/${version}` });
  const head = /^\{"format":"dogear\/[1-9]\d*","crc32":"([0-9a-f]{8})","manifest":/.exec(text.right);
  if (head === null || !text.right.endsWith("}\n")) {
    return E.left(problem(`a manifest of format ${newest}`, `${text.right.length} characters of another form`));
  }
  const body = text.right.slice(head[0].length, -2);
  const digest = digestOf(Buffer.from(body));
  if (digest !== head[1]) return E.left(problem(`CRC-32 ${head[1]}`, digest, "digest"));
  try {
    const way = steps.slice(Number(version) - 1);
    const wanted = way.length === 0 ? part(body) : body;
    if (isTooDeep(wanted)) return E.left(problem(`values nested at most ${deepest} deep`, "deeper ones"));
    const json: unknown = JSON.parse(wanted);
    return E.right(way.reduce((body, step) => step(body), json));
  } catch (cause) {
    if (isPlainRecord(cause)) return E.left({ problems: [cause as unknown as Problem] });
    return E.left(
      problem(`a body of format dogear/${version}`, cause instanceof Error ? cause.message : String(cause)),
    );
  }
}
