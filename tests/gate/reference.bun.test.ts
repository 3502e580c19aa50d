/**
 * The reference is whole: `docs/reference.md` has each public name, and each has its documentation. Each link of the site of `bun run docs`
 * resolves, and its pages load nothing from elsewhere.
 *
 * @module
 */

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { site } from "../../docs/site/site.ts";
import * as data from "../../lib/data/mod.ts";
import * as prove from "../../lib/prove/mod.ts";
import * as contract from "../../lib/store/contract/mod.ts";
import * as s3 from "../../lib/store/s3/mod.ts";
import * as trackers from "../../lib/trackers/mod.ts";
import * as main from "../../mod.ts";
import { documentationFaults, publicModules } from "./reference.ts";
import { bun, root } from "./runtimes.ts";

const folder = mkdtempSync(join(tmpdir(), "dogear-site-"));
const modules = publicModules();
const index = readFileSync(join(root, "docs/reference.md"), "utf8");
const { Loader, Retention, Rng, Scaler, Schedule } = main;

before(() => {
  const { status, stderr } = spawnSync(bun(), [join(root, "docs/site/make.ts"), folder], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
});
after(() => rmSync(folder, { recursive: true, force: true }));

test("reference: docs/reference.md is what `bun run docs` makes of the docstrings", () => {
  assert.equal(index, site(modules).index, "Run `bun run docs`");
});

test("reference: the index has each value that an entry or a namespace exports", () => {
  const exported = Object.keys({ ...main, ...data, ...prove, ...contract, ...s3, ...trackers });
  const members = Object.entries({ Loader, Retention, Rng, Scaler, Schedule })
    .flatMap(([name, namespace]) => Object.keys(namespace).map((member) => `${name}.${member}`));
  assert.deepEqual([...exported, ...members].filter((name) => !index.includes(`| [\`${name}\`](`)), []);
});

test("reference: `deno doc --lint` finds nothing in the entries and namespaces", () => {
  assert.deepEqual(documentationFaults(modules), []);
});

test("site: each link, picture and anchor of each page resolves", () => {
  const pages = new Map(
    readdirSync(folder).filter((name) => name.endsWith(".html"))
      .map((name) => [name, readFileSync(join(folder, name), "utf8")]),
  );
  assert(pages.size > 30, `found ${pages.size} pages`);
  const idsOf = (text: string) => [...text.matchAll(/ id="([^"]*)"/g)].map(([, id]) => id);
  const faults = [...pages].flatMap(([page, text]) => {
    const ids = idsOf(text);
    const twice = ids.filter((id, i) => ids.indexOf(id) < i).map((id) => `${page}: two anchors ${id}`);
    const broken = [...text.matchAll(/ (?:href|src|srcset)="([^"]*)"/g)].flatMap(([, target = ""]) => {
      const inRepository = /^https:\/\/github\.com\/dogear\/dogear\/blob\/main\/([^#]+)/.exec(target)?.[1];
      if (inRepository !== undefined) return existsSync(join(root, inRepository)) ? [] : [`${page}: ${target}`];
      if (/^[a-z]+:/.test(target)) return [];
      const [file = "", anchor] = target.split("#");
      const goal = file === "" ? page : file;
      const isThere = existsSync(join(folder, goal)) &&
        (anchor === undefined || idsOf(pages.get(goal) ?? "").includes(anchor));
      return isThere ? [] : [`${page}: ${target}`];
    });
    return [...twice, ...broken];
  });
  assert.deepEqual(faults, []);
});

test("site: no page loads anything but its own files, or runs a script", () => {
  const loaded =
    /<(?!a[ >])\w+[^>]* (?:href|src|srcset)="(?!data:)[a-z]*:?\/\/[^>]*>|<(?:script|iframe|form)[^>]*>|url\([^)]*\)|@import/g;
  const faults = readdirSync(folder).filter((name) => /\.(html|css|svg)$/.test(name)).flatMap((name) =>
    [...readFileSync(join(folder, name), "utf8").matchAll(loaded)].map(([found]) => `${name}: ${found}`)
  );
  assert.deepEqual(faults, []);
});
