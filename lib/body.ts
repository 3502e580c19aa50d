/**
 * Streams of bytes by line: responses of the network, pipes, decompressed files.
 *
 * @module
 */
import { checkFingerprint, type Loader, samplesOf } from "./pipeline.ts";
import { aFunction, demand, shown } from "./rules.ts";
import { iterableSource } from "./source.ts";

// --- types

/** What carries bytes: a `Response`, its body, or any stream of byte arrays. */
export type Body =
  | { readonly ok: boolean; readonly status: number; readonly body: object | null }
  | AsyncIterable<Uint8Array>
  | object;

// --- constructors

/**
 * A loader of the lines of a stream of bytes that is opened anew for each epoch.
 *
 * A stream, as `fromIterable` is: a resume reads it from its start and computes nothing of what it skips. How the bytes are
 * cut into chunks makes no difference. The body is cancelled when the iteration is left.
 *
 * @param open Gives a `Response`, a `ReadableStream` or an async iterable of bytes in UTF-8 for the epoch with this number, or a
 * promise of one. A response that is not ok rejects the iteration.
 * @param options `fingerprint`: anything that names this data and no other, such as an entity tag.
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
  checkFingerprint("Loader.fromBody", options);
  return samplesOf(
    iterableSource(async (epoch) => linesIn(await bytesOf(await open(epoch))), options.fingerprint, "body"),
  );
}

// --- combinators

async function bytesOf(body: unknown): Promise<AsyncIterable<Uint8Array>> {
  if (typeof body === "object" && body !== null) {
    if ("ok" in body && "body" in body) {
      if (body.ok !== true) {
        // With it goes its connection; one that is locked belongs to somebody else.
        if (body.body instanceof ReadableStream && !body.body.locked) await body.body.cancel();
        throw new Error(`Expected a response with a body, found status ${shown(Object(body).status)}`);
      }
      return body.body === null ? nothing() : bytesOf(body.body);
    }
    if (Symbol.asyncIterator in body) return body as AsyncIterable<Uint8Array>;
  }
  throw new TypeError(`Expected a Response, a ReadableStream or an async iterable of bytes, found ${shown(body)}`);
}

async function* nothing(): AsyncGenerator<Uint8Array, void> {}

async function* linesIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of chunks) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest.endsWith("\r") ? rest.slice(0, -1) : rest;
}
