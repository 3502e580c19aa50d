/**
 * Every kind of object that the toolkit can capture.
 *
 * @module
 */
import { type AnyKind, valueKind } from "./state/mod.ts";
import { Cursor } from "./loader/mod.ts";
import { Rng, Scaler, Schedule, settingsOf } from "./values/mod.ts";
import { fieldKinds, optimizerKind } from "./tfjs/optimizers/mod.ts";
import { layerKind, modelKind } from "./tfjs/layers/mod.ts";
import { tensorKind, variableKind } from "./tfjs/mod.ts";

// --- constructors

const scalerOptions = ({ tracker: _, ...options }: Scaler.Scaler): unknown => options;

/**
 * All kinds. A value is captured by the first that recognises it.
 *
 * The last argument of a kind compares what the script chose, to report what a restore overrides. It leaves out what training changes: the
 * state of a generator, the position of a schedule, the counts of a scaler.
 */
export const kinds: readonly AnyKind[] = [
  variableKind,
  tensorKind,
  optimizerKind,
  modelKind,
  layerKind,
  valueKind("Rng", Rng.codec, "Rng", undefined, (live, saved) => [
    { algorithm: live.algorithm },
    { algorithm: saved.algorithm },
  ]),
  valueKind("Cursor", Cursor.codec, "Cursor", Cursor.check),
  valueKind("Schedule", Schedule.codec, "Schedule", undefined, settingsOf),
  valueKind("Scaler", Scaler.codec, "Scaler", undefined, (live, saved) => [scalerOptions(live), scalerOptions(saved)]),
  ...fieldKinds,
];
