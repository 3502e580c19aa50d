/**
 * What code takes from its surroundings and no state holds: `Math.random`, and the clocks.
 *
 * Law *no trace*: a watch is in place only while what it watches runs, and answers what would have been answered, unless it is pinned.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import * as Rng from "./rng.ts";

// --- types

/** A source of what no state holds. */
export type Ambient = "random" | "clock";

/** How often a function was called, and from where first. */
export interface Call {
  readonly source: Ambient;
  readonly name: string;
  readonly count: number;
  /** The place in the code, as `path:line:column`. */
  readonly first: string;
}

/** A watch over ambient sources. */
export interface Watch {
  /** Runs something, and counts its calls; what it started and did not await is not counted. */
  readonly during: <A>(run: () => A | PromiseLike<A>) => Promise<A>;
  readonly calls: () => readonly Call[];
}

/** One function to be watched: where it is, and what a pinned one answers, by how often it was called before. */
interface Source {
  readonly name: string;
  readonly source: Ambient;
  readonly holder: object;
  readonly key: string;
  readonly watched: (original: Callable, answer: (own: () => unknown, pinned: () => unknown) => unknown) => Callable;
}

type Callable = (...args: unknown[]) => unknown;

// --- constructors

/** The code of the toolkit and of tfjs, in whose frames nobody looks for the cause. */
const own = new URL(".", import.meta.url).href;
const passed = (place: string): boolean =>
  place.startsWith(own) || place.startsWith(own.replace("file://", "")) || place.includes("/@tensorflow/") ||
  /^(node|ext|native|bun|internal):?/.test(place);

/** The first place outside of toolkit and tfjs in a stack. */
function placeIn(stack: string): string {
  const places = stack.split("\n").flatMap((line) => /((?:\w+:\/\/)?\/[^\s()]*:\d+:\d+)\)?$/.exec(line)?.[1] ?? []);
  const place = places.find((one) => !passed(one)) ?? places.at(-1) ?? "an unknown place";
  const path = place.startsWith("file://") ? fileURLToPath(place.replace(/:\d+:\d+$/, "")) : undefined;
  const full = path === undefined ? place : path + place.slice(place.search(/:\d+:\d+$/));
  const here = `${process.cwd()}/`;
  return full.startsWith(here) ? full.slice(here.length) : full;
}

function stackHere(): string {
  const classOf = Error as { stackTraceLimit?: number };
  const limit = classOf.stackTraceLimit;
  // From a dropout layer to the step it is a long way.
  classOf.stackTraceLimit = 200;
  try {
    return new Error().stack ?? "";
  } finally {
    if (limit === undefined) delete classOf.stackTraceLimit;
    else classOf.stackTraceLimit = limit;
  }
}

/** Numbers that a pinned source gives: the same from watch to watch. */
interface Pinned {
  readonly float: () => number;
  /** Milliseconds: each call is one later than the one before, so that nobody waits for ever. */
  readonly time: () => number;
}

function pinnedNumbers(): Pinned {
  let [rng, time] = [Rng.make("dogear/ambient/1"), 1_700_000_000_000];
  return {
    float: () => {
      const [value, next] = Rng.float(rng);
      rng = next;
      return value;
    },
    time: () => time++,
  };
}

