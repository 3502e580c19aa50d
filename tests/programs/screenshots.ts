/**
 * Makes a picture of each view of `dogear serve`: light and dark, wide and narrow, of a run on the digits that was killed twice and forked.
 *
 *     bun run screenshots                    into runs/screenshots/
 *     bun run screenshots -- curves dark     those whose names contain all of this
 *
 * The run is trained once, into runs/screenshots/digits.
 *
 * @module
 */
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { root } from "../gate/runtimes.ts";
import { startBrowser, withPage } from "../support/browser.ts";
import { digitsRun, startPageServer } from "../support/page_runs.ts";

const wanted = process.argv.slice(2);
const folder = join(root, "runs/screenshots");
const run = join(folder, "digits");

/** The views by their routes. */
const views: Readonly<Record<string, string>> = {
  overview: "#/",
  checkpoint: "#/checkpoint/0/20",
  tensor: `#/tensor/0/20/${encodeURIComponent("model/layers/6/weights/kernel")}`,
  compare: "#/compare/0@5/0@20",
};

if (!existsSync(run)) {
  mkdirSync(folder, { recursive: true });
  console.log("Training on the digits, killed twice, and a fork");
  await digitsRun(run, { kills: [64, 151], fork: 15 });
}
const server = await startPageServer(run);
const browser = await startBrowser();
try {
  for (const theme of ["light", "dark"] as const) {
    for (const width of [1400, 400]) {
      for (const [view, route] of Object.entries(views)) {
        const name = `${view}-${theme}-${width}`;
        if (!wanted.every((part) => name.includes(part))) continue;
        await withPage(browser, { server: server.url, theme, width }, async (page) => {
          await page.goto(server.url + route);
          await page.locator("main[aria-busy=false]").waitFor();
          await page.waitForTimeout(300);
          await page.screenshot({ path: join(folder, `${name}.png`), fullPage: true });
        }).catch((error: Error) => {
          process.exitCode = 1;
          console.error(`${name}: ${error.message}`);
        });
        console.log(join(folder, `${name}.png`));
      }
    }
  }
} finally {
  await browser.close();
  await server.stop();
}
