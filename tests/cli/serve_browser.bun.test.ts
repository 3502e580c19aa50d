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
import { pathToFileURL } from "node:url";
import type { Page } from "playwright-core";
import { rebound, sharedBrowser, testInBrowser } from "../support/browser.ts";
import { dogear, json } from "../support/command_line.ts";
import { type Child, start } from "../support/children.ts";
import {
  damagedRun,
  digitsRun,
  hostileRun,
  longLog,
  manyCheckpoints,
  type PageServer,
  startPageServer,
} from "../support/page_runs.ts";
import { torture } from "../support/torture.ts";
import { layoutOf, openView, type View, waitForView } from "../support/page_views.ts";

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

const kernel = "model/layers/1/weights/kernel/value";
const everyView: readonly (readonly [View, ...string[]])[] = [
  ["overview"],
  ["curves"],
  ["checkpoint", "0", "3"],
  ["tensor", "0", "3", kernel],
  ["compare", "0@1", "0@3"],
];
const digits = served("digits", (folder) => digitsRun(folder, { args: ["--dense", "--digits", "320"], fork: 2 }));

/** The text of a view, as it is shown. */
function textOf(page: Page): Promise<string> {
  return page.locator("main").innerText();
}

/** The checkpoints that a view shows, ascending. */
async function checkpointsShown(page: Page): Promise<readonly number[]> {
  const numbers = await page.evaluate(
    `[...document.querySelectorAll("main [data-checkpoint]")].map((one) => Number(one.dataset.checkpoint))`,
  ) as readonly number[];
  return [...new Set(numbers)].toSorted((a, b) => a - b);
}

function numbersIn(text: string): readonly number[] {
  return (text.match(/[-−]?\d[\d,]*(\.\d+)?(e[-+]?\d+)?/g) ?? []).map((one) =>
    Number(one.replace("−", "-").replaceAll(",", ""))
  );
}

/** When a page showed anything, in milliseconds after it was asked for. */
async function firstPaint(page: Page): Promise<number> {
  return await page.evaluate(`performance.getEntriesByName("first-contentful-paint")[0].startTime`) as number;
}

/** Presses Tab until a link or button is reached that leads to a view. */
async function tabTo(page: Page, view: View): Promise<void> {
  const route = view === "overview" ? `^#?/?$` : `^#/${view}\\b`;
  for (let press = 0; press < 200; press++) {
    await page.keyboard.press("Tab");
    const isReached = await page.evaluate(
      `new RegExp(${JSON.stringify(route)}).test(document.activeElement?.getAttribute("href") ?? "none")`,
    );
    if (isReached) return;
  }
  assert.fail(`Expected a link to ${view} within 200 presses of Tab`);
}

/** Whether a number is another one, rounded to three digits or more. */
function isClose(shown: number, value: number): boolean {
  return Math.abs(shown - value) <= 0.006 * Math.abs(value);
}

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

// --- views

testInBrowser("serve: every view shows what --json says", async () => {
  const url = await digits();
  const folder = join(scratch, "digits");
  const { runs: [{ checkpoints }] } = (await json("ls", folder)).value;
  const { components } = (await json("inspect", `${folder}@3`)).value;
  const { statistics, parts: [{ shape }] } = (await json("inspect", `${folder}@3`, kernel)).value;
  const { differences } = (await json("diff", `${folder}@1`, `${folder}@3`)).value;
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "overview");
    assert.deepEqual(
      await checkpointsShown(page),
      checkpoints.map((one: { readonly checkpoint: number }) => one.checkpoint).toReversed(),
    );
    await openView(page, url, "curves");
    for (const name of ["loss", "rate", "val_loss", "val_accuracy"]) {
      assert.equal(await page.locator(`[data-metric="${name}"]`).count(), 1, name);
    }
    await openView(page, url, "checkpoint", "0", "3");
    const details = await textOf(page);
    for (const { name } of components) assert.match(details, new RegExp(`\\b${name}\\b`), name);
    assert.match(details, /dense/i);
    assert.match(details, /2,?080/, "the parameters of a layer");
    await openView(page, url, "tensor", "0", "3", kernel);
    const tensor = await textOf(page);
    for (const value of [statistics.min, statistics.max, statistics.mean, ...shape]) {
      assert.ok(numbersIn(tensor).some((one) => isClose(one, value)), `${value} in ${tensor}`);
    }
    await openView(page, url, "compare", "0@1", "0@3");
    const compared = await textOf(page);
    for (const { path } of differences) assert.ok(compared.includes(path), path);
  });
});

testInBrowser("serve: back, forward and reload show the views that were open", async () => {
  const url = await digits();
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "overview");
    await page.locator('main [data-checkpoint="3"]').first().click();
    await waitForView(page, "checkpoint");
    await openView(page, url, "curves");
    await page.goBack();
    await waitForView(page, "checkpoint");
    await page.reload();
    await waitForView(page, "checkpoint");
    await page.goBack();
    await waitForView(page, "overview");
    await page.goForward();
    await waitForView(page, "checkpoint");
  });
});

testInBrowser("serve: the keyboard alone reaches every view", async () => {
  const url = await digits();
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "overview");
    const reached: string[] = [];
    for (const view of ["curves", "compare", "overview", "checkpoint", "tensor"] as const) {
      await tabTo(page, view);
      await page.keyboard.press("Enter");
      await waitForView(page, view);
      reached.push(view);
    }
    assert.equal(reached.length, 5);
  });
});

