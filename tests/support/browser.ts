/**
 * A real browser for tests: Chromium, from Debian's package chromium, driven by playwright-core in Bun.
 *
 * A file has one browser, started when a test first asks for a page. Each page has its own profile. A test fails on whatever its page reports:
 * an error on the console, an exception, a broken content policy, a request to another server, a dialog, a download or a new window.
 *
 * @module
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { after } from "node:test";
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { needs, type Test } from "./portable.ts";

// --- types

/** How a page is opened. */
export interface PageOptions {
  /**
   * Where requests may go: the beginning of a URL.
   * @default nowhere
   */
  readonly server?: string;
  /** @default 1400 */
  readonly width?: number;
  /** @default 900 */
  readonly height?: number;
  /** @default "light" */
  readonly theme?: "light" | "dark";
  /** What the page may report, such as the answer to a request that the test makes fail. */
  readonly expected?: RegExp;
}

/** Opens a page, uses it, and closes it. Rejects if the page reported anything. */
export type WithPage = <A>(options: PageOptions, use: (page: Page) => Promise<A>) => Promise<A>;

// --- constructors

/** A test that needs a browser: left out where the package is missing, unless `DOGEAR_BROWSER=required`. */
export const testInBrowser: Test = needs("Chromium");

/** A name that leads to this machine, as one that an attacker's name server gives out. */
export const rebound = "rebound.example";

/** Starts Chromium. It ends with this process, even one that is killed. */
export function startBrowser(): Promise<Browser> {
  const { stdout } = spawnSync("which", ["chromium"], { encoding: "utf8" });
  return chromium.launch({
    executablePath: stdout.trim() || "chromium",
    args: [`--host-resolver-rules=MAP ${rebound} 127.0.0.1`],
  });
}

/** The browser of a file, started for its first page. To be called where a file begins. */
export function sharedBrowser(): WithPage {
  let started: Promise<Browser> | undefined;
  after(async () => (await started)?.close());
  return async (options, use) => await withPage(await (started ??= startBrowser()), options, use);
}

/** Opens a page of a browser, see {@link WithPage}. */
export async function withPage<A>(
  browser: Browser,
  options: PageOptions,
  use: (page: Page) => Promise<A>,
): Promise<A> {
  const { width = 1400, height = 900, theme = "light" } = options;
  const settings: BrowserContextOptions = { viewport: { width, height }, colorScheme: theme, reducedMotion: "reduce" };
  const context = await browser.newContext(settings);
  try {
    const page = await context.newPage();
    const reports = await reportsOf(page, options);
    const result = await use(page);
    // What the page did last is reported before this answer. A page that goes elsewhere gives none.
    await page.evaluate("new Promise((done) => setTimeout(done, 20))").catch(() => page.waitForTimeout(20));
    assert.deepEqual(reports, [], "Expected a page that reports nothing");
    return result;
  } finally {
    await context.close();
  }
}

/** Collects what a page reports. */
async function reportsOf(page: Page, { server, expected }: PageOptions): Promise<readonly string[]> {
  const reports: string[] = [];
  const report = (text: string): void => {
    if (expected?.test(text) !== true) reports.push(text.slice(0, 1000));
  };
  const isOwn = (url: string): boolean =>
    /^(data|blob|about):/.test(url) || (server !== undefined && url.startsWith(server));
  page.on("console", (message) => {
    const { url } = message.location();
    if (["error", "warning"].includes(message.type())) report(`console: ${message.text()} ${url}`);
  });
  page.on("pageerror", (error) => report(`exception: ${error.stack ?? error.message}`));
  page.on("crash", () => report("crash"));
  page.on("dialog", (dialog) => {
    report(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  page.on("popup", (popup) => report(`window: ${popup.url()}`));
  page.on("download", (download) => report(`download: ${download.url()}`));
  page.on("request", (request) => {
    if (!isOwn(request.url())) report(`request: ${request.url()}`);
  });
  await page.addInitScript(
    `addEventListener("securitypolicyviolation", ({ violatedDirective, blockedURI }) =>
       console.error("policy: " + violatedDirective + " " + blockedURI))`,
  );
  return reports;
}
