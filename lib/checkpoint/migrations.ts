/**
 * The envelope of a manifest, which all formats share, and the migrations from older formats to the newest.
 *
 * The envelope names the format and has a CRC-32 of the body. So every version can tell a damaged manifest from one of a later format.
 * Only the newest format has a decoder: the body of an older one goes through the migration to each next format first.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { Buffer } from "node:buffer";
import { type Problem, toError } from "../errors/mod.ts";
import { isPlainRecord } from "../validation/mod.ts";
import { zlib } from "../zlib.ts";

// --- types

/**
 * Makes the body of a manifest into one of the next format. It is pure. It throws a {@link Problem} for what no manifest of its format has; what it
 * leaves as it is, the decoder checks after all migrations.
 */
export type Migration = (body: unknown) => unknown;

/** Why bytes could not be decoded as a manifest: they are of a later format, or not well-formed. */
export type ManifestError = { readonly newer: string } | { readonly problems: readonly Problem[] };

// --- constructors

/** The migration from each older format to the next, that from `dogear/1` first. */
export const migrations: readonly Migration[] = [];

/** The name of the format that these migrations lead to. */
export function formatAfter(steps: readonly Migration[]): string {
  return `dogear/${steps.length + 1}`;
}

/** The error of a manifest as a whole. */
export function manifestProblem(expected: string, found: string, kind: "format" | "digest" = "format"): ManifestError {
  return { problems: [{ path: "snapshot.json", kind, expected, found }] };
}

/** The result of a function; or the {@link Problem} that it threw; or, for any other exception, that `expected` was not found. */
export function catching<A>(expected: string, read: () => A): E.Either<ManifestError, A> {
  return E.tryCatch(
    read,
    (cause) =>
      isPlainRecord(cause)
        ? { problems: [cause as unknown as Problem] }
        : manifestProblem(expected, toError(cause).message),
  );
}

function crc32Of(body: Uint8Array): string {
  return zlib().crc32(body).toString(16).padStart(8, "0");
}

/** The deepest nesting of brackets in a body: a tree of 3,000 nodes, each in at most four brackets. */
const deepest = 12_100;

/** Whether JSON is nested deeper than a body may be. This is checked before parsing, because engines parse by recursion. */
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
 * Puts a body into the envelope.
 *
 * @param format The format of the body.
 * @param body The body, as JSON.
 * @returns The bytes of the manifest.
 */
export function seal(format: string, body: string): Uint8Array {
  const bytes = Buffer.from(body);
  const head = `{"format":"${format}","crc32":"${crc32Of(bytes)}","manifest":`;
  return Buffer.concat([Buffer.from(head), bytes, Buffer.from("}\n")]);
}

/**
 * Takes the body out of the envelope and migrates it to the newest format.
 *
 * @param bytes What {@link seal} gave.
 * @param steps The migration from each format to the next.
 * @param part Selects the part to parse from the text of a body of the newest format; all of it by default.
 * @returns The body, of which only the digest is checked; that the manifest is of a later format; or its problem.
 */
export function unseal(
  bytes: Uint8Array,
  steps: readonly Migration[],
  part: (body: string) => string = (body) => body,
): E.Either<ManifestError, unknown> {
  const newest = formatAfter(steps);
  const text = E.tryCatch(
    () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes),
    () => manifestProblem("UTF-8", "other bytes"),
  );
  if (E.isLeft(text)) return text;
  // Only the name of a later format is known.
  const version = /^\{"format":"dogear\/([1-9]\d*)"/.exec(text.right)?.[1];
  if (version !== undefined && Number(version) > steps.length + 1) return E.left({ newer: `dogear/${version}` });
  const head = /^\{"format":"dogear\/[1-9]\d*","crc32":"([0-9a-f]{8})","manifest":/.exec(text.right);
  if (head === null || !text.right.endsWith("}\n")) {
    const other = /^\{"format":"([\w./-]{1,40})"/.exec(text.right)?.[1];
    const found = other === undefined || version !== undefined
      ? `${text.right.length} characters of something else`
      : `format ${other}`;
    return E.left(manifestProblem(`a manifest of format ${newest}`, found));
  }
  // The head is ASCII, so that its characters are bytes.
  const digest = crc32Of(bytes.subarray(head[0].length, -2));
  if (digest !== head[1]) return E.left(manifestProblem(`CRC-32 ${head[1]}`, digest, "digest"));
  const body = text.right.slice(head[0].length, -2);
  const pending = steps.slice(Number(version) - 1);
  const wanted = pending.length === 0 ? part(body) : body;
  if (isTooDeep(wanted)) return E.left(manifestProblem(`values nested at most ${deepest} deep`, "deeper ones"));
  return catching(
    `a body of format dogear/${version}`,
    () => pending.reduce((body, migrate) => migrate(body), JSON.parse(wanted) as unknown),
  );
}
