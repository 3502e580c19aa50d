/**
 * What the contract's samples infer, checked by both compilers and never run: no type argument is written anywhere.
 *
 * @module
 */
import {
  type Awaitable,
  type AwaitableIO,
  type AwaitableIOEither,
  type AwaitableTask,
  captureState,
  diff,
  type Differences,
  directory,
  fit,
  fitDataset,
  id,
  list,
  Loader,
  type LoadError,
  loadModel,
  loadState,
  memory,
  type Overtaken,
  pipe,
  readSnapshot,
  readTensor,
  release,
  type RestoreError,
  restoreInto,
  restoreState,
  resume,
  Retention,
  Rng,
  runMain,
  runOrThrow,
  type Saved,
  type SaveError,
  saver,
  saveState,
  Scaler,
  Schedule,
  setLearningRate,
  skip,
  type Snapshot,
  type StateTree,
  type Store,
  type StoreFailed,
  type TensorData,
  train,
  writeSnapshot,
} from "@dogear/dogear";
import { mirrored } from "@dogear/dogear/s3";
import { jsonLines, tensorBoard, type Tracker } from "@dogear/dogear/trackers";
import * as tf from "@tensorflow/tfjs";
import type { Either } from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import * as t from "io-ts";

// --- what two types are

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends (<X>() => X extends B ? 1 : 2) ? true : false;

/** Compiles if the value is of exactly the type. */
function isExactly<B>(): <A>(value: A, ...same: Equal<A, B> extends true ? [] : ["the types differ"]) => void {
  return () => {};
}

interface Digit {
  readonly pixels: number[];
  readonly label: number;
}

declare const digits: readonly Digit[];
declare function buildModel(): tf.Sequential;

const fresh = {
  model: buildModel(),
  optimizer: tf.train.adam(1e-3),
  schedule: Schedule.cosine({ base: 1e-3, steps: 285 }),
  rng: Rng.make(42),
  cursor: Loader.start(Loader.fromArray(digits)),
  step: 0,
};
type Fresh = typeof fresh;
declare function trainStep(state: Fresh, batch: readonly Digit[]): Fresh;

const batches = pipe(
  Loader.fromArray(digits),
  Loader.shuffle(7),
  Loader.batch(32),
  Loader.repeat(5),
);
const store = directory("runs/digits", { keep: Retention.latest(3) });

// --- a training script

/** `resume` gives exactly the fresh components' type, and literals are widened as a script wants. */
export async function script(): Promise<void> {
  let state = await runOrThrow(
    resume(store)({
      model: buildModel(),
      optimizer: tf.train.adam(1e-3),
      schedule: Schedule.cosine({ base: 1e-3, steps: 285 }),
      rng: Rng.make(42),
      cursor: Loader.start(batches),
      step: 0,
    }),
  );
  isExactly<Fresh>()(state);
  for await (const [batch, cursor] of Loader.from(state.cursor)(batches)) {
    isExactly<Digit[]>()(batch);
    isExactly<Loader.Cursor>()(cursor);
    state = { ...trainStep(state, batch), cursor };
    if (state.step % 50 === 0) isExactly<Saved>()(await runOrThrow(saveState(store)(state)));
  }
}

