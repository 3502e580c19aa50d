/**
 * `Math.random` replaced for some code only: what a thunk calls, and what it awaits, draws from another source.
 *
 * During a synchronous call `Math.random` is the source itself. While a promise is awaited it is a hook, which knows by the asynchronous
 * context whether the caller is such code; all other code draws from the function that was there before.
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

/** During a synchronous call, what `Math.random` is after it. */
let afterwards: (() => number) | undefined;

/** The newest hook. */
let newest: Hook | undefined;

/** The innermost scope of the running code that is not over. */
function currentScope(): Scope | undefined {
  let scope = scopes.getStore();
  while (scope?.over) scope = scope.outer;
  return scope;
}

/**
 * Makes `Math.random` a hook until the result is called.
 *
 * A function that other code puts in its place meanwhile stays, since it may call the one that it replaced.
 */
export function hookRandom(): () => void {
  const original = afterwards ?? Math.random;
  if (newest === undefined || (original !== newest.hooked && original !== newest.original)) {
    newest = { original, hooked: () => (currentScope()?.random ?? original)(), users: 0 };
  }
  const hook = newest;
  hook.users++;
  if (afterwards === undefined) Math.random = hook.hooked;
  else afterwards = hook.hooked;
  return () => {
    if (--hook.users === 0 && Math.random === hook.hooked) Math.random = hook.original;
  };
}

// --- combinators

function within<A>(scope: Scope, thunk: () => A): A {
  const [before, isOutermost] = [Math.random, afterwards === undefined];
  afterwards ??= before;
  Math.random = scope.random;
  try {
    return scopes.run(scope, thunk);
  } finally {
    Math.random = isOutermost ? afterwards : before;
    if (isOutermost) afterwards = undefined;
  }
}

/**
 * Runs a thunk that draws from a source in place of `Math.random`. What it starts draws from it, too, while {@link hookRandom} is active.
 *
 * @param random The source.
 */
export function drawingFromSource<A>(random: () => number, thunk: () => A): A {
  return within({ random, outer: currentScope(), over: false }, thunk);
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
  const scope: Scope = { random, outer: currentScope(), over: false };
  let settled: Promise<unknown> | undefined;
  try {
    const value = within(scope, () => {
      const value = thunk();
      // The work of a task begins when its `then` is called.
      if (isThenable(value)) settled = new Promise((resolve, reject) => value.then(resolve, reject));
      return value;
    });
    if (settled === undefined) return end(value);
  } finally {
    if (settled === undefined) scope.over = true;
  }
  const unhook = hookRandom();
  const leave = (): void => {
    scope.over = true;
    unhook();
  };
  return settled.then((value) => {
    leave();
    return end(value);
  }, (reason) => {
    leave();
    throw reason;
  });
}
