/**
 * The server of the page.
 *
 * @module
 */
import { randomBytes, timingSafeEqual } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { jsonText } from "../format.ts";
import { answer } from "./answers.ts";
import type { Watch } from "./watch.ts";

export interface Served {
  readonly url: string;
  readonly close: () => Promise<void>;
}

const here = dirname(fileURLToPath(import.meta.url));
const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
};

const headers = {
  "Content-Security-Policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "X-Content-Type-Options": "nosniff",
  "Referrer-Policy": "no-referrer",
  "Cross-Origin-Resource-Policy": "same-origin",
  "Cache-Control": "no-store",
};

function fileOf(path: string): string | undefined {
  const uplot = (): string => join(dirname(createRequire(import.meta.url).resolve("uplot/package.json")), "dist");
  if (path === "") return join(here, "page", "index.html");
  if (path === "uplot.js") return join(uplot(), "uPlot.esm.js");
  if (path === "uplot.css") return join(uplot(), "uPlot.min.css");
  return /^page\/\w+\.(js|css)$/.test(path) ? join(here, path) : undefined;
}

async function respond(watch: Watch, token: string, port: number, request: IncomingMessage, response: ServerResponse) {
  const end = (status: number, type: string, body: string | Uint8Array): void => {
    response.writeHead(status, { ...headers, "Content-Type": type }).end(request.method === "HEAD" ? "" : body);
  };
  const failed = (status: number, tag: string, message: string): void =>
    end(status, "application/json; charset=utf-8", jsonText({ error: { tag, message } }));
  const { host } = request.headers;
  if (host !== `127.0.0.1:${port}` && host !== `localhost:${port}`) return failed(403, "Host", "unknown host");
  if (request.method !== "GET" && request.method !== "HEAD") return failed(405, "Method", "only GET");
  const url = new URL(request.url ?? "/", `http://127.0.0.1:${port}`);
  const [, given = "", ...rest] = url.pathname.split("/");
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  if (a.length !== b.length || !timingSafeEqual(a, b)) return failed(404, "NotFound", "not found");
  const path = rest.join("/");
  try {
    if (path.startsWith("api/")) {
      const found = await answer(watch, path.slice(4), url.searchParams);
      if (found !== undefined) return end(200, "application/json; charset=utf-8", jsonText(found));
    }
    const file = fileOf(path);
    if (file === undefined) return failed(404, "NotFound", "not found");
    return end(200, types[extname(file)]!, await readFile(file));
  } catch (thrown) {
    const error = thrown as Error;
    failed(400, (error.cause as { _tag?: string } | undefined)?._tag ?? "Failed", error.message);
  }
}

export async function serve(watch: Watch, port: number): Promise<Served> {
  const { createServer } = await import("node:http");
  const token = randomBytes(16).toString("hex");
  const server = createServer((request, response) => {
    void respond(watch, token, (server.address() as { port: number }).port, request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  const { port: own } = server.address() as { port: number };
  return {
    url: `http://127.0.0.1:${own}/${token}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
