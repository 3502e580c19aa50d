/**
 * Tests of the page of `dogear serve` in a real browser.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
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
  hugeRun,
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
  ["checkpoint", "0", "3"],
  ["tensor", "0", "3", kernel],
  ["compare", "0@1", "0@3"],
];
const digits = served("digits", (folder) => digitsRun(folder, { args: ["--dense", "--digits", "320"], fork: 2 }));

/** The text of a view, as it is shown. */
function textOf(page: Page): Promise<string> {
  return page.locator("main").innerText();
}

/** What the timeline says of each checkpoint of its first rows, walked through by the arrow keys. */
async function timelineOf(page: Page, rows: number): Promise<readonly string[]> {
  const said = new Map<string, string>();
  await page.locator(".timeline canvas").focus();
  for (let row = 0; row < rows; row++) await page.keyboard.press("ArrowUp");
  for (let row = 0; row < rows; row++) {
    await page.keyboard.press("Home");
    for (;;) {
      const text = await page.locator('[role="status"]').innerText();
      const [name] = /^Checkpoint \d+/.exec(text) ?? [text];
      if (said.has(name)) break;
      said.set(name, text);
      await page.keyboard.press("ArrowRight");
    }
    await page.keyboard.press("ArrowDown");
  }
  return [...said.values()];
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

/** Presses Tab until the focus is on an element. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let press = 0; press < 200; press++) {
    await page.keyboard.press("Tab");
    if (await page.evaluate(`document.activeElement?.matches(${JSON.stringify(selector)})`)) return;
  }
  assert.fail(`Expected ${selector} within 200 presses of Tab`);
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
  const { statistics } = (await json("inspect", `${folder}@3`, kernel)).value;
  const { differences } = (await json("diff", `${folder}@1`, `${folder}@3`)).value;
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "overview");
    const said = await timelineOf(page, 2);
    assert.equal(said.length, checkpoints.length, said.join("\n"));
    for (const { checkpoint, step, verdict, metrics } of checkpoints) {
      const one = said.find((text) => text.startsWith(`Checkpoint ${checkpoint} `)) ?? "";
      assert.match(one, new RegExp(`step ${step} .*${verdict}`), said.join("\n"));
      if (metrics.loss !== undefined) assert.ok(numbersIn(one).some((number) => isClose(number, metrics.loss)), one);
    }
    const curves = await textOf(page);
    for (const name of ["loss", "rate", "val_loss", "val_accuracy"]) assert.match(curves, new RegExp(`^${name}$`, "m"));
    await openView(page, url, "checkpoint", "0", "3");
    const details = await textOf(page);
    for (const { name, kind } of components) assert.match(details, new RegExp(`^${name}\\s+${kind}\\b`, "m"));
    assert.match(details, /Dense\s+\[\?, 32\]\s+2,080\s+yes/, "a layer");
    assert.match(details, /3 complete epochs, then sample 0 of 320/);
    await openView(page, url, "tensor", "0", "3", kernel);
    const tensor = numbersIn(await textOf(page));
    for (const value of [64, 32, statistics.min, statistics.max, statistics.mean, statistics.deviation]) {
      assert.ok(tensor.some((one) => isClose(one, value)), `${value} in ${tensor.join(" ")}`);
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
    await openView(page, url, "checkpoint", "0", "3");
    await page.locator("main a", { hasText: /dense.*kernel/ }).first().click();
    await waitForView(page, "tensor");
    await page.goBack();
    await waitForView(page, "checkpoint");
    assert.match(await textOf(page), /^Checkpoint 3$/m);
    await page.reload();
    await waitForView(page, "checkpoint");
    assert.match(await textOf(page), /^Checkpoint 3$/m);
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
    await tabTo(page, ".timeline canvas");
    await page.keyboard.press("ArrowLeft");
    // The page asks for news meanwhile.
    for (let poll = 0; poll < 2; poll++) await page.waitForResponse(/api\/runs/);
    await page.keyboard.press("ArrowLeft");
    await page.keyboard.press("Enter");
    await waitForView(page, "checkpoint");
    await tabTo(page, 'a[href^="#/tensor/"]');
    await page.keyboard.press("Enter");
    await waitForView(page, "tensor");
    await tabTo(page, 'input[type="range"]');
    await page.keyboard.press("ArrowLeft");
    await tabTo(page, 'nav a[href^="#/compare"]');
    await page.keyboard.press("Enter");
    await waitForView(page, "compare");
    await page.keyboard.press("o");
    await waitForView(page, "overview");
    for (const control of ['input[type="checkbox"]', 'input[type="range"]', "button[aria-pressed]"]) {
      await tabTo(page, control);
    }
    await page.keyboard.press("?");
    assert.match(await page.locator("dialog[open]").innerText(), /Keys/);
    await page.keyboard.press("Escape");
    await page.keyboard.press("t");
    assert.equal((await layoutOf(page)).isDark, true);
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

testInBrowser("serve: a run that is trained and killed is shown as it goes", async () => {
  const folder = join(scratch, "live");
  mkdirSync(folder);
  const server = await startPageServer(folder);
  const [saved, late] = [new Map<number, number>(), [] as number[]];
  const train = (): Child =>
    start("bun", "digits_curves.ts", [folder, "--dense", "--digits", "320", "--every", "5", "--pause", "40"], {
      onLine: (line) => {
        const [, checkpoint] = /^saved (\d+)/.exec(line) ?? [];
        if (checkpoint !== undefined) saved.set(Number(checkpoint), Date.now());
      },
    });
  let child = train();
  try {
    await withPage({ server: server.url }, async (page) => {
      await page.goto(server.url);
      const newest = (): Promise<number> =>
        page.locator(".rownames").innerText().then((text) => Number(/(\d+) checkpoint/.exec(text)?.[1] ?? 0) - 1);
      for (const kill of [2, 5, 8]) {
        let shown = -1;
        while (shown < kill) {
          const now = await newest();
          if (now > shown) late.push(Date.now() - (saved.get(now) ?? Date.now()));
          shown = now;
          await page.waitForTimeout(20);
        }
        child.kill("SIGKILL");
        await child.ended;
        if (kill < 8) child = train();
      }
      // A busy machine may delay one of them.
      const median = late.toSorted((a, b) => a - b)[Math.floor(late.length / 2)] ?? NaN;
      assert.ok(median < 2000, `checkpoints were shown ${late.join(", ")} ms after their saves`);
      assert.match(await textOf(page), /^loss$/m);
      assert.deepEqual(
        (await timelineOf(page, 1)).map((text) => /^Checkpoint (\d+)/.exec(text)?.[1]).length,
        await newest() + 1,
      );
    });
  } finally {
    child.kill("SIGKILL");
    await server.stop();
  }
});

// --- damage, hostility, size

testInBrowser("serve: a damaged checkpoint is red, and its problem is said", async () => {
  const url = await served("damaged", damagedRun)();
  await withPage({ server: url, expected: /^console: Failed to load resource/ }, async (page) => {
    await openView(page, url, "overview");
    assert.match(await textOf(page), /damaged: checkpoint 2, checkpoint 3/);
    const said = await timelineOf(page, 1);
    for (const checkpoint of [0, 1, 2, 3, 4]) {
      const verdict = [2, 3].includes(checkpoint) ? "damaged" : "complete";
      assert.ok(
        said.some((one) => one.startsWith(`Checkpoint ${checkpoint} `) && one.includes(verdict)),
        said.join("\n"),
      );
    }
    assert.ok(await page.evaluate(redPixels) as number > 20, "no red in the timeline");
    for (const checkpoint of [2, 3]) {
      await openView(page, url, "checkpoint", "0", `${checkpoint}`);
      const { value: { error } } = await json("inspect", `${join(scratch, "damaged")}@${checkpoint}`);
      const text = await textOf(page);
      for (const line of checkpoint === 2 ? error.message.split("\n") : [error.problems[0].path]) {
        assert.ok(text.includes(line.trim()), `${line} in ${text}`);
      }
      assert.doesNotMatch(text, /\\u\{a\}/);
    }
    await openView(page, url, "tensor", "0", "1", "weights");
    assert.match(await textOf(page), /weights\.safetensors/);
    assert.match(await textOf(page), /damaged/i);
  });
});

/** How many pixels of the timeline have the colour of what is damaged. */
const redPixels = `(() => {
  const canvas = document.querySelector(".timeline canvas");
  const [r, g, b] = [194, 24, 43];
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let count = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] === r && data[i + 1] === g && data[i + 2] === b) count++;
  return count;
})()`;

const hostile = served("hostile", hostileRun);

/** The paths of the tensors of checkpoint 1. */
async function tensorPaths(url: string): Promise<readonly string[]> {
  const answer = await (await fetch(`${url}api/checkpoint?run=0&checkpoint=1`)).json();
  return (answer as { readonly tensors: readonly { readonly path: string }[] }).tensors.map(({ path }) => path);
}

function hostileViews(paths: readonly string[]): readonly (readonly [View, ...string[]])[] {
  // From both ends: tensors of large numbers come last.
  const order = paths.flatMap((path, i) => [path, paths[paths.length - 1 - i]!]);
  const tensors = [...new Set(order)].slice(0, 12 * torture).map((path) => ["tensor", "0", "1", path] as const);
  return [["overview"], ["checkpoint", "0", "1"], ...tensors, ["compare", "0@0", "0@1"]];
}

/** Checks that nothing of a view came from markup, and that it is not broken. */
async function checkHarmless(page: Page, view: string): Promise<void> {
  assert.equal(await page.evaluate("typeof window.hacked"), "undefined", view);
  assert.equal(await page.locator("main :is(img, script, iframe, object, b b, [onload], [onerror])").count(), 0, view);
  assert.equal(await page.locator(".notice.bad").count(), 0, `${view}: ${await textOf(page)}`);
  assert.doesNotMatch(await textOf(page), /w{1000}/, `${view} shows a long name whole`);
  const { width } = await layoutOf(page);
  assert.ok(width <= 400, `${view} is ${width} pixels wide`);
}

testInBrowser("serve: no name, value, note or log can run code or break the page", async () => {
  const url = await hostile();
  await withPage({ server: url, width: 400 }, async (page) => {
    for (const [view, ...parts] of hostileViews(await tensorPaths(url))) {
      await openView(page, url, view, ...parts);
      await checkHarmless(page, `${view} ${parts}`);
    }
  });
});

testInBrowser("serve: a string of 10 MB is shown by its beginning", async () => {
  const url = await served("huge", hugeRun)();
  await withPage({ server: url }, async (page) => {
    await openView(page, url, "checkpoint", "0", "0");
    const text = await textOf(page);
    assert.match(text, /<b>10 MB<\/b>/);
    assert.ok(text.length < 20_000, `${text.length} characters`);
  });
});

testInBrowser("serve: 10,000 checkpoints are shown", async () => {
  const url = await served("many", (folder) => manyCheckpoints(folder, 10_000))();
  await withPage({ server: url }, async (page) => {
    await page.goto(url);
    await page.locator(".notice", { hasText: "of 10000 checkpoints are read" }).waitFor();
    assert.doesNotMatch(await page.locator(".rownames").innerText(), /removed/);
    await page.locator(".rownames", { hasText: "10,000 checkpoints" }).waitFor();
    assert.ok(await firstPaint(page) < 3000);
    await page.locator(".timeline canvas").focus();
    await page.keyboard.press("End");
    await page.keyboard.press("ArrowLeft");
    assert.match(await page.locator('[role="status"]').innerText(), /^Checkpoint 9998 /);
    await openView(page, url, "checkpoint", "0", "5000");
    assert.match(await textOf(page), /50,000/);
  });
});

testInBrowser("serve: curves of many points are soon drawn", async () => {
  const url = await served("long", async (folder) => {
    await manyCheckpoints(folder, 1000);
    longLog(folder, 20, 10_000 * torture);
  })();
  await withPage({ server: url }, async (page) => {
    await page.goto(url);
    await page.locator("figure", { hasText: "metric_19" }).waitFor();
    assert.ok(await firstPaint(page) < 3000);
    await page.locator("figcaption bdi", { hasText: /^loss$/ }).waitFor({ state: "attached" });
    assert.equal(await page.locator("main figure").count(), 21);
  });
});

/** Exports a run of this file, and opens the page from disk. */
async function inExport(name: string, width: number, use: (page: Page, url: string) => Promise<void>): Promise<void> {
  const file = join(scratch, `${name}.html`);
  const { code, said } = await dogear("serve", join(scratch, name), "--export", file);
  assert.equal(code, 0, said);
  const url = `${pathToFileURL(file)}`;
  await withPage({ server: url, width }, async (page) => {
    let requests = 0;
    page.on("request", () => requests++);
    await use(page, url);
    assert.equal(requests, 1);
  });
}

testInBrowser("serve: the export opens from disk without a request", async () => {
  await digits();
  await inExport("digits", 1400, async (page, url) => {
    const views: readonly (readonly [View, ...string[]])[] = [
      ["overview"],
      ["checkpoint", "0", "3"],
      ["tensor", "0", "8", kernel],
      ["compare", "0@0", "0@8"],
    ];
    for (const [view, ...parts] of views) {
      await openView(page, url, view, ...parts);
      assert.doesNotMatch(await textOf(page), /not in the export/i, view);
    }
    await openView(page, url, "tensor", "0", "3", kernel);
    assert.match(await textOf(page), /not in the exported page\. Run dogear serve/);
  });
});

testInBrowser("serve: an export with hostile names runs nothing of them", async () => {
  await hostile();
  await inExport("hostile", 400, async (page, url) => {
    for (const [view, ...parts] of hostileViews(await tensorPaths(await hostile()))) {
      await openView(page, url, view, ...parts);
      await checkHarmless(page, `${view} ${parts}`);
    }
  });
});