/** The loop as a value: an unannotated step, synchronous or not, knows the state and the batch. */
export async function pipeline(): Promise<void> {
  const done = await pipe(
    resume(store)(fresh),
    TE.flatMap(train({
      loader: batches,
      step: (state, batch) => ({ ...trainStep(state, batch), step: state.step + 1 }),
      save: { to: store, every: 50 },
      stopOn: ["SIGTERM", "SIGINT"],
    })),
    runOrThrow,
  );
  isExactly<Fresh>()(done);
  isExactly<Promise<void>>()(
    pipe(resume(store)(fresh), TE.flatMap(train({ loader: batches, step: (state) => state })), runMain),
  );
  const later = await pipe(
    resume(memory())(fresh),
    TE.flatMap(train({
      loader: batches,
      step: async (state, batch) => ({ ...state, step: state.step + await Promise.resolve(batch.length) }),
    })),
    runOrThrow,
  );
  isExactly<Fresh>()(later);
  await pipe(
    resume(store)(fresh),
    TE.flatMap(
      train({ loader: batches, step: (state, batch) => trainStep({ ...state, step: state.step + 1 }, batch) }),
    ),
    runMain,
  );
  const awaited = await train({
    loader: batches,
    step: (state: Fresh, batch, { epoch, batch: number, cursor }) => {
      isExactly<Digit[]>()(batch);
      isExactly<number>()(epoch);
      isExactly<number>()(number);
      isExactly<Loader.Cursor>()(cursor);
      return trainStep(state, batch);
    },
    onEpochEnd: async (state, epoch) => ({ ...state, step: await Promise.resolve(epoch) }),
    until: (state) => state.step > 100,
    metrics: ({ step }) => ({ step }),
    save: { to: store, epochs: 1, metrics: ({ step }) => ({ step }) },
  })(fresh);
  isExactly<Fresh>()(awaited);
  const { cursor, ...rest } = fresh;
  const place = await train({
    loader: batches,
    step: (state: typeof rest & { place: Loader.Cursor }) => state,
    cursor: "place",
  })({
    ...rest,
    place: cursor,
  });
  isExactly<typeof rest & { place: Loader.Cursor }>()(place);
}

/** A state without its cursor is an error that names the component. */
export async function withoutCursor(): Promise<void> {
  const { cursor: _, ...rest } = fresh;
  // @ts-expect-error -- Property 'cursor' is missing
  await train({ loader: batches, step: (state: typeof rest) => state })(rest);
  // @ts-expect-error -- Property 'place' is missing
  await train({ loader: batches, step: (state: Fresh) => state, cursor: "place" })(fresh);
  // @ts-expect-error -- Property 'cursor' is missing
  pipe(resume(store)(rest), TE.flatMap(train({ loader: batches, step: (state) => ({ ...state, step: 1 }) })));
  // @ts-expect-error -- the component is no cursor
  await train({ loader: batches, step: (state: { cursor: number }) => state })({ cursor: 1 });
}

// --- pure, in memory

/** Snapshots carry the components' type; restores give it back. */
export function fork(): void {
  const snapshot = captureState(fresh);
  isExactly<Snapshot<Fresh>>()(snapshot);
  const [a, b] = [restoreState(snapshot), restoreState(snapshot)];
  isExactly<Either<RestoreError, Fresh>>()(a);
  isExactly<Either<RestoreError, Fresh>>()(b);
  isExactly<AwaitableIOEither<RestoreError, Fresh>>()(restoreInto(fresh)(snapshot));
  isExactly<AwaitableTask<string>>()(id(snapshot));
  isExactly<AwaitableTask<Differences>>()(diff(snapshot, captureState({ other: 1 })));
  isExactly<AwaitableIO<void>>()(release(snapshot));
  isExactly<AwaitableIO<void>>()(setLearningRate(fresh.optimizer, Schedule.rate(fresh.schedule)));
  using _released = snapshot;
}

/** Runners without live components give a snapshot of unknown components. */
export function stored(): void {
  isExactly<Awaitable<LoadError, Snapshot<unknown>>>()(readSnapshot(store));
  isExactly<Awaitable<SaveError, Saved>>()(writeSnapshot(store)(captureState(fresh)));
  const loaded = loadState(store, { checkpoint: 12, fallback: true, only: ["step"], rename: { old: "step" } })(fresh);
  isExactly<Awaitable<LoadError, Fresh>>()(loaded);
  const saving = saver(store, { whenBusy: "latest" }).save(fresh);
  isExactly<Awaitable<SaveError, void>>()(saving);
  list(store);
  const best = { best: "val_loss", mode: "min" } as const;
  const resumed = resume(store, { checkpoint: { best: "val_loss", mode: "max" } })(fresh);
  isExactly<Awaitable<LoadError, Fresh>>()(resumed);
  isExactly<Awaitable<LoadError, Snapshot<unknown>>>()(readSnapshot(store, { checkpoint: best }));
  isExactly<Awaitable<LoadError, tf.LayersModel>>()(loadModel(store, { checkpoint: best, name: "critic" }));
  // @ts-expect-error: whether lower or higher is better is not guessed
  loadState(store, { checkpoint: { best: "val_loss" } });
}

