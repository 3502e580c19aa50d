/**
 * The server of the page, for browsers on this machine.
 *
 * Only this machine can connect, and only requests with the token are answered. The `Host` header is checked against DNS rebinding. Requests only read. Everything that is served is one of the page's own files or JSON.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { Buffer } from "node:buffer";
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { type CommandTask, usageError } from "../arguments.ts";
import { jsonText } from "../format.ts";
import { answer, type AnswerError, turns } from "./answers.ts";
import { type Assets, readAsset } from "./assets.ts";
import type { Watched } from "./watch.ts";

// --- types

/** A server that runs. */
export interface Served {
  /** The address of the page, with its token. */
  readonly url: string;
  readonly close: () => Promise<void>;
}

/** What a request is answered from. */
interface Site {
  readonly watched: Watched;
  readonly assets: Assets;
  readonly token: string;
  readonly turns: ReturnType<typeof turns>;
}

interface Reply {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

// --- constructors

const policy = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self' data:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join("; ");

const headers: Readonly<Record<string, string>> = {
  "Content-Security-Policy": policy,
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};

const jsonType = "application/json; charset=utf-8";

function json(status: number, value: unknown): Reply {
  return { status, type: jsonType, body: jsonText(value) };
}

function refusal({ status, tag, message }: AnswerError): Reply {
  return json(status, { error: { tag, message } });
}

const notFound: Reply = refusal({ status: 404, tag: "NotFound", message: "There is nothing here" });

// --- answering

/** Compares in a time that does not tell how much is right. */
function isToken(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function replyTo(
  { method, url = "", headers: { host } }: IncomingMessage,
  site: Site,
  signal: AbortSignal,
) {
  // The port may be that of a tunnel. A page of another site comes with its own name.
  if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/i.test(host ?? "")) {
    return refusal({ status: 403, tag: "Host", message: "The host of the request is not this machine" });
  }
  if (method !== "GET" && method !== "HEAD") {
    return refusal({ status: 405, tag: "Method", message: "Only GET is answered" });
  }
  // Paths are compared, and never decoded or resolved.
  const [, given = "", path, query = ""] = /^\/([^/?#]*)\/([^?#]*)(?:\?(.*))?$/s.exec(url) ?? [];
  if (!isToken(given, site.token) || path === undefined) return notFound;
  const asset = site.assets.get(path);
  if (asset !== undefined) return { status: 200, type: asset.type, body: await readAsset(asset) };
  if (!path.startsWith("api/")) return notFound;
  const found = await answer(site.watched, site.turns, path.slice("api/".length), query, signal);
  return E.isRight(found) ? json(200, found.right) : refusal(found.left);
}

async function respond(request: IncomingMessage, response: ServerResponse, site: Site): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort(new Error("The client has gone")));
  const reply = await replyTo(request, site, gone.signal).catch((thrown: unknown): Reply =>
    refusal({ status: 500, tag: "Failed", message: thrown instanceof Error ? thrown.message : String(thrown) })
  );
  if (response.destroyed) return;
  const body = Buffer.from(reply.body);
  response.writeHead(reply.status, { ...headers, "Content-Type": reply.type, "Content-Length": body.length });
  response.end(request.method === "HEAD" ? undefined : body);
}

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", () => resolve((server.address() as AddressInfo).port));
  });
}

/**
 * Starts the server.
 *
 * @param watched The runs.
 * @param assets The files of the page.
 * @param port The port, 0 for any that is free.
 */
export function serve(watched: Watched, assets: Assets, port: number): CommandTask<Served> {
  return async () => {
    // Other commands need no server.
    const { createServer } = await import("node:http");
    const site: Site = { watched, assets, token: randomBytes(16).toString("hex"), turns: turns() };
    let own = port;
    const server = createServer((request, response) => void respond(request, response, site));
    try {
      own = await listen(server, port);
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException;
      const why = code === "EADDRINUSE" ? "it is in use: choose another, or none for any that is free" : message;
      return E.left(usageError(`Expected to listen on port ${port}, found that ${why}`));
    }
    const close = (): Promise<void> =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      });
    return E.right({ url: `http://127.0.0.1:${own}/${site.token}/`, close });
  };
}