function sources({ float, time }: Pinned): readonly Source[] {
  const simple = (source: Ambient, holder: object, name: string, key: string, value: () => unknown): Source => ({
    name,
    source,
    holder,
    key,
    watched: (original, answer) =>
      function (this: unknown, ...args) {
        return answer(() => original.apply(this, args), value);
      },
  });
  const { crypto } = globalThis;
  return [
    simple("random", Math, "Math.random", "random", float),
    simple("random", crypto, "crypto.randomUUID", "randomUUID", () => {
      const digits = Array.from({ length: 32 }, () => Math.floor(float() * 16).toString(16)).join("");
      return digits.replace(/^(.{8})(.{4}).(.{3}).(.{3})(.{12})$/, "$1-$2-4$3-8$4-$5");
    }),
    {
      name: "crypto.getRandomValues",
      source: "random",
      holder: crypto,
      key: "getRandomValues",
      watched: (original, answer) => (array) =>
        answer(() => original.call(crypto, array), () => {
          const { buffer, byteOffset, byteLength } = array as Uint8Array;
          new Uint8Array(buffer, byteOffset, byteLength).forEach((_, i, bytes) => bytes[i] = float() * 256);
          return array;
        }),
    },
    simple("clock", Date, "Date.now", "now", time),
    simple("clock", performance, "performance.now", "now", time),
    {
      name: "process.hrtime",
      source: "clock",
      holder: process,
      key: "hrtime",
      watched: (original, answer) =>
        Object.assign(
          (...args: unknown[]) =>
            answer(() => original.apply(process, args), () => [Math.floor(time() / 1000), time() % 1000 * 1e6]),
          {
            bigint: () =>
              answer(
                () => (original as unknown as typeof process.hrtime).bigint(),
                () => BigInt(time()) * 1_000_000n,
              ),
          },
        ),
    },
    {
      name: "new Date",
      source: "clock",
      holder: globalThis,
      key: "Date",
      watched: (original, answer) =>
        new Proxy(original, {
          apply: (target) => answer(() => target(), () => new Date(time()).toString()),
          construct: (target, args, newTarget: Callable) => {
            const make = (given: readonly unknown[]): object => Reflect.construct(target, given, newTarget);
            return args.length > 0 ? make(args) : answer(() => make([]), () => make([time()])) as object;
          },
        }),
    },
  ];
}

/** Puts a watched function in place of one, until the result is called; if another has taken its place by then, that stays. */
function install(
  { holder, key, watched }: Source,
  answer: (own: () => unknown, pinned: () => unknown) => unknown,
): () => void {
  const fields = holder as Record<string, Callable>;
  const [before, original] = [Object.getOwnPropertyDescriptor(holder, key), fields[key]];
  if (original === undefined || (before === undefined ? !Object.isExtensible(holder) : !before.configurable)) {
    return () => {};
  }
  const mine = watched(original, answer);
  Object.defineProperty(holder, key, { configurable: true, enumerable: true, writable: true, value: mine });
  return () => {
    if (fields[key] !== mine) return;
    if (before === undefined) delete fields[key];
    else Object.defineProperty(holder, key, before);
  };
}

// --- combinators

/**
 * A watch over `Math.random`, `crypto` and the clocks; draws inside `Rng.withRandom` are not ambient and not counted.
 *
 * @param pinned Sources that are to answer the same for every watch: draws of a fixed seed, and a clock that goes on by 1 ms a call.
 */
export function watch(pinned: readonly Ambient[] = []): Watch {
  const counts = new Map<string, { source: Ambient; count: number; first: string }>();
  let active = false;
  const known = sources(pinnedNumbers());
  const answer = ({ name, source }: Source) => (own: () => unknown, fixed: () => unknown): unknown => {
    // Kept by somebody beyond the watch, it is what it was.
    if (!active) return own();
    const seen = counts.get(name);
    if (seen === undefined) counts.set(name, { source, count: 1, first: placeIn(stackHere()) });
    else seen.count++;
    return pinned.includes(source) ? fixed() : own();
  };
  return {
    during: async (run) => {
      const restored = known.map((source) => install(source, answer(source)));
      active = true;
      try {
        return await run();
      } finally {
        active = false;
        for (const restore of restored.toReversed()) restore();
      }
    },
    calls: () => [...counts].map(([name, call]) => ({ name, ...call })),
  };
}

/** What calls say, for people. */
export function callText({ name, count, first }: Call): string {
  return `${name} was called ${count === 1 ? "once" : `${count} times`}, first at ${first}`;
}
