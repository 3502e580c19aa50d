/**
 * The guides can be followed: every relative link and anchor of the documentation resolves, the index names every guide,
 * what newcomers look for is found, and no sentence of the README or of a guide has more than 30 words.
 *
 * @module
 */

import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { test } from "node:test";
import { anchors, links, sentences } from "./prose.ts";
import { root } from "./runtimes.ts";

const guides = readdirSync(join(root, "docs")).filter((name) => name.endsWith(".md")).sort().map((name) =>
  `docs/${name}`
);
const others = [...readdirSync(root).filter((name) => name.endsWith(".md")).sort(), "examples/README.md"];
const textOf = (file: string): string => readFileSync(join(root, file), "utf8");

/** The links of a file that lead nowhere. */
function broken(file: string): readonly string[] {
  return links(textOf(file)).flatMap(({ line, target }) => {
    if (/^[a-z]+:/.test(target)) return [];
    const [path = "", anchor] = target.split("#");
    const goal = path === "" ? file : normalize(join(dirname(file), decodeURIComponent(path)));
    if (!existsSync(join(root, goal))) return [`${file}:${line} ${target}: no such file`];
    const isThere = anchor === undefined || (goal.endsWith(".md") && anchors(textOf(goal)).has(anchor));
    return isThere ? [] : [`${file}:${line} ${target}: no such heading`];
  });
}

test("prose: links, anchors and sentences are found", () => {
  const text = "# A `b`: c\n\n## A b c\n\nOne [two](x.md#y) three. Is `a. b c` one?\nYes: [`q`](#r)\n\n" +
    "- four\n  five.\n- six\n\n| a table. |\n\n```ts\n[no](no.md)\n```\n\n<!-- not this -->\n";
  assert.deepEqual(links(text), [{ line: 5, target: "x.md#y" }, { line: 6, target: "#r" }]);
  assert.deepEqual([...anchors(text)], ["a-b-c", "a-b-c-1"]);
  assert.deepEqual(sentences(text).map(({ line, words }) => [line, words]), [[5, 3], [5, 3], [6, 2], [8, 2], [10, 1]]);
});

test("prose: every relative link and anchor resolves", () => {
  assert.deepEqual([...others, ...guides].flatMap(broken), []);
});

test("prose: the index names every guide", () => {
  const named = links(textOf("docs/README.md")).map(({ target }) => `docs/${target.split("#")[0]}`);
  assert.deepEqual(guides.filter((file) => file !== "docs/README.md" && !named.includes(file)), []);
});

test("prose: what newcomers look for is two clicks from the README", () => {
  assert.ok(links(textOf("README.md")).some(({ target }) => target === "docs/README.md#by-word"));
  const index = textOf("docs/README.md").split("## By word")[1] ?? "";
  for (const word of ["warm-up", "`saver`", "evaluation", "early stopping", "progress bar", "SIGTERM", "TensorBoard"]) {
    const line = index.split("\n").find((line) => line.includes(word)) ?? "";
    const [link] = links(line);
    assert.ok(link !== undefined, `${word}: no line with a link`);
    const guide = textOf(`docs/${link.target.split("#")[0]}`);
    assert.ok(guide.toLowerCase().includes(word.toLowerCase().replaceAll("`", "")), `${word}: not in ${link.target}`);
  }
});

test("prose: no sentence of the README or of a guide has more than 30 words", () => {
  const long = ["README.md", "examples/README.md", ...guides].flatMap((file) =>
    sentences(textOf(file)).filter(({ words }) => words > 30).map(({ line, words, text }) =>
      `${file}:${line} ${words}: ${text}`
    )
  );
  assert.deepEqual(long, []);
});
