/**
 * The code blocks of the documentation: every `ts` fence of a docstring or of the README, as a module of its own.
 *
 * @module
 */

// --- types

/** One fenced block. */
export interface Block {
  /** Its file, relative to the project. */
  readonly file: string;
  /** The line of its first line of code, from 1. */
  readonly line: number;
  /** Whether it is run, or, marked `ts no-run`, only checked. */
  readonly run: boolean;
  readonly code: string;
}

// --- constructors

/** A file's lines of documentation; of TypeScript those inside docstrings, without their ` * `, the others empty. */
function prose(file: string, text: string): readonly string[] {
  const lines = text.split("\n");
  return file.endsWith(".ts") ? lines.map((line) => /^\s*\* ?(?!\/)(.*)$/.exec(line)?.[1] ?? "") : lines;
}

/**
 * The blocks of a file.
 *
 * @param file Its name: `.ts` has its blocks in docstrings, anything else is Markdown.
 * @param text What it holds.
 */
export function blocks(file: string, text: string): readonly Block[] {
  const found: Block[] = [];
  let open: { readonly info: string; readonly line: number; readonly code: string[] } | undefined;
  for (const [index, line] of prose(file, text).entries()) {
    const fence = /^```\s*(.*?)\s*$/.exec(line);
    if (fence === null) open?.code.push(line);
    else if (open === undefined) open = { info: fence[1] ?? "", line: index + 2, code: [] };
    else {
      const [language, ...marks] = open.info.split(/\s+/);
      if (language === "ts") {
        found.push({ file, line: open.line, run: !marks.includes("no-run"), code: open.code.join("\n") });
      }
      open = undefined;
    }
  }
  return found;
}

// --- combinators

/** The block as a module: its code keeps its line numbers of the documentation, so that errors point there. */
export function toModule(block: Block): string {
  return "\n".repeat(block.line - 1) + block.code + "\nexport {};\n";
}
