/**
 * Every kind of component that this toolkit knows.
 *
 * @module
 */
import { type AnyKind, valueKind } from "./component.ts";
import * as Cursor from "./cursor.ts";
import * as Rng from "./rng.ts";
import * as Scaler from "./scaler.ts";
import * as Schedule from "./schedule.ts";
import { chosen } from "./schedule_kinds.ts";
import { fieldKinds } from "./tfjs/field_kinds.ts";
import { layerKind } from "./tfjs/layer.ts";
import { modelKind } from "./tfjs/model.ts";
import { optimizerKind } from "./tfjs/optimizer.ts";
import { tensorKind } from "./tfjs/tensor.ts";
import { variableKind } from "./tfjs/variable.ts";

// --- constructors

function pair(values: readonly unknown[]): readonly [live: unknown, saved: unknown] {
  return [values[0], values[1]];
}

/** All kinds, in the order in which they are asked whether a value is theirs. */
export const kinds: readonly AnyKind[] = [
  variableKind,
  tensorKind,
  optimizerKind,
  modelKind,
  layerKind,
  // Training moves a generator's state, a schedule's position and a scaler's count of steps: no script chose those.
  valueKind("Rng", Rng.codec, "Rng", undefined, (...rngs) => pair(rngs.map(({ algorithm }) => ({ algorithm })))),
  valueKind("Cursor", Cursor.codec, "Cursor", Cursor.check),
  valueKind("Schedule", Schedule.codec, "Schedule", undefined, chosen),
  valueKind(
    "Scaler",
    Scaler.codec,
    "Scaler",
    undefined,
    (...scalers) => pair(scalers.map(({ tracker: _tracker, ...rest }) => rest)),
  ),
  ...fieldKinds,
];
