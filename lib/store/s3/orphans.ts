/**
 * Orphans: what killed saves have left in a bucket.
 *
 * @module
 */

import { pipe } from "fp-ts/lib/function.js";
import type { Task } from "fp-ts/lib/Task.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import type { StoreFailed } from "../../errors/mod.ts";
import type { Orphans } from "../mod.ts";
import { dataFolder, type Place } from "./objects.ts";

/** Deletes the data of a save, whatever it has. */
export function removeData(place: Place, data: string): TE.TaskEither<StoreFailed, void> {
  return pipe(
    place.bucket.list(`${dataFolder(place)}${data}/`),
    TE.flatMap(({ objects }) => place.bucket.remove(objects.map(({ key }) => key))),
  );
}

export function orphansOf(_place: Place): Orphans {
  return { list: TE.right([]), remove: () => TE.right([]) };
}

export function sweep(_place: Place): Task<void> {
  return () => Promise.resolve();
}
