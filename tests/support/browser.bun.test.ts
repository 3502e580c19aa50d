/**
 * Tests of the support for tests in a browser: whatever a page reports fails its test.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after } from "node:test";
import { sharedBrowser, testInBrowser } from "./browser.ts";

const withPage = sharedBrowser();

const policy = "default-src 'none'; script-src 'self'";
const server = createServer(({ url = "/" }, response) => {
  response.setHeader("content-type", "text/html");
  response.setHeader("content-security-policy", policy);
  response.end(decodeURIComponent(url.slice(1)));
});
await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
after(() => server.close());
const address = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;

/** Opens a document of the server and runs a script in it. */
function open(html: string, script = "0"): Promise<unknown> {
  return withPage({ server: address }, async (page) => {
    await page.goto(address + encodeURIComponent(html));
    return await page.evaluate(script);
  });
}

testInBrowser("browser: a page that reports nothing passes", async () => {
  assert.equal(await open("<h1>heading</h1>", "document.body.innerText"), "heading");
});

testInBrowser("browser: whatever a page reports fails its test", async () => {
  const faults: Readonly<Record<string, readonly [html: string, script?: string]>> = {
    "console: gone": ["", `console.error("gone")`],
    "console: doubtful": ["", `console.warn("doubtful")`],
    "exception: Error: thrown": ["", `setTimeout(() => { throw new Error("thrown") }); 0`],
    "dialog: hello": ["", `alert("hello")`],
    "policy: script-src-elem inline": ["<script>0</script>"],
    "policy: script-src-attr inline": ["<img src onerror=0>"],
    "policy: img-src http://127.0.0.2/": ["<img src=http://127.0.0.2/a.png>"],
    "request: http://127.0.0.2/": ["", `location.href = "http://127.0.0.2/"`],
    "window: about:blank": ["", `open("about:blank"); 0`],
  };
  await Promise.all(
    Object.entries(faults).map(([report, [html, script]]) =>
      assert.rejects(open(html, script), (error) => (error as Error).message.includes(report), report)
    ),
  );
});
