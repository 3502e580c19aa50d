/**
 * The page in one file that opens from a disk.
 *
 * A browser loads no module from a disk, and none from a `data:` URL under a content security policy that is worth having. So all modules are put
 * into one inline script, whose hash the policy names. Each module becomes a function that runs at once, after its neighbours, and gives its exports:
 *
 * ```js
 * import { a, b as c } from "./other.js";    const { a, b: c } = await module_other;
 * import uPlot from "../uplot.js";           const { default: uPlot } = await module_uplot;
 * export const d = 1;                        const d = 1;    … return { d };
 * ```
 *
 * The page's modules use no other form of import and export, and import each other in no circle.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { posix } from "node:path";

// --- types

/** The texts of files by their path in the URL. */
export type Texts = ReadonlyMap<string, string>;

// --- modules

const importForm = /^import\s+(?:(\w+)|\{([^}]*)\})\s+from\s+"([^"]+)";?[ \t]*$/gm;
const exportForm = /^export\s+((?:async\s+)?(?:function\*?|const|class)\s+(\w+))/gm;
const listForm = /^export\s*\{([^}]*)\};?[ \t]*$/gm;

/** Names of a list such as `a, b as c`, each with its second name. */
function pairs(list: string): readonly (readonly [string, string])[] {
  return list.split(",").map((one) => one.trim()).filter((one) => one !== "").map((one) => {
    const [name = "", as = name] = one.split(/\s+as\s+/);
    return [name, as];
  });
}

/** The name of a module's promise in the script. */
function functionName(path: string): string {
  return `module_${path.replace(/\W/g, "_")}`;
}

/** A module without its imports and exports, which are listed. */
interface Module {
  readonly body: string;
  /** The exported name of each name within it. */
  readonly exports: (readonly [name: string, as: string])[];
  readonly imports: { readonly path: string; readonly names: readonly string[] }[];
}

function parseModule(path: string, text: string): Module {
  const [exports, imports]: [Module["exports"], Module["imports"]] = [[], []];
  const body = text
    .replace(importForm, (_, own: string | undefined, list: string | undefined, from: string) => {
      const target = posix.join(posix.dirname(path), from);
      const names = own === undefined ? pairs(list ?? "") : [["default", own] as const];
      imports.push({ path: target, names: names.map(([name]) => name) });
      return `const { ${names.map(([name, as]) => `${name}: ${as}`).join(", ")} } = await ${functionName(target)};`;
    })
    .replace(exportForm, (_, declaration: string, name: string) => {
      exports.push([name, name]);
      return declaration;
    })
    .replace(listForm, (_, list: string) => {
      exports.push(...pairs(list));
      return "";
    });
  const other = /^(?:import|export)\b.*$/m.exec(body);
  if (other !== null) throw new TypeError(`Expected an import or export of a known form in ${path}, found ${other[0]}`);
  return { body, exports, imports };
}

/**
 * Puts modules into one script.
 *
 * @param texts The modules by path.
 * @param entry The path of the module to run.
 */
export function bundle(texts: Texts, entry: string): string {
  const modules = new Map<string, Module>();
  const add = (path: string, above: readonly string[]): void => {
    if (modules.has(path)) return;
    const text = texts.get(path);
    if (text === undefined || above.includes(path)) {
      const found = text === undefined ? "none" : `a circle: ${[...above, path].join(" imports ")}`;
      throw new TypeError(`Expected the module ${path} of the page, found ${found}`);
    }
    const module = parseModule(path, text);
    for (const one of module.imports) add(one.path, [...above, path]);
    modules.set(path, module);
  };
  add(entry, []);
  const all = [...modules].map(([path, { body, exports }]) => {
    // An unused export may be an example in a comment.
    const wanted = [...modules.values()].flatMap(({ imports }) => imports)
      .flatMap((one) => one.path === path ? one.names : []);
    const given = exports.filter(([, as]) => wanted.includes(as)).map(([name, as]) => `${as}: ${name}`);
    const lost = wanted.find((name) => !exports.some(([, as]) => as === name));
    if (lost !== undefined) throw new TypeError(`Expected ${path} to export ${lost}, found no such export`);
    return `const ${functionName(path)} = (async () => {\n${body}\nreturn { ${given.join(", ")} };\n})();\n`;
  });
  return `${all.join("")}await ${functionName(entry)};\n`;
}

// --- the file

/** By what a page of this form is recognised. */
export const pageMark = '<meta name="generator" content="dogear">';

/** Text that cannot end the element of a script or a style. In a script such text is in a string or an expression, where the backslash changes nothing. */
function within(text: string): string {
  return text.replace(/<(\/(?:script|style)|!--)/gi, (_, rest: string) => rest === "!--" ? "<\\!--" : `<\\${rest}`);
}

function hashOf(text: string): string {
  return `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
}

/**
 * The page as one file.
 *
 * @param texts The files of the page; the empty path is the page itself.
 * @param data JSON text: the answers by request.
 */
export function pageText(texts: Texts, data: string): string {
  const styles: string[] = [];
  let script = "";
  const inline = (texts.get("") ?? "")
    .replace(/<link rel="stylesheet" href="([^"]+)"\s*\/?>/g, (_, href: string) => {
      styles.push(within(texts.get(href) ?? ""));
      return `<style>${styles.at(-1)}</style>`;
    })
    .replace(/<script type="module" src="([^"]+)"><\/script>/, (_, source: string) => {
      script = within(bundle(texts, source));
      const json = data.replaceAll("<", "\\u003c").replaceAll("\u2028", "\\u2028").replaceAll("\u2029", "\\u2029");
      return `<script type="application/json" id="data">${json}</script>\n<script type="module">${script}</script>`;
    });
  const policy = [
    "default-src 'none'",
    `script-src ${hashOf(script)}`,
    `style-src ${styles.map(hashOf).join(" ")}`,
    "img-src data:",
    "base-uri 'none'",
    "form-action 'none'",
  ].join("; ");
  const head = `<head>\n    ${pageMark}\n    <meta http-equiv="Content-Security-Policy" content="${policy}">`;
  return inline.replace("<head>", () => head);
}
