/**
 * A proxy in front of an object store that loses requests and answers, cuts bodies, refuses, and stalls.
 *
 * It passes bytes on and reads of HTTP only where a request begins and how long it is. Connections are kept alive, because Bun and Deno send a
 * request again by themselves when one that was used before breaks. The faults are drawn from a seed, in the order in which requests arrive.
 *
 * @module
 */
import { Buffer } from "node:buffer";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

// --- types

/** What can happen to a request. */
export type Fault =
  /** The connection breaks before the server has the request. */
  | "lost before"
  /** The server carries it out, and the connection breaks before the answer. */
  | "lost after"
  /** The connection breaks in the middle of the request. */
  | "request cut"
  /** The connection breaks in the middle of the answer. */
  | "answer cut"
  /** The server carries it out and answers 500. */
  | "failed after"
  /** 503. */
  | "busy"
  /** 409, as Amazon answers when another request writes the object. */
  | "conflict"
  /** The answer stops in its middle, and the connection stays open. */
  | "stalled";

/** A proxy that runs. */
export interface ChaosProxy {
  readonly endpoint: string;
  /** How often each fault happened, and how many requests passed unharmed. */
  readonly counts: ReadonlyMap<Fault | "passed", number>;
  readonly stop: () => Promise<void>;
}

/** The part of requests that each fault meets. */
export type Chances = Readonly<Partial<Record<Fault, number>>>;

// --- constructors

/** Three of ten answers are lost, one way or another. */
export const usualChances: Chances = {
  "lost before": 0.08,
  "lost after": 0.12,
  "request cut": 0.03,
  "answer cut": 0.03,
  "failed after": 0.02,
  busy: 0.02,
  conflict: 0.02,
  stalled: 0.003,
};

/** The generator mulberry32: numbers in [0, 1). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function refusal(status: string, code: string): string {
  const body = `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${status}</Message></Error>`;
  return `HTTP/1.1 ${status}\r\ncontent-type: application/xml\r\ncontent-length: ${body.length}\r\nconnection: close\r\n\r\n${body}`;
}

const refusals: Readonly<Partial<Record<Fault, string>>> = {
  busy: refusal("503 Slow Down", "SlowDown"),
  conflict: refusal("409 Conflict", "ConditionalRequestConflict"),
  "failed after": refusal("500 Internal Server Error", "InternalError"),
};

const headEnd = "\r\n\r\n";

function headerOf(head: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(.*?)\\s*$`, "im").exec(head)?.[1];
}

/** The bytes of a message whose head is whole, or undefined if they are not known yet: a body in chunks ends with an empty one. */
function lengthOf(message: Buffer): number | undefined {
  const end = message.indexOf(headEnd);
  if (end === -1) return undefined;
  const head = message.subarray(0, end).toString("latin1");
  if (headerOf(head, "transfer-encoding") === undefined) {
    return end + headEnd.length + Number(headerOf(head, "content-length") ?? 0);
  }
  const last = message.indexOf("0\r\n\r\n", end + headEnd.length - 2);
  return last === -1 ? undefined : last + 5;
}

// --- one connection

/** Passes the requests of one connection on. */
function serve(
  client: Socket,
  upstream: Socket,
  draw: (head: string) => Fault | undefined,
  random: () => number,
): void {
  let received = Buffer.alloc(0);
  let fault: Fault | undefined;
  /** Bytes of the answer that still pass; infinitely many without a fault. */
  let passing = Infinity;
  let isAnswering = false;
  const end = (): void => {
    client.destroy();
    upstream.destroy();
  };
  const refuse = (text: string): void => {
    upstream.destroy();
    client.end(text);
  };

  /** Handles the requests that have arrived as a whole. */
  const take = (): void => {
    for (
      let length = lengthOf(received);
      length !== undefined && received.length >= length;
      length = lengthOf(received)
    ) {
      const request = received.subarray(0, length);
      received = received.subarray(length);
      fault = draw(request.subarray(0, request.indexOf(headEnd)).toString("latin1"));
      isAnswering = false;
      passing = Infinity;
      if (fault === "lost before") return end();
      if (fault === "request cut") {
        upstream.write(request.subarray(0, Math.floor(random() * length)), () => end());
        return;
      }
      if (fault === "busy" || fault === "conflict") return refuse(refusals[fault]!);
      upstream.write(request);
    }
  };

  client.on("data", (data) => {
    received = Buffer.concat([received, data as Buffer]);
    take();
  });
  upstream.on("data", (data) => {
    const bytes = data as Buffer;
    if (!isAnswering) {
      isAnswering = true;
      if (fault === "lost after") return end();
      if (fault === "failed after") return refuse(refusals[fault]!);
      if (fault === "answer cut" || fault === "stalled") {
        passing = Math.floor(random() * (lengthOf(bytes) ?? bytes.length));
      }
    }
    if (bytes.length <= passing) {
      passing -= bytes.length;
      client.write(bytes);
    } else {
      client.write(bytes.subarray(0, passing), () => fault === "stalled" || end());
      passing = 0;
    }
  });
  for (const socket of [client, upstream]) {
    socket.on("error", end);
    socket.on("close", end);
  }
}

// --- combinators

/**
 * Starts a proxy.
 *
 * @param endpoint The server behind it.
 * @param seed The seed of the faults.
 * @param chances The part of requests that each fault meets.
 */
export async function chaosProxy(endpoint: string, seed: number, chances: Chances = usualChances): Promise<ChaosProxy> {
  const { hostname, port } = new URL(endpoint);
  const random = randomFrom(seed);
  const counts = new Map<Fault | "passed", number>();
  const open = new Set<Socket>();

  const draw = (head: string): Fault | undefined => {
    let rest = random();
    const drawn = (Object.entries(chances) as [Fault, number][]).find(([, chance]) => (rest -= chance) < 0)?.[0];
    const fault = drawn === "conflict" && headerOf(head, "if-none-match") === undefined ? undefined : drawn;
    const name = fault ?? "passed";
    counts.set(name, (counts.get(name) ?? 0) + 1);
    return fault;
  };

  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const socket of [client, upstream]) {
      socket.setNoDelay(true);
      open.add(socket);
      socket.once("close", () => open.delete(socket));
    }
    serve(client, upstream, draw, random);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    counts,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        for (const socket of open) socket.destroy();
      }),
  };
}
