/**
 * Tests of the page of `dogear serve` in a real browser.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { rebound, sharedBrowser, testInBrowser } from "../support/browser.ts";
import { digitsRun, type PageServer, startPageServer } from "../support/page_runs.ts";

const scratch = mkdtempSync(join(tmpdir(), "dogear-page-"));
const withPage = sharedBrowser();
const servers: Promise<PageServer>[] = [];
after(async () => {
  for (const server of servers) await (await server).stop();
  rmSync(scratch, { recursive: true, force: true });
});

/** The address of a server for a run, started when it is first asked for. */
function served(name: string, make: (folder: string) => void | Promise<void>): () => Promise<string> {
  let server: Promise<PageServer> | undefined;
  const folder = join(scratch, name);
  const begin = async (): Promise<PageServer> => {
    await make(folder);
    return await startPageServer(folder);
  };
  return async () => {
    if (server === undefined) servers.push(server = begin());
    return (await server).url;
  };
}

const digits = served("digits", (folder) => digitsRun(folder, { args: ["--dense", "--digits", "320"], fork: 2 }));

// --- refusals

testInBrowser("serve: another token, path, method or host is refused, and another page learns nothing", async () => {
  const url = await digits();
  const { origin, port, pathname } = new URL(url);
  // What another page on this machine may do.
  const other = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end("other"));
  await new Promise<void>((done) => other.listen(0, "127.0.0.1", done));
  const otherUrl = `http://127.0.0.1:${(other.address() as AddressInfo).port}/`;
  try {
    await withPage({ server: origin, expected: /^console: Failed to load resource/ }, async (page) => {
      await page.goto(url);
      const status = (path: string, method = "GET"): Promise<unknown> =>
        page.evaluate(`fetch(${JSON.stringify(path)}, { method: "${method}" }).then(({ status }) => status)`);
      assert.equal(await status(`${url}api/runs`), 200);
      const token = pathname.slice(1, -1);
      const wrong = [
        "/",
        "/api/runs",
        `/${"0".repeat(32)}/`,
        `/${token.slice(1)}/api/runs`,
        `/${token.toUpperCase()}0/api/runs`,
        `/${token}`,
        `/${token}/api`,
        `/${token}/api/nothing`,
        `/${token}/page/`,
        `/${token}/page/..%2fserver.ts`,
        `/${token}/..%2f..%2fpackage.json`,
        `/${token}//etc/passwd`,
      ];
      for (const path of wrong) assert.equal(await status(path), 404, path);
      for (const method of ["POST", "PUT", "DELETE"]) assert.equal(await status(`${url}api/runs`, method), 405, method);
    });
    const everywhere = { server: "http://", expected: /^(console: (Failed to load resource|Access to fetch)|request)/ };
    await withPage(everywhere, async (page) => {
      const answer = await page.goto(`http://${rebound}:${port}${pathname}`);
      assert.equal(answer?.status(), 403);
      assert.equal((await page.goto(`http://${rebound}:${port}${pathname}api/runs`))?.status(), 403);
      await page.goto(otherUrl);
      const read = `fetch(${JSON.stringify(`${url}api/runs`)}).then((a) => a.text()).catch(() => "refused")`;
      assert.equal(await page.evaluate(read), "refused");
      // The file cannot be a script of another page, nor can the page be framed.
      const script = `new Promise((done) => {
        const element = document.createElement("script");
        element.onload = () => done("loaded");
        element.onerror = () => done("refused");
        element.src = ${JSON.stringify(`${url}uplot.js`)};
        document.head.append(element);
      })`;
      assert.equal(await page.evaluate(script), "refused");
    });
  } finally {
    other.close();
  }
});