testInBrowser("serve: dark and light can be read, and 400 pixels are wide enough", async () => {
  const url = await digits();
  for (const theme of ["light", "dark"] as const) {
    await withPage({ server: url, theme, width: 400, height: 800 }, async (page) => {
      for (const [view, ...parts] of everyView) {
        await openView(page, url, view, ...parts);
        const { width, faint, isDark } = await layoutOf(page);
        assert.ok(width <= 400, `${view} is ${width} pixels wide in ${theme}`);
        assert.equal(isDark, theme === "dark", `${view} in ${theme}`);
        assert.deepEqual(faint, [], `${view} in ${theme}: text with a contrast below 4.5`);
      }
    });
  }
});

// --- live

testInBrowser("serve: a run that is trained and killed is shown as it goes, without an error", async () => {
  const folder = join(scratch, "live");
  const args = [folder, "--dense", "--digits", "320", "--every", "5", "--pause", "80"];
  const server = await startPageServer(folder);
  const saved = new Map<number, number>();
  const train = (): Child =>
    start("bun", "digits_curves.ts", args, {
      onLine: (line) => {
        const [, checkpoint] = /^saved (\d+)/.exec(line) ?? [];
        if (checkpoint !== undefined) saved.set(Number(checkpoint), Date.now());
      },
    });
  try {
    await withPage({ server: server.url }, async (page) => {
      let child = train();
      await page.goto(server.url);
      for (const step of [2, 4]) {
        const element = page.locator(`main [data-checkpoint="${step}"]`).first();
        await element.waitFor();
        const late = Date.now() - (saved.get(step) ?? Date.now());
        assert.ok(late < 2000, `checkpoint ${step} was shown ${late} ms after its save`);
        child.kill("SIGKILL");
        await child.ended;
        child = train();
      }
      await page.locator(`main [data-checkpoint="8"]`).first().waitFor();
      child.kill("SIGKILL");
      await child.ended;
      await openView(page, server.url, "curves");
      assert.equal(await page.locator('[data-metric="loss"]').count(), 1);
    });
  } finally {
    await server.stop();
  }
});

// --- damage, hostility, size

testInBrowser("serve: a damaged checkpoint is red, and its problem is said", async () => {
  const url = await served("damaged", damagedRun)();
  const expected = /^console: Failed to load resource/;
  await withPage({ server: url, expected }, async (page) => {
    await openView(page, url, "overview");
    const colours = await page.evaluate(
      `Object.fromEntries([...document.querySelectorAll("main [data-checkpoint][data-verdict]")].map((one) => [
         one.dataset.checkpoint, one.dataset.verdict]))`,
    );
    assert.deepEqual(colours, { 0: "complete", 1: "complete", 2: "damaged", 3: "damaged", 4: "complete" });
    for (const checkpoint of ["2", "3"]) {
      await openView(page, url, "checkpoint", "0", checkpoint);
      const { value } = await json("inspect", `${join(scratch, "damaged")}@${checkpoint}`);
      assert.match(await textOf(page), /damaged/i, JSON.stringify(value));
    }
    await openView(page, url, "tensor", "0", "1", "weights");
    assert.match(await textOf(page), /damaged/i);
  });
});

testInBrowser("serve: no name, value, note or log can run code or break the page", async () => {
  const url = await served("hostile", hostileRun)();
  const answer = await (await fetch(`${url}api/checkpoint?run=0&checkpoint=1`)).json();
  const { tensors } = answer as { readonly tensors: readonly { readonly path: string }[] };
  await withPage({ server: url, width: 400, height: 800 }, async (page) => {
    const views: readonly (readonly [View, ...string[]])[] = [
      ["overview"],
      ["curves"],
      ["checkpoint", "0", "1"],
      ...tensors.slice(0, 8).map(({ path }) => ["tensor", "0", "1", path] as const),
      ["compare", "0@0", "0@1"],
    ];
    for (const [view, ...parts] of views) {
      await openView(page, url, view, ...parts);
      assert.equal(await page.evaluate("typeof window.hacked"), "undefined", view);
      assert.equal(await page.evaluate("document.querySelectorAll('main :is(img, script, iframe, object)').length"), 0);
      const { width } = await layoutOf(page);
      assert.ok(width <= 400, `${view} ${parts} is ${width} pixels wide`);
    }
  });
});

testInBrowser("serve: 10,000 checkpoints are shown, and the first within a second", async () => {
  const url = await served("many", (folder) => manyCheckpoints(folder, 10_000))();
  await withPage({ server: url }, async (page) => {
    await page.goto(url);
    await page.locator('main [data-checkpoint="9999"]').first().waitFor();
    assert.ok(await firstPaint(page) < 3000);
    await waitForView(page, "overview");
    await openView(page, url, "checkpoint", "0", "5000");
    assert.match(await textOf(page), /50,?000/);
  });
});

testInBrowser("serve: curves of many points are soon drawn", async () => {
  const url = await served("long", async (folder) => {
    await manyCheckpoints(folder, 1000);
    longLog(folder, 20, 10_000 * torture);
  })();
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "curves");
    assert.equal(await page.locator("main [data-metric]").count(), 21);
    assert.ok(await firstPaint(page) < 3000);
  });
});

testInBrowser("serve: the export opens from disk without a request", async () => {
  await digits();
  const file = join(scratch, "page.html");
  assert.equal((await dogear("serve", join(scratch, "digits"), "--export", file)).code, 0);
  const url = `${pathToFileURL(file)}`;
  await withPage({ server: url }, async (page) => {
    let requests = 0;
    page.on("request", () => requests++);
    for (const [view, ...parts] of everyView) await openView(page, url, view, ...parts);
    assert.equal(requests, 1);
  });
});