/** Spans of time, notes, predicates and tensors. */
export function labels(tensor: TensorData): void {
  Retention.any(Retention.within("7d"), Retention.onePer("1.5h"), Retention.steps([1000, 5000]));
  // @ts-expect-error -- a unit that is none
  Retention.within("7 days");
  // @ts-expect-error -- a number has no unit
  Retention.onePer(3600);
  saveState(store, { note: { lr: 1e-3, optimizer: "adam" } })(fresh);
  // @ts-expect-error -- a note is flat
  saveState(store, { note: { adam: { lr: 1e-3 } } });
  isExactly<Awaitable<LoadError, TensorData>>()(readTensor(store, { path: "model/dense/kernel", rows: [0, 10] }));
  if (tensor.dtype === "int32") isExactly<Int32Array>()(tensor.values);
  if (tensor.dtype === "BigInt64Array") isExactly<BigInt64Array>()(tensor.values);
  train({ loader: batches, step: trainStep, save: { to: store, when: ({ step }) => step > 10 } });
  // @ts-expect-error -- a predicate does not wait
  train({ loader: batches, step: trainStep, save: { to: store, when: async ({ step }) => await step > 10 } });
}

/** Trackers: any object with `log` and `close` is one. */
export async function tracked(): Promise<void> {
  const log = jsonLines("runs/digits/log.jsonl");
  isExactly<Required<Tracker>>()(log);
  isExactly<Required<Tracker>>()(tensorBoard("runs/digits/tensorboard"));
  const own: Tracker = { log: (values, step) => console.log(step, values), close: () => Promise.resolve() };
  const asynchronous: Tracker = { log: async (values) => void await Promise.resolve(values), close: async () => {} };
  train({
    loader: batches,
    step: trainStep,
    metrics: ({ step }) => ({ step }),
    trackers: [log, own, asynchronous],
    logEvery: 10,
    save: { to: store, every: 50 },
  });
  fit({ to: store, trackers: [log], logEvery: 10 });
  fitDataset({ to: store, trackers: [own] });
  await log.start({ step: 0 });
  await log.start({ step: 0, run: null, parent: null });
  log.log({ loss: 0.5 }, 1);
  log.histogram("kernel", tf.zeros([2]), 1);
  log.histogram("kernel", Float32Array.of(1), 1);
  isExactly<Promise<void>>()(log.flush());
  await log.close();
  // @ts-expect-error -- a log needs its step
  log.log({ loss: 0.5 });
  // @ts-expect-error -- the values of a log are numbers
  log.log({ loss: "0.5" }, 1);
  // @ts-expect-error -- a tracker closes
  fit({ to: store, trackers: [{ log: own.log }] });
}

/** Accelerate's guide: the rest of an epoch. */
export async function guide(): Promise<void> {
  const oneEpoch = pipe(Loader.fromArray(digits), Loader.batch(2));
  for await (const [batch] of Loader.iterate(pipe(oneEpoch, skip(100)))) isExactly<Digit[]>()(batch);
  isExactly<Loader.Loader<Digit[]>>()(pipe(oneEpoch, skip(1)));
  isExactly<Iterable<number>>()(pipe([1, 2, 3], skip(1)));
  async function* lines(): AsyncGenerator<string> {
    yield await Promise.resolve("");
  }
  isExactly<AsyncIterable<string>>()(pipe(lines(), skip(1)));
  isExactly<Promise<Digit[]>>()(pipe(oneEpoch, Loader.at(41_203)));
}

// --- interfaces and codecs

/** A user's own interface, which has no index signature. */
interface Run {
  readonly model: tf.LayersModel;
  best: number | null;
  done: boolean;
}
declare const run: Run;

class Vocabulary {
  readonly words: ReadonlyMap<string, number> = new Map();
}
declare const VocabularyCodec: t.Type<Vocabulary, StateTree>;

