/** A training whose step throws, to the edge of the program. */
import { Loader, pipe, runOrThrow, train } from "../../mod.ts";

function myOwnLine(): never {
  throw new RangeError("mine");
}

const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(1));
await runOrThrow(train<object, number[]>({ loader, step: () => myOwnLine() })({ cursor: Loader.start(loader) }));
