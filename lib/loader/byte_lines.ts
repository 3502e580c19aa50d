/**
 * The lines of a stream of bytes, which is decompressed where it is gzip.
 *
 * Decompression is that of `node:zlib`, which is the same in every runtime: it reads several members, and checks their checksums. Deno's
 * `DecompressionStream` reads one.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { createGunzip } from "node:zlib";

// --- constructors

/** A decompressor: each call gives the bytes that it has so far. */
function gunzipper() {
  const engine = createGunzip();
  const pieces: Uint8Array[] = [];
  /** The compressed bytes written before this step. */
  let before = 0;
  let fail: (reason: Error) => void = () => {};
  engine.on("data", (piece: Uint8Array) => pieces.push(piece));
  engine.on("error", (reason) => fail(reason));
  const step = (size: number, run: (done: (reason?: Error | null) => void) => void): Promise<readonly Uint8Array[]> =>
    new Promise((resolve, reject) => {
      fail = ({ message }) => {
        const place = size === 0 ? `after byte ${before}` : `between bytes ${before} and ${before + size}`;
        reject(new Error(`${message} in gzip data, ${place}`));
      };
      run((reason) => {
        if (reason instanceof Error) return fail(reason);
        before += size;
        resolve(pieces.splice(0));
      });
    });
  return {
    write: (bytes: Uint8Array) => step(bytes.length, (done) => engine.write(bytes, done)),
    end: () => step(0, (done) => engine.once("end", done).end()),
    close: () => engine.destroy(),
  };
}

// --- combinators

/** Whether bytes begin as gzip does. No text in UTF-8 begins so. */
function isGzip(bytes: Uint8Array): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

async function* decompressed(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  /** The bytes before there are two. */
  let head: Uint8Array = new Uint8Array(0);
  let gunzip: ReturnType<typeof gunzipper> | null | undefined;
  try {
    for await (const chunk of chunks) {
      const bytes = gunzip === undefined ? Buffer.concat([head, chunk]) : chunk;
      if (gunzip === undefined) {
        head = bytes;
        if (bytes.length < 2) continue;
        gunzip = isGzip(bytes) ? gunzipper() : null;
      }
      if (gunzip === null) yield bytes;
      else yield* await gunzip.write(bytes);
    }
    if (gunzip === undefined) yield head;
    else if (gunzip !== null) yield* await gunzip.end();
  } finally {
    gunzip?.close();
  }
}

/** The lines of text in UTF-8, without their ends, from bytes or gzip. */
export async function* linesIn(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<string, void> {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let rest = "";
  for await (const chunk of decompressed(chunks)) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    for (const line of lines) yield withoutReturn(line);
  }
  rest += decoder.decode();
  if (rest !== "") yield withoutReturn(rest);
}

/** A line without the `\r` of a line end `\r\n`. */
function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