/** An interface will do; a codec decides the type of its own component and of no other. */
export function interfaces(): void {
  isExactly<Snapshot<Run>>()(captureState(run));
  isExactly<Either<RestoreError, Run>>()(restoreState(captureState(run)));
  saveState(store)(run);

  const Best = t.union([t.null, t.number]);
  const codecs = { vocabulary: VocabularyCodec, best: Best };
  const state = { vocabulary: new Vocabulary(), best: null, step: 0 };
  const snapshot = captureState(state, { codecs });
  const restored = restoreState(snapshot, { codecs });
  if (restored._tag === "Right") {
    isExactly<Vocabulary>()(restored.right.vocabulary);
    isExactly<number | null>()(restored.right.best);
    isExactly<number>()(restored.right.step);
  }
  const resumed = resume(store, { codecs })(state);
  type Resumed = typeof resumed extends TE.TaskEither<LoadError, infer A> ? A : never;
  isExactly<number | null>()({} as Resumed["best"]);
  saveState(store, { codecs })(state);

  // @ts-expect-error -- a codec of a name that no component has
  captureState({ step: 0 }, { codecs: { vocabulary: VocabularyCodec } });
  // @ts-expect-error -- a component that is not what its codec knows
  captureState({ vocabulary: 1 }, { codecs: { vocabulary: VocabularyCodec } });
  // @ts-expect-error -- components are named
  captureState(1);
  // @ts-expect-error -- a step gives back the state it was given
  train({ loader: batches, step: (state: Fresh) => state.step });
}

// --- the toolkit's values

/** Draws and updates are curried, data last, and give the next value beside the result. */
export function values(): void {
  isExactly<readonly [number, Rng.Rng]>()(Rng.float(fresh.rng));
  isExactly<readonly [number, Rng.Rng]>()(pipe(fresh.rng, Rng.int(1, 6)));
  isExactly<readonly [Float64Array, Rng.Rng]>()(pipe(fresh.rng, Rng.floats(3)));
  const drawing = Rng.withRandom(fresh.rng);
  isExactly<readonly [string, Rng.Rng]>()(drawing(() => "drawn"));
  isExactly<readonly [boolean | null, Rng.Rng]>()(drawing((): boolean | null => null));
  isExactly<readonly [never, Rng.Rng]>()(drawing(() => {
    throw new Error();
  }));
  isExactly<readonly [unknown, Rng.Rng]>()(drawing((): unknown => 1));
  isExactly<Promise<readonly [string, Rng.Rng]>>()(drawing(async () => await Promise.resolve("drawn")));
  isExactly<Promise<readonly [number, Rng.Rng]>>()(drawing((): PromiseLike<number> => Promise.resolve(1)));
  isExactly<readonly [string, Rng.Rng] | Promise<readonly [number, Rng.Rng]>>()(
    drawing((): string | Promise<number> => "drawn"),
  );
  isExactly<Schedule.Schedule>()(Schedule.next(Schedule.warmup(10)(fresh.schedule)));
  const scaler = Scaler.make({ growthInterval: 100 });
  const { grads, overflow } = Scaler.unscale(scaler)({ kernel: tf.scalar(1) });
  isExactly<{ kernel: tf.Scalar }>()(grads);
  isExactly<tf.Scalar>()(overflow);
  isExactly<Scaler.Scaler>()(Scaler.update(true)(scaler));
}

/** A mirror is a store whose uploads can be waited for. */
export function mirror(local: Store, remote: Store): void {
  const { drain } = mirrored(local, remote, {
    onFailed: (error) => isExactly<"StoreFailed" | "Overtaken">()(error._tag),
  });
  isExactly<Awaitable<StoreFailed | Overtaken, void>>()(drain);
}

/** Recursive types are captured, also through arrays. */
export function recursive(tree: StateTree, nested: Nested): void {
  isExactly<Snapshot<{ tree: StateTree; nested: Nested }>>()(captureState({ tree, nested }));
}
type Nested = number | readonly Nested[];
