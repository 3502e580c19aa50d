/**
 * Signals of the operating system that ask a training to stop.
 *
 * @module
 */
import { setTimeout } from "node:timers";
import { shown } from "../validation/mod.ts";

// --- types

/** A signal of the operating system, such as `SIGTERM`. */
export type Signal = "SIGTERM" | "SIGINT" | "SIGHUP" | "SIGUSR1" | "SIGUSR2" | "SIGQUIT";

/** Listens for signals. */
export interface SignalListener {
  /** The first signal that came. */
  readonly received: () => Signal | undefined;
  /** Stops listening. */
  readonly close: () => void;
}

/** The same signal within so many milliseconds asks for one stop. */
const oneStop = 1000;

// --- constructors

/** The signals on which a training can stop. */
export const signals: readonly Signal[] = ["SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"];

/** The signals that Windows delivers: at Ctrl+C, and when the console is closed. Source: libuv's page of `uv_signal_t`. */
const onWindows: readonly Signal[] = ["SIGINT", "SIGHUP"];

/**
 * Throws a `TypeError` if the system delivers none of the signals, so that nothing would ever stop and save. One that it delivers is enough:
 * the same script may run on several systems.
 */
export function checkDelivered(stopOn: readonly Signal[], platform: NodeJS.Platform = process.platform): void {
  if (platform !== "win32" || stopOn.length === 0 || stopOn.some((signal) => onWindows.includes(signal))) return;
  const expected = "SIGINT (Ctrl+C) or SIGHUP (the console is closed)";
  const remedy = "another process ends the training at once, so save with every or seconds";
  throw new TypeError(
    `Expected stopOn to have ${expected}, as Windows delivers no other, found ${shown(stopOn)}: ${remedy}`,
  );
}

/**
 * Listens until the first signal. A second one has its usual effect, so that it can end a step that hangs. The same signal within
 * `oneStop` is the first one again, sent by a program that passes on what its whole group has received. That holds after `close` too, because
 * the process may still be ending.
 *
 * @param to The signals to listen to.
 */
export function listenForSignals(to: readonly Signal[]): SignalListener {
  let received: Signal | undefined;
  const listeners = to.map((signal) =>
    [signal, (): void => {
      if (received !== undefined) return;
      received = signal;
      close();
      const timer = setTimeout(remove, oneStop, signal);
      // Deno gives up its listeners some tenths of a second before it ends, so there the timer keeps the process alive.
      if (process.versions["deno"] === undefined) timer.unref();
    }] as const
  );
  for (const [signal, listener] of listeners) process.on(signal, listener);
  function remove(signal: Signal): void {
    for (const [its, listener] of listeners) if (its === signal) process.off(signal, listener);
  }
  function close(): void {
    for (const signal of to) if (signal !== received) remove(signal);
  }
  return { received: () => received, close };
}
