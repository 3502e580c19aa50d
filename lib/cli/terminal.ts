/**
 * The only module that writes: results to standard output, messages and progress bars to standard error.
 *
 * @module
 */
import type { Writable } from "node:stream";
import { styleText } from "node:util";
import { printable, printableLines } from "../errors/mod.ts";
import type { Progress } from "../store/mod.ts";
import { cut, widthOf, wrap } from "./text_width.ts";
import type { CommandTask } from "./arguments.ts";
import { progressText } from "./format.ts";

// --- types

/** Lines of output, possibly still being made. */
export type Lines = AsyncIterable<string> | Iterable<string>;

/** Draws progress. Called without any, it erases the bar. */
export type Bar = (progress?: Progress) => void;

/** Where a command writes. */
export interface Terminal {
  /** The longest line, in columns: the terminal's width, `Infinity` if the output is not a terminal. */
  readonly width: number;
  /** Writes lines. Stops reading them once the other end of a pipe is closed. */
  readonly print: (lines: Lines) => Promise<void>;
  /** Writes a message to standard error, in lines of the width if that is a terminal. */
  readonly say: (text: string) => void;
  /** Makes a progress bar with a label. */
  readonly draw: (label: string) => Bar;
  /** Colours a word if the output shows colours. */
  readonly paint: (colour: Colour, word: string) => string;
}

/** The colours in use. */
export type Colour = "red" | "green";

/** An output stream, which tests replace. */
export interface Output {
  readonly stream: Writable;
  readonly isTerminal: boolean;
  readonly columns: number;
}

// --- constructors

/** Codes of a write to a pipe whose reader has closed it, such as `head`. */
const closedPipe: readonly (string | undefined)[] = ["EPIPE", "ERR_STREAM_DESTROYED"];

/**
 * Prints lines to a stream. A closed pipe ends the printing without an error. Any other failure to write is an exception.
 *
 * @param stream The stream.
 */
export function printer(stream: Writable): Terminal["print"] {
  let failed: NodeJS.ErrnoException | null | undefined;
  const onError = (cause: typeof failed): void => void (failed ??= cause);
  stream.on("error", onError);
  const write = (text: string): Promise<void> =>
    new Promise((resolve) => {
      stream.once("close", resolve);
      stream.write(text, (cause) => {
        stream.off("close", resolve);
        onError(cause);
        resolve();
      });
    });
  return async (lines) => {
    for await (const line of lines) {
      if (!failed) await write(`${line}\n`);
      if (failed && closedPipe.includes(failed.code)) return;
      if (failed) throw failed;
    }
  };
}

function outputOf(stream: NodeJS.WriteStream): Output {
  // A terminal that does not know its size reports 0.
  return { stream, isTerminal: stream.isTTY === true, columns: stream.columns || 80 };
}

/** Without the option, newer versions of Node look at `process.stdout` instead of the stream that is written to; older types lack it. */
const style: (colour: Colour, word: string, options: { readonly validateStream: false }) => string = styleText;

/** The least time between two drawings of a bar, in milliseconds. */
const drawnEvery = 100;

/**
 * The terminal of this process.
 *
 * @param environment The environment: `NO_COLOR` and `TERM=dumb` turn colours off.
 * @param output Where lines go.
 * @param errors Where messages and progress bars go.
 */
export function terminal(
  environment: NodeJS.ProcessEnv = process.env,
  output: Output = outputOf(process.stdout),
  errors: Output = outputOf(process.stderr),
): Terminal {
  const { isTerminal, columns } = output;
  const { stream } = errors;
  const colours = isTerminal && !environment["NO_COLOR"] && environment["TERM"] !== "dumb";
  // A closed standard error must not fail the command.
  stream.on("error", () => {});
  return {
    width: isTerminal ? columns : Infinity,
    print: printer(output.stream),
    say: (text) => {
      const lines = wrap(printableLines(text), errors.isTerminal ? errors.columns : Infinity, "  ");
      stream.write(`${lines.join("\n")}\n`);
    },
    draw: (label) => {
      let drawn = -Infinity;
      return (progress) => {
        if (!errors.isTerminal) return;
        if (progress === undefined) return void (drawn > -Infinity && stream.write("\r\x1b[K"));
        const now = performance.now();
        if (now - drawn < drawnEvery) return;
        drawn = now;
        const room = errors.columns - 1;
        const name = printable(label);
        stream.write(`\r${cut(`${name} ${progressText(progress, room - widthOf(name) - 1)}`, room, "")}\x1b[K`);
      };
    },
    paint: (colour, word) => colours ? style(colour, word, { validateStream: false }) : word,
  };
}

// --- combinators

/**
 * Runs a task with a progress bar, which is erased at the end.
 *
 * @param terminal Where to draw it.
 * @param label What is done.
 * @param task The task. It is given the function that draws its progress.
 */
export function withBar<A>({ draw }: Terminal, label: string, task: (bar: Bar) => CommandTask<A>): CommandTask<A> {
  return () => {
    const bar = draw(label);
    return task(bar)().finally(bar);
  };
}
