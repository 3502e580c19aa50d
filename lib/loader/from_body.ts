/**
 * Loaders of the lines of byte streams: responses of the network, pipes, gzip.
 *
 * @module
 */
import { type Loader, loaderOf } from "./types.ts";
import { linesIn } from "./byte_lines.ts";
import { givenFingerprint } from "./fingerprint.ts";
import { aFunction, demand, shown } from "../validation/mod.ts";
import { iterableSource } from "./source.ts";

// --- types

/** A source of bytes: a `Response`, its body, or any async iterable of byte arrays. */
export type Body =
  | { readonly ok: boolean; readonly status: number; readonly body: object | null }
  | AsyncIterable<Uint8Array>
  | object;

// --- constructors

/**
 * A loader of the lines of a byte stream that is opened again for each epoch.
 *
 * It is a stream, as with `fromIterable`: a resume reads it from its start and computes nothing of what it skips. The lines do not depend on
 * how the bytes are cut into chunks. The body is cancelled when the iteration ends early. Bytes that are gzip are decompressed, all members
 * of them; cut or damaged ones reject the iteration with their position.
 *
 * @param open Returns a `Response`, a `ReadableStream` or an async iterable of bytes for the epoch with this number, or a promise of one. The
 * bytes are text in UTF-8, or gzip of it. A response that is not ok rejects the iteration.
 * @param options `fingerprint`: a string that identifies this data, such as an entity tag; none by default.
 * @returns The loader; a `TypeError` if `open` is no function.
 *
 * @example
 * ```ts
 * import { Loader } from "@dogear/dogear";
 * import assert from "node:assert/strict";
 *
 * const lines = Loader.fromBody(() => new Response(`{"x":1}\n{"x":2}\n`), { fingerprint: "v1" });
 * assert.equal(await Loader.at(1)(lines), `{"x":2}`);
 * ```
 */
export function fromBody(
  open: (epoch: number) => Body | Promise<Body>,
  options: { readonly fingerprint?: string } = {},
): Loader<string> {
  demand("the source of Loader.fromBody", aFunction, open);
  const fingerprint = givenFingerprint("Loader.fromBody", options, "body");
  return loaderOf(iterableSource(async (epoch) => linesIn(await byteStream(await open(epoch))), fingerprint));
}

// --- combinators

async function byteStream(body: unknown): Promise<AsyncIterable<Uint8Array>> {
  if (typeof body === "object" && body !== null) {
    if ("ok" in body && "body" in body) {
      if (body.ok !== true) {
        // Cancelling the body frees its connection. A locked body has another reader, which must do it.
        if (body.body instanceof ReadableStream && !body.body.locked) await body.body.cancel();
        throw new Error(`Expected a response with a body, found status ${shown(Object(body).status)}`);
      }
      return body.body === null ? noBytes() : byteStream(body.body);
    }
    if (Symbol.asyncIterator in body) return body as AsyncIterable<Uint8Array>;
  }
  throw new TypeError(`Expected a Response, a ReadableStream or an async iterable of bytes, found ${shown(body)}`);
}

async function* noBytes(): AsyncGenerator<Uint8Array, void> {}
