/**
 * Keys: those of the options, of the environment, or of the provider chain of AWS.
 *
 * Keys are kept until shortly before they expire. The chain (profiles, containers, instances, web identities) is the optional package
 * `@aws-sdk/credential-provider-node`, which is loaded only where there are no other keys.
 *
 * @module
 */

import { aName, exactRecord, ifGiven, must, type Rule } from "../../validation/mod.ts";

// --- types

/** The keys that sign requests. */
export interface S3Keys {
  /** The public name of the key. */
  readonly accessKeyId: string;
  /** The secret, which only signs requests and is never sent. */
  readonly secretAccessKey: string;
  /** The token of temporary keys. */
  readonly sessionToken?: string;
  /** When temporary keys expire: a function that gives them is called again five minutes before. */
  readonly expiration?: Date;
}

/** Keys, and how to get new ones. */
export interface KeySource {
  /** The current keys. It rejects if there are none, with an error whose `code` is `ENOKEYS`. */
  readonly current: () => Promise<S3Keys>;
  /** Forgets keys that the server said have expired; false if there can be no others. */
  readonly renew: () => boolean;
}

/** The type of keys. */
export const aKeySet: Rule = exactRecord({ accessKeyId: aName, secretAccessKey: aName }, {
  sessionToken: ifGiven(aName),
  expiration: ifGiven(must("a Date", (value) => value instanceof Date && !Number.isNaN(value.getTime()))),
});

/** Keys are renewed so many milliseconds before they expire. */
const margin = 5 * 60_000;
/** Keys of a function that are younger than this, in milliseconds, are not asked for again when they are refused. */
const youngest = 10_000;

const packageName = "@aws-sdk/credential-provider-node";

// --- constructors

function noKeys(message: string): Error {
  return Object.assign(new Error(message), { code: "ENOKEYS" });
}

function keysOfEnvironment(): S3Keys | undefined {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey, AWS_SESSION_TOKEN: sessionToken } =
    process.env;
  if (!accessKeyId || !secretAccessKey) return undefined;
  return { accessKeyId, secretAccessKey, ...(sessionToken && { sessionToken }) };
}

/** Which variables of the two keys have no value, as a sentence. */
function missingVariables(): string {
  const names = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"];
  const missing = names.filter((name) => !process.env[name]);
  return missing.length === 1 ? `${missing[0]} is not set` : `${names.join(" and ")} are not set`;
}

type Provide = () => Promise<S3Keys>;

/** The provider chain of AWS. The name of its package is no literal, so that bundlers leave it out. */
async function chain(load: (name: string) => Promise<unknown>): Promise<Provide> {
  const module = await load(packageName).catch((cause: unknown) => {
    const { code, message }: { readonly code?: unknown; readonly message?: unknown } = Object(cause);
    const isMissing = code === "ERR_MODULE_NOT_FOUND" && String(message).includes(packageName);
    const found = isMissing ? "is not installed" : `cannot be loaded: ${String(message).split("\n")[0]}`;
    throw noKeys(`${missingVariables()}, and ${packageName} ${found}`);
  });
  const { defaultProvider } = module as { readonly defaultProvider: () => Provide };
  return defaultProvider();
}

/** Calls a provider when there are no keys, or when they expire soon; concurrent requests share a call. */
function cached(provide: Provide): KeySource {
  let keys: Promise<S3Keys> | undefined;
  let expires = Infinity;
  let since = 0;
  return {
    current: () => {
      if (keys === undefined || Date.now() > expires - margin) {
        expires = Infinity;
        since = Date.now();
        const asked = provide().then((found) => {
          expires = found.expiration?.getTime() ?? Infinity;
          return found;
        });
        asked.catch(() => keys = undefined);
        keys = asked;
      }
      return keys;
    },
    renew: () => {
      if (Date.now() - since < youngest) return false;
      keys = undefined;
      return true;
    },
  };
}

/**
 * The source of keys.
 *
 * @param given Keys, or a function that gives them; undefined for those of the environment, then of the provider chain.
 * @param load Loads the package of the chain.
 */
export function keySource(
  given: S3Keys | (() => Promise<S3Keys>) | undefined,
  load: (name: string) => Promise<unknown> = (name) => import(name),
): KeySource {
  if (typeof given === "object") return { current: () => Promise.resolve(given), renew: () => false };
  if (typeof given === "function") {
    return cached(async () => {
      const keys = await given();
      if (aKeySet.is(keys)) return keys as S3Keys;
      throw noKeys("the function `credentials` gave no record with accessKeyId and secretAccessKey");
    });
  }
  let provide: Promise<Provide> | undefined;
  return cached(async () => {
    const keys = keysOfEnvironment();
    if (keys !== undefined) return keys;
    provide ??= chain(load);
    const providing = await provide.catch((cause: unknown) => {
      provide = undefined;
      throw cause;
    });
    return providing().catch((cause: unknown) => {
      throw noKeys(`${missingVariables()}, and ${packageName} says: ${String(Object(cause).message)}`);
    });
  });
}
