/**
 * The law suite of stores, as a function of a store factory.
 *
 * @module
 */

import { argumentLaws } from "./argument_laws.ts";
import { checkpointLaws } from "./checkpoint_laws.ts";
import { bytes, type Laws, left, type MakeStore, numbersOf, read, right, same, save } from "./expect.ts";
import { partLaws } from "./part_laws.ts";
import { checkOptionNames, demand, ifGiven, must, type OptionNames } from "../../validation/mod.ts";
import type { Store, StoreOptions } from "../mod.ts";

// --- types

/** One law of stores, and its check on the stores of a factory. */
export interface StoreLaw {
  /** The law, in a sentence. It is unique, and is the title of a test. */
  readonly law: string;
  /** Rejects with an `Error` that says the law, what was expected and what was found. */
  readonly check: () => Promise<void>;
}

/** Options of {@link storeLaws}. */
export interface StoreLawOptions {
  /**
   * Opens the location of a store again, as another process would.
   * @default the laws of reopening are left out
   */
  readonly reopen?: (store: Store) => Store | Promise<Store>;
}

// --- constructors

const optionNames = { reopen: true } satisfies OptionNames<StoreLawOptions>;
const aFunction = must("a function", (u) => typeof u === "function");

/**
 * The laws that every store keeps, as checks for a test runner.
 *
 * The checks use no test runner, and draw the same bytes in every run. They kill no process: test that with your store's own program.
 *
 * @param make Makes a new, empty store with these options for each call; several exist at a time.
 * @param options How to open a location again.
 * @returns The laws. Each check rejects with an `Error` that says the law, what was expected and what was found.
 *
 * @example
 * ```ts
 * import { memory } from "@dogear/dogear";
 * import { storeLaws } from "@dogear/dogear/store";
 *
 * // In a test file: for (const { law, check } of storeLaws(memory)) test(law, check);
 * for (const { check } of storeLaws(memory)) await check();
 * ```
 */
export function storeLaws(
  make: (options?: StoreOptions) => Store | Promise<Store>,
  options: StoreLawOptions = {},
): readonly StoreLaw[] {
  demand("make", aFunction, make);
  checkOptionNames("storeLaws", options, optionNames);
  demand("reopen", ifGiven(aFunction), options.reopen);
  const { reopen } = options;
  const laws: Laws = { ...checkpointLaws, ...partLaws, ...argumentLaws, ...(reopen && reopeningLaws(reopen)) };
  return Object.entries(laws).map(([law, check]) => ({
    law,
    check: async () => {
      try {
        await check((options) => Promise.resolve(make(options)));
      } catch (cause) {
        throw new Error(`${law}: ${cause instanceof Error ? cause.message : String(cause)}`, { cause });
      }
    },
  }));
}

function reopeningLaws(reopen: (store: Store) => Store | Promise<Store>): Laws {
  return {
    "a location that is opened again has the same checkpoints": async (make: MakeStore) => {
      const store = await make();
      const checkpoint = await save(store, 3, { a: bytes(1, 2) });
      await save(store, 4);
      right("remove", await store.remove(1)());
      const other = await reopen(store);
      same("list", await numbersOf(other), [checkpoint]);
      same("the part", await read(other, checkpoint, "a"), bytes(1, 2));
      same("the manifest", right("manifest", await other.manifest(checkpoint)()), bytes(3));
    },
    "two stores of one location see each other's commits, and never share a number": async (make: MakeStore) => {
      const store = await make();
      const other = await reopen(store);
      const found = await Promise.all([save(store, 0), save(other, 1), save(store, 2), save(other, 3)]);
      same("the numbers", [...found].sort((a, b) => a - b), [0, 1, 2, 3]);
      for (const one of [store, other]) {
        same("list", await numbersOf(one), [0, 1, 2, 3]);
        for (const [i, number] of found.entries()) {
          same(`manifest ${number}`, right("manifest", await one.manifest(number)()), bytes(i));
        }
      }
      right("remove", await other.remove(1)());
      same("a removed checkpoint", left("manifest", await store.manifest(1)())._tag, "NoCheckpoint");
    },
  };
}
