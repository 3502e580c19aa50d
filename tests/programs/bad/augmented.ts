/** The loader draws noise from Math.random. */
import { Loader, pipe } from "../../../mod.ts";
import { loader as good } from "./common.ts";

export { fresh, step } from "./common.ts";

export const loader: Loader.Loader<readonly number[]> = pipe(
  good,
  Loader.map((batch) => batch.map((x) => x + 0.1 * Math.random())),
);
