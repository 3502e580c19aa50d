/** Steps change nothing but their cursor. */
import { Loader } from "../../../mod.ts";
import { loader } from "./common.ts";

export { loader };

interface Nothing {
  readonly weight: number;
  readonly cursor: Loader.Cursor;
}

export function fresh(): Nothing {
  return { weight: 1, cursor: Loader.start(loader) };
}

export function step(state: Nothing): Nothing {
  return state;
}
