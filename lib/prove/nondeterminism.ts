/**
 * Records, and can pin, nondeterminism outside the captured state: `Math.random`, `crypto` and clocks.
 *
 * A recorder replaces these functions only while it runs a function, and returns what they would return. A pinned source returns fixed
 * numbers instead: if two runs then agree that did not before, this source is what made them differ.
 *
 * Law *no trace*: after the run the functions are the original ones.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { ownFolders } from "../run/mod.ts";
import { Rng } from "../values/mod.ts";

// --- types

/** A source of values that no component holds. */
export type AmbientSource = "random" | "clock";

/** How often a function was called, and its first caller. */
export interface Call {
  readonly source: AmbientSource;
  readonly name: string;
  readonly count: number;
  /** The line that called it first, as `path:line:column`. */
  readonly first: string;
}

/** Counts the calls of ambient sources. */
export interface Recorder {
  /** Runs a function and counts its calls, except those of work that it started and did not await. */
  readonly during: <A>(run: () => A | PromiseLike<A>) => Promise<A>;
  readonly calls: () => readonly Call[];
}

/** Chooses between the value of the original function and the pinned one, and counts the call. */
type Answer = (original: () => unknown, pinned: () => unknown) => unknown;

type Callable = (...args: unknown[]) => unknown;

/** A function to record, and how to wrap it. */
interface RecordedFunction {
  /** Its name in messages, which ends with its key in the holder. */
  readonly name: string;
  readonly source: AmbientSource;
  readonly holder: object;
  readonly wrap: (original: Callable, answer: Answer) => Callable;
}

// --- constructors

/** Where this library is; in a bundle that a user made, the bundle. */
const library = ownFolders.length > 0 ? ownFolders : [import.meta.url];

/** Whether a stack frame is in this library, tfjs or the runtime: the cause is in the user's code. */
const isForeign = (place: string): boolean =>
  library.some((folder) => place.startsWith(folder)) || place.includes("/@tensorflow/") ||
  /^(node|ext|native|bun|internal):?/.test(place);

/** The innermost frame of a stack that is in the user's code. */
function callerIn(stack: string): string {
  const places = stack.split("\n").flatMap((line) => /((?:\w+:\/\/)?\/[^\s()]*:\d+:\d+)\)?$/.exec(line)?.[1] ?? []);
  const place = places.find((one) => !isForeign(one)) ?? places.at(-1) ?? "an unknown place";
  const path = place.startsWith("file://") ? fileURLToPath(place.replace(/:\d+:\d+$/, "")) : undefined;
  const full = path === undefined ? place : path + place.slice(place.search(/:\d+:\d+$/));
  const here = `${process.cwd()}/`;
  return full.startsWith(here) ? full.slice(here.length) : full;
}

function currentStack(): string {
  const classOf = Error as { stackTraceLimit?: number };
  const limit = classOf.stackTraceLimit;
  // A dropout layer is many frames below the user's step.
  classOf.stackTraceLimit = 200;
  const { stack = "" } = new Error();
  if (limit === undefined) delete classOf.stackTraceLimit;
  else classOf.stackTraceLimit = limit;
  return stack;
}

