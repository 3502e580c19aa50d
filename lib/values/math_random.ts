/**
 * `Math.random` replaced for some code only: what a thunk calls, and what it awaits, draws from another source.
 *
 * While such code exists, `Math.random` is a function that asks which code is calling. Synchronous code is known by a variable, code after
 * an `await`, in a timer or in a callback by its asynchronous context. All other code draws from the function that was there before.
 *
 * Law *no trace*: while no such code exists, `Math.random` is the function that was there before.
 *
 * @module
 */
import { AsyncLocalStorage } from "node:async_hooks";

// --- types

/** The code that draws from one source. */
interface Scope {
  readonly random: () => number;
  /** The scope around it. */
  readonly outer: Scope | undefined;
  /** Code that still runs draws from the scope around it. */
  over: boolean;
}

/** A replacement of `Math.random`. */
interface Hook {
  readonly original: () => number;
  readonly hooked: () => number;
  /** How many scopes need it. */
  users: number;
}

// --- constructors

const scopes = new AsyncLocalStorage<Scope>();

/** The scope of the synchronous code that runs now. */
let running: Scope | undefined;

/** The newest replacement. */
let newest: Hook | undefined;

/** The innermost scope of the running code that is not over. */
function scopeNow(): Scope | undefined {
  let scope = running ?? scopes.getStore();
  while (scope?.over) scope = scope.outer;
  return scope;
}

function hookOver(original: () => number): Hook {
  return { original, hooked: () => (scopeNow()?.random ?? original)(), users: 0 };
}

/**
 * Replaces `Math.random` until the result is called.
 *
 * A function that other code puts in its place meanwhile stays, since it may call the one that it replaced.
 */
export function hookRandom(): () => void {
  const current = Math.random;
  if (newest === undefined || (current !== newest.hooked && current !== newest.original)) newest = hookOver(current);
  const hook = newest;
  Math.random = hook.hooked;
  hook.users++;
  let open = true;
  return () => {
    if (open && --hook.users === 0 && Math.random === hook.hooked) Math.random = hook.original;
    open = false;
  };
}

// --- combinators

function within<A>(scope: Scope, thunk: () => A): A {
  const before = running;
  running = scope;
  try {
    return scopes.run(scope, thunk);
  } finally {
    running = before;
  }
}

/**
 * Runs a thunk that draws from a source in place of `Math.random`, while {@link hookRandom} is active; what it starts does so for ever.
 *
 * @param random The source.
 */
export function drawingFromSource<A>(random: () => number, thunk: () => A): A {
  return within({ random, outer: scopeNow(), over: false }, thunk);
}

/** Whether a value can be awaited. */
function isThenable(value: unknown): value is PromiseLike<unknown> {
  return (typeof value === "object" || typeof value === "function") && value !== null &&
    typeof (value as { then?: unknown }).then === "function";
}

/**
 * Runs a thunk that draws from a source in place of `Math.random`, until it has returned, or the promise that it returns has settled.
 *
 * @param random The source.
 * @param end Makes the result from the thunk's value, after the last draw.
 * @returns The result; if the thunk returns a promise, a promise of it.
 */
export function replacingRandom<B>(
  random: () => number,
  thunk: () => unknown,
  end: (value: unknown) => B,
): B | Promise<B> {
  const scope: Scope = { random, outer: scopeNow(), over: false };
  const unhook = hookRandom();
  let settled: Promise<unknown> | undefined;
  const leave = (): void => {
    scope.over = true;
    unhook();
  };
  try {
    const value = within(scope, () => {
      const value = thunk();
      // The work of a task begins when its `then` is called.
      if (isThenable(value)) settled = new Promise((resolve, reject) => value.then(resolve, reject));
      return value;
    });
    if (settled === undefined) return end(value);
  } finally {
    if (settled === undefined) leave();
  }
  return settled.then((value) => {
    leave();
    return end(value);
  }, (reason) => {
    leave();
    throw reason;
  });
}
