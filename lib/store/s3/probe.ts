/**
 * The probe: whether a bucket refuses to make an object whose key exists. Commits rely on it, and several object stores once ignored the condition.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import * as E from "fp-ts/lib/Either.js";
import type * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../errors/mod.ts";
import { storeFailed } from "../mod.ts";
import type { Bucket } from "./bucket.ts";
import { type BucketLocation, newProbeKey } from "./objects.ts";

// --- constructors

const [first, second] = [Buffer.from("first"), Buffer.from("second")];

/** How often a request of the probe is repeated, and the milliseconds before the first repetition, which double. */
const [mostAttempts, firstWait] = [6, 100];

/** What the bucket did with a second object of one key. */
type Answer = "refused" | "replaced" | "not there";

function ignoresCondition({ location }: Bucket): StoreFailed {
  return storeFailed(
    "commit",
    location,
    "ENOCONDITION",
    "expected the bucket to refuse an object whose key exists, found that it replaced the object. Two saves could then get one number",
    'Use an object store with conditional writes (If-None-Match); for Google Cloud Storage pass { create: "generation" }',
  );
}

/** Makes an object if the key is free, until its answer or a read shows what became of it. */
async function createSurely(bucket: Bucket, key: string, bytes: Uint8Array): Promise<E.Either<StoreFailed, Answer>> {
  for (let attempt = 1;; attempt++) {
    const made = await bucket.create(key, bytes, new Date(bucket.now()))();
    if (E.isRight(made)) return E.right("replaced");
    const found = await bucket.get(key)();
    if (E.isLeft(found)) return found;
    if (found.right !== undefined) {
      if (Buffer.compare(found.right, bytes) === 0) return E.right("replaced");
      // Any other failure may not have reached the bucket, and shows nothing.
      if (made.left.code === "EEXIST") return E.right("refused");
    }
    if (attempt === mostAttempts) return found.right === undefined ? made : E.right("not there");
    await bucket.wait(firstWait * 2 ** attempt)();
  }
}

// --- combinators

/**
 * Checks that a bucket keeps an object whose key exists: of two conditional writes of one new key, the second must be refused. The object is removed again.
 *
 * @param place Where the store is.
 * @returns A failure with code `ENOCONDITION` if the second write replaced the first.
 */
export function probe(place: BucketLocation): TE.TaskEither<StoreFailed, void> {
  const { bucket } = place;
  return async () => {
    const key = newProbeKey(place);
    const made = await createSurely(bucket, key, first);
    if (E.isLeft(made)) return made;
    const again = await createSurely(bucket, key, second);
    // What cannot be removed is some bytes.
    await bucket.remove([key])();
    if (E.isLeft(again)) return again;
    return again.right === "refused" ? E.right(undefined) : E.left(ignoresCondition(bucket));
  };
}
