/**
 * The lines of a stream of bytes, which is decompressed where it is gzip.
 *
 * Decompression is that of `node:zlib`, which is the same in every runtime: it reads several members, and checks their checksums. Deno's
 * `DecompressionStream` reads one.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { zlib } from "../zlib.ts";

// --- constructors

/** A decompressor: each call gives the bytes that it has so far, or rejects with what is wrong and where. */
function gunzipper() {
  const engine = zlib().createGunzip();
  const pieces: Uint8Array[] = [];
  let [written, closed]: [number, boolean] = [0, false];
  let failure: string | undefined;
  let settle: () => void = () => {};
  engine.on("data", (piece: Uint8Array) => pieces.push(piece));
  engine.on("error", ({ message }) => {
    failure ??= message;
    settle();
  });
  engine.on("end", () => {
    // The engine ends by itself at bytes that begin no member, and takes no more.
    if (!closed) failure ??= "bytes after the end";
    settle();
  });
  const step = (run: () => void): Promise<readonly Uint8Array[]> =>
    new Promise((resolve, reject) => {
      // An error may come after the call that led to it.
      settle = () => {
        if (failure === undefined) resolve(pieces.splice(0));
        else reject(new Error(`${failure} in gzip data, up to byte ${written}`));
      };
      if (failure === undefined) run();
      else settle();
    });
  return {
    write: (bytes: Uint8Array) =>
      step(() => {
        written += bytes.length;
        engine.write(bytes, () => settle());
      }),
    end: () =>
      step(() => {
        closed = true;
        engine.end();
      }),
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
  let parts: string[] = [];
  for await (const chunk of decompressed(chunks)) {
    const text = decoder.decode(chunk, { stream: true });
    parts.push(text);
    if (!text.includes("\n")) continue;
    const lines = parts.join("").split("\n");
    parts = [lines.pop()!];
    for (const line of lines) yield withoutReturn(line);
  }
  const rest = parts.join("") + decoder.decode();
  if (rest !== "") yield withoutReturn(rest);
}

/** A line without the `\r` of a line end `\r\n`. */
function withoutReturn(line: string): string {
  return line.endsWith("\r") ? line.slice(0, -1) : line;
}
