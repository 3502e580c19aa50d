/**
 * The body of a request as a stream of pieces.
 *
 * A runtime copies an array before it sends it, in one turn of the event loop; of a stream it takes one piece after another. It cannot send a stream a second
 * time by itself, so that one request is one request. A body in pieces also shows whether it moves.
 *
 * @module
 */

// --- types

/** The part of the options of `fetch` that is about the body. */
export interface FetchBody {
  readonly body: ReadableStream<Uint8Array<ArrayBuffer>> | Blob | Uint8Array<ArrayBuffer>;
  readonly duplex?: "half";
}

// --- constructors

/** Bytes of a piece. */
const pieceBytes = 256 * 1024;

/** Deno ignores the header `Content-Length` of a stream (denoland/deno issue 20274), and takes the length and the stream of a `Blob`. */
const isDeno = Reflect.has(globalThis, "Deno");

function streamOf(bytes: Uint8Array<ArrayBuffer>, onPiece: () => void): ReadableStream<Uint8Array<ArrayBuffer>> {
  let at = 0;
  return new ReadableStream({
    pull: (controller) => {
      onPiece();
      if (at < bytes.length) controller.enqueue(bytes.subarray(at, at += pieceBytes));
      if (at >= bytes.length) controller.close();
    },
  }, { highWaterMark: 0 });
}

/**
 * A body for `fetch`.
 *
 * @param bytes The bytes, at least one for a stream.
 * @param headers The headers, which get the length of a stream.
 * @param isStream Whether to send a stream; otherwise an array.
 * @param onPiece Is called before each piece of a stream.
 */
export function bodyOf(bytes: Uint8Array, headers: Headers, isStream: boolean, onPiece: () => void): FetchBody {
  const own = bytes as Uint8Array<ArrayBuffer>;
  if (!isStream) return { body: own };
  if (!isDeno) {
    headers.set("content-length", `${bytes.length}`);
    return { body: streamOf(own, onPiece), duplex: "half" };
  }
  const body = Object.defineProperties(new Blob(), {
    size: { value: bytes.length },
    stream: { value: () => streamOf(own, onPiece) },
  });
  return { body };
}
