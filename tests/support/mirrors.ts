/**
 * The remote stores of mirrors: what a process sees of them, and how they fail.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import type { StoreFailed } from "../../lib/errors/mod.ts";
import { newLocationState, type Store, storeFailed, type StoreOptions } from "../../lib/store/mod.ts";
import { memory } from "../../lib/store/memory.ts";
import { storeOn } from "../../lib/store/s3/s3_store.ts";
import { type Fate, simulatedBucket } from "./simulated_bucket.ts";

// --- types

/** What happens between a process and a remote store. */
export interface Switch {
  /** Commits fail; requests to a bucket are lost, or their answers are. */
  fails?: boolean;
  lists?: boolean;
  /** Commits wait for it. */
  gate?: Promise<void> | undefined;
}

/** A remote store. */
export interface Remote {
  /** The store as a new process sees it. */
  readonly open: (on: Switch) => Store;
  /** Carries out a commit whose answer was lost. */
  readonly arrive: () => void;
  /** A process dies, and with it what it has sent. */
  readonly forget: () => void;
}

// --- constructors

/** A store as another process sees it, which remembers nothing. */
export function afresh(store: Store): Store {
  const state = newLocationState();
  return Object.freeze({ ...store, place: () => state });
}

/** The error of a remote store that fails. */
export const offline: StoreFailed = storeFailed("write", "remote", "ENETUNREACH", "the network is unreachable");

/** A store that fails, or waits, before each commit while the switch says so. */
export function switched(store: Store, on: Switch): Store {
  return Object.freeze<Store>({
    ...store,
    list: () => on.lists === false ? Promise.resolve(E.left(offline)) : store.list(),
    begin: async () => {
      const begun = await store.begin();
      if (E.isLeft(begun)) return begun;
      return E.right({
        ...begun.right,
        commit: (manifest, condition) => async () => {
          await on.gate;
          if (!on.fails) return await begun.right.commit(manifest, condition)();
          await begun.right.abort();
          return E.left(offline);
        },
      });
    },
  });
}

const none = (): void => {};

/** A store in memory. */
function memoryRemote(options: StoreOptions): Remote {
  const store = memory(options);
  return { open: (on) => switched(afresh(store), on), arrive: none, forget: none };
}

/** A store in a bucket. While the switch says that it fails, each request meets one of these fates in turn. */
function bucketRemote(options: StoreOptions): Remote {
  const server = simulatedBucket({ page: 3 });
  const fates: readonly Fate[] = ["lost", "answer lost", "late", "answered", "answer lost", "twice", "lost"];
  let met = 0;
  return {
    open: (on) => {
      const client = server.client({
        pause: async (kind, apply) => {
          if (kind === "create" && apply !== undefined) await on.gate;
        },
        fate: (kind) => {
          const fate = on.fails === true ? fates[met++ % fates.length]! : "answered";
          return fate === "late" && kind !== "create" ? "lost" : fate;
        },
        wait: () => Promise.resolve(),
      });
      return storeOn(client, "runs/digits", options, newLocationState());
    },
    arrive: () => server.late.shift()?.(),
    forget: () => void (server.late.length = 0),
  };
}

/** Kinds of remote stores. */
export const remotes: Readonly<Record<string, (options: StoreOptions) => Remote>> = {
  memory: memoryRemote,
  "a bucket": bucketRemote,
};
