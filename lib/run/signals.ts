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
 * The same signal within so many milliseconds is the first one again: a program that started this one passes on what its whole group has received.
 */
const oneStop = 100;

/**
 * Listens until the first signal. A second one has its usual effect, so that it can end a step that hangs.
 *
 * @param to The signals to listen to.
 */
export function listenForSignals(to: readonly Signal[]): SignalListener {
  let received: Signal | undefined;
  const listeners = to.map((signal) =>
    [signal, (): void => {
      if (received !== undefined) return;
      received = signal;
      for (const [other, listener] of listeners) if (other !== signal) process.off(other, listener);
      setTimeout(close, oneStop).unref();
    }] as const
  );
  for (const [signal, listener] of listeners) process.on(signal, listener);
  function close(): void {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
  return { received: () => received, close };
}
