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

const clean = "<h1>heading</h1>";
const faulty = "<script>0</script><img src onerror=0><img src=http://127.0.0.2/a.png>";
const scripts: readonly string[] = [
  `console.error("gone")`,
  `console.warn("doubtful")`,
  `setTimeout(() => { throw new Error("thrown") })`,
  `alert("hello")`,
  `open("about:blank")`,
  `location.href = "http://127.0.0.2/"`,
];

testInBrowser("browser: whatever a page reports fails its test", async () => {
  const text = await withPage({ server: address }, async (page) => {
    await page.goto(address + encodeURIComponent(clean));
    return await page.evaluate("document.body.innerText");
  });
  assert.equal(text, "heading");
  const message = await withPage({ server: address }, async (page) => {
    await page.goto(address + encodeURIComponent(faulty));
    for (const script of scripts) await page.evaluate(`{ ${script} }; 0`);
  }).then(() => "", (error: Error) => error.message);
  const reports = [
    "console: gone",
    "console: doubtful",
    "exception: Error: thrown",
    "dialog: hello",
    "policy: script-src-elem inline",
    "policy: script-src-attr inline",
    "policy: img-src http://127.0.0.2/a.png",
    "window: about:blank",
    "request: http://127.0.0.2/",
  ];
  assert.deepEqual(reports.filter((report) => !message.includes(report)), [], message);
});
