/**
 * Misspelled and wrong options. Each comment has what compilers show first.
 *
 * @module
 */
import {
  captureState,
  directory,
  exactBackend,
  fit,
  fitDataset,
  list,
  Loader,
  loadState,
  memory,
  pipe,
  plan,
  readSnapshot,
  restoreInto,
  restoreState,
  resume,
  Retention,
  Rng,
  saver,
  saveState,
  Scaler,
  Schedule,
  train,
  writeSnapshot,
} from "@dogear/dogear";
import { fromCsv, fromFolder, fromJsonLines, fromLines, fromNpy, fromParquet } from "@dogear/dogear/data";
import { proveResume } from "@dogear/dogear/prove";

const store = memory();
const snapshot = captureState({ a: 1 });
const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(2));
interface State {
  readonly cursor: Loader.Cursor;
}

// @ts-expect-error: 'evry' does not exist in type 'FitOptions
fit({ to: store, evry: 50, seed: 42 });
// @ts-expect-error: Property 'to' is missing in type '{ seed: number; }' but required in type 'FitOptions<object, Readonly<Record<never, never>>, never>'.
fit({ seed: 42 });
// @ts-expect-error: 'nam' does not exist in type 'FitOptions
fit({ to: store, with: { n: [1] }, nam: "x" });
// @ts-expect-error: 'evry' does not exist in type 'FitOptions
fitDataset({ to: store, evry: 50 });
// @ts-expect-error: 'metric' does not exist in type 'SaveOptions
saveState(store, { metric: { loss: 1 } });
// @ts-expect-error: 'metric' does not exist in type 'SaveOptions
saveState(store, { types: [], metric: { loss: 1 } });
// @ts-expect-error: Argument of type 'string' is not assignable to parameter of type 'Store'.
saveState("runs/x");
// @ts-expect-error: 'whenBuzy' does not exist in type 'SaverOptions
saver(store, { whenBuzy: "skip" });
// @ts-expect-error: Type '"skipped"' is not assignable to type
saver(store, { whenBusy: "skipped" });
// @ts-expect-error: 'fallbak' does not exist in type 'LoadOptions
loadState(store, { fallbak: true });
// @ts-expect-error: Type 'string' is not assignable to type 'CheckpointReference | undefined'.
loadState(store, { checkpoint: "12" });
// @ts-expect-error: 'onReports' does not exist in type 'LoadOptions
resume(store, { onReports: () => {} });
// @ts-expect-error: 'fallbak' does not exist in type 'ReadOptions
readSnapshot(store, { fallbak: true });
// @ts-expect-error: 'metric' does not exist in type 'WriteOptions
writeSnapshot(store, { metric: {} });
// @ts-expect-error: 'codec' does not exist in type 'Options
captureState({ a: 1 }, { codec: {} });
// @ts-expect-error: 'type' does not exist in type 'Options
restoreState(snapshot, { type: [] });
// @ts-expect-error: 'skp' does not exist in type 'RestoreOptions
restoreInto({ a: 1 }, { skp: ["a"] });
// @ts-expect-error: 'kep' does not exist in type 'StoreOptions
directory("x", { kep: Retention.latest(3) });
// @ts-expect-error: Type 'number' is not assignable to type 'Retention'.
directory("x", { keep: 3 });
// @ts-expect-error: 'kep' does not exist in type 'StoreOptions
memory({ kep: Retention.latest(3) });
// @ts-expect-error: 'runs' does not exist in type 'PruneOptions
plan(store, { runs: "x" });
// @ts-expect-error: Type '"SIGTEM"' is not assignable to type 'Signal'. Did you mean '"SIGTERM"'?
train({ loader, step: (s: State) => s, stopOn: ["SIGTEM"] });
// @ts-expect-error: 'evry' does not exist in type 'TrainSavePolicy
train({ loader, step: (s: State) => s, save: { to: store, evry: 10 } });
// @ts-expect-error: 'too' does not exist in type 'TrainSavePolicy
train({ loader, step: (s: State) => s, save: { too: store, every: 10 } });
// @ts-expect-error: 'stepp' does not exist in type 'TrainOptions
train({ loader, stepp: (s: State) => s });
// @ts-expect-error: 'droplast' does not exist
Loader.batch(2, { droplast: true });
// @ts-expect-error: 'lenght' does not exist
Loader.fromIndexed({ lenght: 1, at: () => 1 });
// @ts-expect-error: 'rnk' does not exist in type 'Share
Loader.shard({ rnk: 0, world: 2 });
// @ts-expect-error: 'step' does not exist
Schedule.cosine({ base: 1e-2, step: 15 });
// @ts-expect-error: 'base' does not exist
Schedule.oneCycle({ base: 1e-2, stps: 15 });
// @ts-expect-error: 'growth' does not exist in type 'Partial
Scaler.make({ growth: 2 });
// @ts-expect-error: Argument of type '"mersenn"' is not assignable to parameter of type 'Algorithm | undefined'.
Rng.make(1, "mersenn");
// @ts-expect-error: Expected 0 arguments, but got 1.
exactBackend({ wam: true });
list(store);
// @ts-expect-error: 'indx' does not exist in type 'LinesOptions
fromLines("x", { indx: true });
// @ts-expect-error: 'codecs' does not exist in type 'JsonLinesOptions
fromJsonLines("x", { codecs: {} });
// @ts-expect-error: 'seperator' does not exist in type 'CsvOptions
fromCsv("x", { seperator: ";" });
// @ts-expect-error: 'lables' does not exist
fromFolder("x", { lables: true });
// @ts-expect-error: Expected 1 arguments, but got 2.
fromNpy("x", { y: 1 });
// @ts-expect-error: 'column' does not exist in type 'ParquetOptions
fromParquet("x", { column: ["a"] });
// @ts-expect-error: 'pacience' does not exist in type 'ProveOptions
proveResume({ fresh: () => ({ cursor: Loader.start(loader) }), step: (s: State) => s, loader, pacience: 1 });
