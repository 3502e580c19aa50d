/**
 * Makes the pictures of the documentation, from real trainings on the digits.
 *
 *     bun run pictures
 *
 * One training is never stopped, one is killed twice and resumed, one starts cold where the second kill was. The logs of the first two must be equal, point
 * by point. The pictures of the page are copied from the screenshots.
 *
 * @module
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { root } from "../gate/runtimes.ts";
import { digitsRun } from "../support/page_runs.ts";

type Point = readonly [step: number, loss: number];

const kills = [64, 151];
const [width, height, left, foot] = [720, 300, 44, 30];
const folder = mkdtempSync(join(tmpdir(), "dogear-pictures-"));
const pictures = join(root, "docs/pictures");

/** The losses that a run has logged. */
function lossesOf(run: string): readonly Point[] {
  const [, ...lines] = readFileSync(join(folder, run, "log.jsonl"), "utf8").trim().split("\n");
  return lines.map((line) => JSON.parse(line) as { step: number; values: { loss: number } })
    .map(({ step, values: { loss } }) => [step, loss]);
}

/** The mean of the last eight losses: those of single batches scatter. */
function smoothed(points: readonly Point[]): readonly Point[] {
  return points.map(([step], i) => {
    const last = points.slice(Math.max(0, i - 7), i + 1);
    return [step, last.reduce((sum, [, loss]) => sum + loss, 0) / last.length];
  });
}

function drawing(theme: "light" | "dark", curves: readonly (readonly Point[])[]): string {
  const [back, text, grid, pale, strong, cold] = theme === "light"
    ? ["#ffffff", "#57606a", "#e6e7e9", "#9cc8e6", "#0b5c94", "#d55e00"]
    : ["#0d1117", "#9aa4af", "#2b2f35", "#2d5f82", "#8fd0f7", "#ff9447"];
  const steps = Math.max(...curves.flat().map(([step]) => step));
  const most = 3;
  const x = (step: number): string => (left + (width - left - 12) * step / steps).toFixed(1);
  const y = (loss: number): string => (height - foot - (height - foot - 34) * loss / most).toFixed(1);
  const path = (points: readonly Point[], colour: string, stroke: number, dash = ""): string =>
    `<polyline fill="none" stroke="${colour}" stroke-width="${stroke}" stroke-linejoin="round"${dash} points="${
      points.map(([step, loss]) => `${x(step)},${y(loss)}`).join(" ")
    }"/>`;
  const label = (at: string, down: number | string, words: string, more = ""): string =>
    `<text x="${at}" y="${down}" fill="${text}"${more}>${words}</text>`;
  const levels = [0, 1, 2, 3].map((loss) =>
    `<line x1="${left}" x2="${width - 12}" y1="${y(loss)}" y2="${y(loss)}" stroke="${grid}"/>` +
    label(`${left - 8}`, Number(y(loss)) + 4, `${loss}`, ' text-anchor="end"')
  );
  const marks = kills.map((step) =>
    `<line x1="${x(step)}" x2="${x(step)}" y1="28" y2="${height - foot}" stroke="${text}" stroke-dasharray="3 3"/>` +
    label(x(step), 20, "killed, resumed", ' text-anchor="middle"')
  );
  const legend = [[pale, 7, "uninterrupted"], [strong, 2, "killed twice and resumed"], [
    cold,
    2,
    "started cold",
  ]] as const;
  const keys = legend.map(([colour, stroke, words], i) =>
    `<line x1="262" x2="292" y1="${58 + 20 * i}" y2="${58 + 20 * i}" stroke="${colour}" stroke-width="${stroke}"/>` +
    label("302", 62 + 20 * i, words)
  );
  const [whole = [], resumed = [], fresh = []] = curves;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="system-ui, sans-serif" font-size="12">`,
    `<rect width="${width}" height="${height}" fill="${back}"/>`,
    ...levels,
    ...marks,
    path(whole, pale, 7),
    path(resumed, strong, 2),
    path(fresh, cold, 2, ' stroke-dasharray="6 3"'),
    ...keys,
    label(`${left}`, height - 8, "loss by step, the mean of 8 batches"),
    label(`${width - 12}`, height - 8, `${steps}`, ' text-anchor="end"'),
    "</svg>\n",
  ].join("\n");
}

try {
  await digitsRun(join(folder, "whole"), {});
  await digitsRun(join(folder, "resumed"), { kills });
  await digitsRun(join(folder, "cold"), { args: ["--epochs", "2"] });
  const [whole, resumed, cold] = ["whole", "resumed", "cold"].map(lossesOf) as [Point[], Point[], Point[]];
  assert.deepEqual(resumed, whole);
  const start = kills.at(-1)!;
  const rest = cold.map(([step, loss]): Point => [step + start, loss]).filter(([step]) => step <= whole.length);
  mkdirSync(pictures, { recursive: true });
  for (const theme of ["light", "dark"] as const) {
    writeFileSync(join(pictures, `resumed-${theme}.svg`), drawing(theme, [whole, resumed, rest].map(smoothed)));
    for (const view of ["overview", "tensor", "compare"]) {
      copyFileSync(join(root, `runs/screenshots/${view}-${theme}-1400.png`), join(pictures, `${view}-${theme}.png`));
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
