/**
 * The page of `dogear serve` in Chromium, by the browser's own clock: a run of 1,000 checkpoints and a log of 20 metrics of 100,000 points, then one
 * of 10,000 checkpoints. In Bun alone.
 *
 *     bun bench/serve.ts
 *
 * @module
 */
import process from "node:process";
import { join } from "node:path";
import { isBun } from "../tests/gate/runtimes.ts";
import { longLog, manyCheckpoints, startPageServer } from "../tests/support/page_runs.ts";
import { openView } from "../tests/support/page_views.ts";
import { median } from "./rounds.ts";
import { inFolder } from "./scene.ts";

/** What the browser measured, in milliseconds since it asked for the page. */
interface Times {
  readonly paint: number;
  readonly complete: number;
  /** The longest time between two frames while the page was filled. */
  readonly gap: number;
}

/** Resolves once the view is complete. */
const watchFrames = `addEventListener("DOMContentLoaded", () => {
  let last = performance.now();
  window.gap = 0;
  const tick = (now) => {
    window.gap = Math.max(window.gap, now - last);
    last = now;
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
})`;
const times = `({
  paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN,
  complete: performance.now(),
  gap: window.gap,
})`;

if (isBun) {
  // Deno cannot load playwright-core.
  const { startBrowser, withPage } = await import("../tests/support/browser.ts");
  const browser = await startBrowser();
  await inFolder(async (folder) => {
    const [long, many] = [join(folder, "long"), join(folder, "many")];
    await manyCheckpoints(long, 1000);
    longLog(long, 20, 100_000);
    await manyCheckpoints(many, 10_000);
    for (const run of [long, many]) {
      const measured: Times[] = [];
      for (let round = 0; round < 5; round++) {
        const server = await startPageServer(run);
        measured.push(
          await withPage(browser, { server: server.url }, async (page) => {
            await page.addInitScript(watchFrames);
            await openView(page, server.url, "overview");
            return await page.evaluate(times) as Times;
          }),
        );
        await server.stop();
      }
      const of = (name: keyof Times): string => median(measured.map((one) => one[name])).toFixed(0);
      process.stdout.write(
        `${run === long ? "1,000 checkpoints, 20 metrics of 100,000 points" : "10,000 checkpoints"}: ` +
          `first paint ${of("paint")} ms, complete ${of("complete")} ms, longest frame ${of("gap")} ms (5 rounds)\n`,
      );
    }
  });
  await browser.close();
} else {
  process.stdout.write("in Bun alone\n");
}
