/**
 * Processes that share a simulated bucket, under a random schedule: any of them may pause at any request for hours, lose its answer, or be killed.
 *
 * @module
 */

import { setImmediate } from "node:timers/promises";
import type { Bucket } from "../../lib/store/s3/bucket.ts";
import type { Fate, RequestKind, Schedule, Simulation } from "./simulated_bucket.ts";

// --- types

/** What can go wrong, each with its probability. */
export interface Faults {
  /** For each create, that it is lost, that its answer is, that it arrives late or twice. The client repeats other requests, so they rarely fail. */
  readonly create: Readonly<Record<Exclude<Fate, "answered">, number>>;
  readonly others: Readonly<Record<"lost" | "answer lost", number>>;
  /** For each step of the schedule, that a process is killed, or pauses, and that the clock advances by minutes to days. */
  readonly kill: number;
  readonly freeze: number;
  readonly jump: number;
}

/** A request or a timer that waits for the schedule. */
interface Waiting {
  readonly process: number;
  readonly kind: RequestKind | "timer";
  readonly go: () => void;
  readonly apply: (() => void) | undefined;
  /** The clock when it goes on. */
  readonly due: number;
}

/** Processes under one schedule. */
export interface Processes {
  /** Starts a process. It is never told that it was killed. */
  readonly start: (program: (bucket: Bucket, random: () => number) => Promise<void>) => void;
  /** Runs them until each has ended, was killed or failed. It rejects with the exception of a program. */
  readonly run: () => Promise<void>;
}

const minute = 60_000;
const jumps = [minute, 20 * minute, 61 * minute, 7 * 60 * minute, 13 * 60 * minute, 25 * 60 * minute];

// --- constructors

/** Random numbers from 0 to 1 (Steele and Vigna's mulberry32 variant). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Processes on a server. */
export function processesOn(server: Simulation, seed: number, faults: Faults): Processes {
  const random = randomFrom(seed);
  const waiting: Waiting[] = [];
  const dead = new Set<number>();
  let frozen: number | undefined;
  let started = 0;
  let failure: { readonly cause: unknown } | undefined;

  const take = <A>(from: A[]): A => from.splice(Math.floor(random() * from.length), 1)[0]!;

  function scheduleOf(process: number): Schedule {
    const wait = (kind: Waiting["kind"], due: number, apply?: () => void): Promise<void> =>
      // The promise of a killed process never resolves.
      new Promise((go) => {
        if (!dead.has(process)) waiting.push({ process, kind, go, apply, due });
      });
    return {
      pause: (kind, apply) => wait(kind, 0, apply),
      wait: (milliseconds) => wait("timer", server.now + milliseconds),
      fate: (kind: RequestKind) => {
        const chances: Partial<Record<Fate, number>> = kind === "create" ? faults.create : faults.others;
        let left = random();
        for (const [fate, chance] of Object.entries(chances)) {
          left -= chance;
          if (left < 0) return fate as Fate;
        }
        return "answered";
      },
    };
  }

  /** A request of a killed process may be on its way. */
  function kill(process: number): void {
    dead.add(process);
    for (let i = waiting.length - 1; i >= 0; i--) {
      if (waiting[i]!.process !== process) continue;
      const [{ apply }] = waiting.splice(i, 1) as [Waiting];
      if (apply !== undefined && random() < 0.5) server.late.push(apply);
    }
  }

  function step(): void {
    const chance = random();
    if (chance < faults.kill) return kill(waiting[Math.floor(random() * waiting.length)]!.process);
    if (chance < faults.kill + faults.freeze) {
      // Most often just before a commit.
      const creates = waiting.filter(({ kind, apply }) => kind === "create" && apply !== undefined);
      const some = creates.length > 0 && random() < 0.7 ? creates : waiting;
      frozen = random() < 0.3 ? undefined : some[Math.floor(random() * some.length)]!.process;
      return;
    }
    if (chance < faults.kill + faults.freeze + faults.jump) {
      server.now += jumps[Math.floor(random() * jumps.length)]!;
      return;
    }
    if (server.late.length > 0 && random() < 0.1) return take(server.late)();
    const awake = waiting.filter(({ process }) => process !== frozen);
    const next = take(awake.length > 0 ? awake : [...waiting]);
    waiting.splice(waiting.indexOf(next), 1);
    server.now = Math.max(server.now + 1, next.due);
    next.go();
  }

  return {
    start: (program) => {
      const process = started++;
      program(server.client(scheduleOf(process)), random).catch((cause: unknown) => (failure ??= { cause }));
    },
    run: async () => {
      for (;;) {
        // Everything else that the programs do takes microtasks alone.
        await setImmediate();
        if (failure !== undefined) throw failure.cause;
        if (waiting.length === 0) break;
        step();
      }
      while (server.late.length > 0) take(server.late)();
    },
  };
}