/** The functions to record. A pinned clock adds one millisecond at each call, so that code which waits for a time gets there. */
function recordedFunctions(): readonly RecordedFunction[] {
  let [rng, now] = [Rng.make("dogear/ambient/1"), 1_700_000_000_000];
  const float = (): number => {
    const [value, next] = Rng.float(rng);
    rng = next;
    return value;
  };
  const time = (): number => now++;
  const uuid = (): string => {
    const digits = Array.from({ length: 32 }, () => Math.floor(float() * 16).toString(16)).join("");
    return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-8$4-$5");
  };
  const { crypto } = globalThis;
  /** Wraps a function whose pinned value does not depend on its arguments. */
  const pinnedTo = (pinned: () => unknown): RecordedFunction["wrap"] => (original, answer) =>
    function (this: unknown, ...args) {
      return answer(() => original.apply(this, args), pinned);
    };
  const fillRandom: RecordedFunction["wrap"] = (original, answer) => (array) =>
    answer(() => original.call(crypto, array), () => {
      const { buffer, byteOffset, byteLength } = array as Uint8Array;
      new Uint8Array(buffer, byteOffset, byteLength).forEach((_, i, bytes) => bytes[i] = float() * 256);
      return array;
    });
  const hrtime: RecordedFunction["wrap"] = (original, answer) => {
    const bigint = (): bigint => (original as unknown as typeof process.hrtime).bigint();
    const whole = pinnedTo(() => [Math.floor(time() / 1000), time() % 1000 * 1e6])(original, answer);
    return Object.assign(whole, { bigint: () => answer(bigint, () => BigInt(time()) * 1_000_000n) });
  };
  const date: RecordedFunction["wrap"] = (original, answer) =>
    new Proxy(original, {
      apply: (target) => answer(() => target(), () => new Date(time()).toString()),
      construct: (target, args, newTarget: Callable) => {
        const make = (given: readonly unknown[]): object => Reflect.construct(target, given, newTarget);
        return args.length > 0 ? make(args) : answer(() => make([]), () => make([time()])) as object;
      },
    });
  return [
    { name: "Math.random", source: "random", holder: Math, wrap: pinnedTo(float) },
    { name: "crypto.randomUUID", source: "random", holder: crypto, wrap: pinnedTo(uuid) },
    { name: "crypto.getRandomValues", source: "random", holder: crypto, wrap: fillRandom },
    { name: "Date.now", source: "clock", holder: Date, wrap: pinnedTo(time) },
    { name: "performance.now", source: "clock", holder: performance, wrap: pinnedTo(time) },
    { name: "process.hrtime", source: "clock", holder: process, wrap: hrtime },
    { name: "new Date", source: "clock", holder: globalThis, wrap: date },
  ];
}

/** Replaces a function by a wrapper. The result puts it back, unless other code has replaced the wrapper since. */
export function replaceFunction(holder: object, key: string, wrap: (original: Callable) => Callable): () => void {
  const fields = holder as Record<string, Callable>;
  const [before, original] = [Object.getOwnPropertyDescriptor(holder, key), fields[key]];
  if (original === undefined || (before === undefined ? !Object.isExtensible(holder) : !before.configurable)) {
    return () => {};
  }
  const wrapper = wrap(original);
  Object.defineProperty(holder, key, { configurable: true, enumerable: true, writable: true, value: wrapper });
  return () => {
    if (fields[key] !== wrapper) return;
    if (before === undefined) delete fields[key];
    else Object.defineProperty(holder, key, before);
  };
}

// --- combinators

/**
 * Records calls of `Math.random`, `crypto` and clocks; draws inside `Rng.withRandom` are not counted.
 *
 * @param pinned Sources that return the same numbers in every recorder: draws of a fixed seed, and a clock that advances 1 ms a call.
 */
export function recordAmbient(pinned: readonly AmbientSource[] = []): Recorder {
  const counts = new Map<string, { source: AmbientSource; count: number; first: string }>();
  let active = false;
  const functions = recordedFunctions();
  const answerOf = ({ name, source }: RecordedFunction): Answer => (original, fixed) => {
    // Code may keep a reference to the wrapper beyond the run.
    if (!active) return original();
    const seen = counts.get(name);
    if (seen === undefined) counts.set(name, { source, count: 1, first: callerIn(currentStack()) });
    else seen.count++;
    return pinned.includes(source) ? fixed() : original();
  };
  return {
    during: async (run) => {
      const restores = functions.map((one) =>
        replaceFunction(one.holder, /\w+$/.exec(one.name)![0], (original) => one.wrap(original, answerOf(one)))
      );
      active = true;
      try {
        return await run();
      } finally {
        active = false;
        for (const restore of restores.toReversed()) restore();
      }
    },
    calls: () => [...counts].map(([name, call]) => ({ name, ...call })),
  };
}

/** The sentence about calls of one function. */
export function callText({ name, count, first }: Call): string {
  return `${name} was called ${count === 1 ? "once" : `${count} times`}, first at ${first}`;
}
