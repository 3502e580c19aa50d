/**
 * Signals of the operating system that ask a training to stop.
 *
 * @module
 */
import process from "node:process";

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

/**
 * Listens until the first signal. A second one has its usual effect, so that it can end a step that hangs.
 *
 * @param to The signals to listen to.
 */
export function listenForSignals(to: readonly Signal[]): SignalListener {
  let received: Signal | undefined;
  const listeners = to.map((signal) =>
    [signal, (): void => {
      received ??= signal;
      close();
    }] as const
  );
  for (const [signal, listener] of listeners) process.on(signal, listener);
  function close(): void {
    for (const [signal, listener] of listeners) process.off(signal, listener);
  }
  return { received: () => received, close };
}
