/**
 * The code blocks of the documentation: every `ts` fence of a docstring, of the README or of a guide in `docs/`.
 *
 * Marks behind `ts`:
 *
 * - `no-run`: the block is only type-checked.
 * - `continued`: it continues the last program before it in the file that is run, and sees its names.
 * - `throws`: it continues that program, too, and fails with the message that the next `text` block shows. There, `…`
 *   stands for any text, and a line may end at any space.
 *
 * A block inside an HTML comment of a guide runs like any other: it checks what the guide says, and is not shown.
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
  /** What is written behind `ts`. */
  readonly marks: readonly string[];
  readonly code: string;
  /** With the mark `throws`: the message that the next `text` block shows. */
  readonly message?: string;
}

/** Blocks that are one module: a block, and those that continue it. */
export type Program = readonly [Block, ...Block[]];

const known: readonly string[] = ["no-run", "continued", "throws"];

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
      const code = open.code.join("\n");
      const last = found.at(-1);
      if (language === "ts") found.push({ file, line: open.line, marks, code });
      else if (language === "text" && last?.marks.includes("throws") && last.message === undefined) {
        found[found.length - 1] = { ...last, message: code };
      }
      open = undefined;
    }
  }
  return found;
}

/** The blocks as programs, or an Error that names a mark that cannot be. */
export function programs(found: readonly Block[]): readonly Program[] {
  const all: [Block, ...Block[]][] = [];
  for (const block of found) {
    const where = `${block.file}:${block.line}`;
    const unknown = block.marks.find((mark) => !known.includes(mark));
    if (unknown !== undefined) throw new Error(`${where}: unknown mark "${unknown}"`);
    if (block.marks.includes("throws") && block.message === undefined) {
      throw new Error(`${where}: expected a text block with the message behind it`);
    }
    if (!block.marks.includes("continued") && !block.marks.includes("throws")) {
      all.push([block]);
      continue;
    }
    const program = all.findLast((one) => one[0].file === block.file && isRun(one));
    if (program === undefined) throw new Error(`${where}: expected a program before it to continue`);
    program.push(block);
  }
  return all;
}

// --- combinators

/** Whether a program is run, or only checked. */
export function isRun([first]: Program): boolean {
  return !first.marks.includes("no-run");
}

/** What an Error with the shown message says of itself. */
function patternOf(message: string): string {
  const words = message.trim().split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"));
  return `/^\\w*Error: ${words.join("\\s+").replaceAll("…", "[^]*")}$/`;
}

/** The program as a module: its code keeps its line numbers of the documentation, so that errors point there. */
export function toModule(program: Program): string {
  const lines: string[] = [];
  for (const { line, code, message } of program) {
    while (lines.length < line - 1) lines.push("");
    if (message !== undefined) {
      lines[line - 2] += `await (await import("node:assert/strict")).default.rejects(async () => {`;
    }
    lines.push(...code.split("\n"));
    if (message !== undefined) lines.push(`}, ${patternOf(message)});`);
  }
  return lines.join("\n") + "\nexport {};\n";
}
