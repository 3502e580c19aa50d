/**
 * The one place that writes: lines to standard output, through a pager where they are many, the rest to standard error.
 *
 * @module
 */
import { spawn } from "node:child_process";
import process from "node:process";
import type { Writable } from "node:stream";
import type { Progress } from "../progress.ts";
import { cut, plainText, progressText } from "./text.ts";

// --- types

/** Lines, as they come. */
export type Lines = AsyncIterable<string> | Iterable<string>;

/** Where a command writes to. */
export interface Terminal {
  /** The longest a line is to be: a terminal's width, infinite where there is none. */
  readonly width: number;
  /** Writes lines, and stops asking for them once nobody reads. */
  readonly print: (lines: Lines) => Promise<void>;
  /** Writes a remark beside the output. */
  readonly say: (text: string) => void;
  /** Draws how far something has come, until it is run with nothing. */
  readonly draw: (what: string) => (progress?: Progress) => void;
  /** The word in a colour, where there are colours. */
  readonly paint: (colour: Colour, word: string) => string;
}

/** What a word may be painted in. */
export type Colour = "red" | "green" | "dim";

/** What is used of a terminal, or of what stands in for it. */
export interface Output {
  readonly stream: Writable;
  readonly isTerminal: boolean;
  readonly columns: number;
  readonly rows: number;
}

// --- constructors

const codes: Readonly<Record<Colour, number>> = { red: 31, green: 32, dim: 2 };

/** A writer that answers whether anybody still reads. A failure other than that is an exception. */
function writerTo(stream: Writable): (text: string) => Promise<boolean> {
  let gone = false;
  let failed: Error | undefined;
  stream.on("error", (cause: NodeJS.ErrnoException) => {
    if (cause.code === "EPIPE" || cause.code === "ERR_STREAM_DESTROYED") gone = true;
    else failed = cause;
  });
  return async (text) => {
    if (!gone) {
      await new Promise<void>((resolve) => {
        stream.once("close", resolve);
        stream.write(text, (cause) => {
          stream.off("close", resolve);
          const code = (cause as NodeJS.ErrnoException | null | undefined)?.code;
          if (code === "EPIPE" || code === "ERR_STREAM_DESTROYED") gone = true;
          else if (cause) failed ??= cause;
          resolve();
        });
      });
    }
    if (failed !== undefined) throw failed;
    return !gone;
  };
}

interface Pager {
  readonly write: (text: string) => Promise<boolean>;
  readonly close: () => Promise<void>;
}

/** Starts the user's pager, or `less`; undefined where there is none. */
async function startPager(environment: NodeJS.ProcessEnv): Promise<Pager | undefined> {
  const own = environment["PAGER"];
  if (own === "" || own === "cat") return undefined;
  const child = spawn(own ?? "less", own === undefined ? ["-FRX"] : [], {
    shell: own !== undefined,
    stdio: ["pipe", "inherit", "inherit"],
    env: { LESS: "FRX", ...environment },
  });
  const started = await new Promise<boolean>((resolve) => {
    child.once("spawn", () => resolve(true));
    child.once("error", () => resolve(false));
  });
  if (!started || child.stdin === null) return undefined;
  const { stdin } = child;
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  // The pager answers to the keyboard while it shows.
  const ignore = (): void => {};
  process.on("SIGINT", ignore);
  return {
    write: writerTo(stdin),
    close: async () => {
      stdin.end();
      await ended;
      process.off("SIGINT", ignore);
    },
  };
}

/**
 * Writes lines to an output: through a pager where that is a terminal and they do not fit on it.
 *
 * @param output Where to.
 * @param environment `PAGER` and what the pager itself looks at.
 */
export function printer(
  { stream, isTerminal, rows }: Output,
  environment: NodeJS.ProcessEnv,
): (lines: Lines) => Promise<void> {
  const direct = writerTo(stream);
  return async (lines) => {
    const held: string[] = [];
    let pager: Pager | undefined;
    let write = isTerminal ? undefined : direct;
    try {
      for await (const line of lines) {
        if (write === undefined) {
          held.push(`${line}\n`);
          if (held.length < rows) continue;
          pager = await startPager(environment);
          write = pager?.write ?? direct;
          if (!await write(held.splice(0).join(""))) return;
        } else if (!await write(`${line}\n`)) return;
      }
      if (held.length > 0) await direct(held.join(""));
    } finally {
      await pager?.close();
    }
  };
}

const drawnEvery = 100;

function outputOf(stream: NodeJS.WriteStream): Output {
  // A terminal that does not know its size says 0.
  return { stream, isTerminal: stream.isTTY === true, columns: stream.columns || 80, rows: stream.rows || 24 };
}

/**
 * The terminal of this process.
 *
 * @param environment Its environment: `NO_COLOR`, `TERM` and `PAGER` are looked at.
 * @param output Where lines go.
 * @param errors Where remarks and progress go.
 */
export function terminal(
  environment: NodeJS.ProcessEnv = process.env,
  output: Output = outputOf(process.stdout),
  errors: Output = outputOf(process.stderr),
): Terminal {
  const { isTerminal, columns } = output;
  const { stream } = errors;
  const colours = isTerminal && !environment["NO_COLOR"] && environment["TERM"] !== "dumb";
  // Nobody to tell is no reason to fail.
  stream.on("error", () => {});
  return {
    width: isTerminal ? columns : Infinity,
    print: printer(output, environment),
    say: (text) => void stream.write(`${text.split("\n").map(plainText).join("\n")}\n`),
    draw: (what) => {
      let drawn = -Infinity;
      return (progress) => {
        if (!errors.isTerminal) return;
        if (progress === undefined) return void (drawn > -Infinity && stream.write("\r\x1b[K"));
        const now = performance.now();
        if (now - drawn < drawnEvery) return;
        drawn = now;
        stream.write(`\r${cut(plainText(`${what} ${progressText(progress)}`), errors.columns - 1, "")}\x1b[K`);
      };
    },
    paint: (colour, word) => colours ? `\x1b[${codes[colour]}m${word}\x1b[0m` : word,
  };
}
