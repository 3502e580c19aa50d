/**
 * Makes the site of the documentation in `dist/docs`, and brings `docs/reference.md` up to date. With the name of a folder, it makes the
 * site there and writes nothing else.
 *
 *     bun run docs
 *
 * @module
 */

import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { publicModules } from "../../tests/gate/reference.ts";
import { root } from "../../tests/gate/runtimes.ts";
import { site } from "./site.ts";

const folder = process.argv[2] ?? join(root, "dist/docs");
const { index, pages, copies } = site(publicModules());
if (process.argv[2] === undefined) writeFileSync(join(root, "docs/reference.md"), index);
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });
for (const [name, text] of pages) writeFileSync(join(folder, name), text);
for (const [name, file] of copies) copyFileSync(join(root, file), join(folder, name));
console.log(`${pages.size} pages in ${folder}: open ${join(folder, "index.html")}`);
