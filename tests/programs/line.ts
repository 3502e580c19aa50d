/**
 * Fits y = ax + b to 160 points by Adam, as its arguments say, one after the other.
 *
 *     line.ts store=<path or URL> keep=<n>    where to save, and how many checkpoints to keep
 *     line.ts load[=<n>]  resume  save        each as its function; resuming says where it begins
 *     line.ts until=<step>                    trains to this step of the run, and saves nothing
 *     line.ts train=<step>                    trains to this step by `train`, which saves as these say:
 *     line.ts every=<batches> pause=<ms>      when to save, and how long a step takes beside its computing
 *     line.ts show                            prints the state
 *
 * Its output are lines of JSON, each with one name of `Said`.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as TE from "fp-ts/lib/TaskEither.js";
import process from "node:process";
import {
  captureState,
  explain,
  id,
  Loader,
  loadState,
  pipe,
  resume,
  Retention,
  Rng,
  runOrThrow,
  saveState,
  Schedule,
  setLearningRate,
  type Store,
  train,
} from "../../mod.ts";
import { storeAt } from "../support/stores.ts";

// --- types

/** A state, for tests to compare: `id` is of all of it, `learned` of the variables and the optimizer, which Adam's state is part of. */
export interface Shown {
  readonly id: string;
  readonly learned: string;
  readonly a: number;
  readonly b: number;
  readonly rate: number;
  readonly rands: readonly number[];
  readonly step: number;
}

/** What a line of the output may say. */
export interface Said {
  readonly resumed?: { readonly step: number; readonly fresh: boolean };
  readonly step?: { readonly step: number; readonly epoch: number; readonly loss: number };
  readonly valid?: { readonly epoch: number; readonly loss: number };
  readonly saved?: { readonly checkpoint: number; readonly step: number | null };
  readonly stopped?: { readonly signal: string; readonly checkpoint: number | null; readonly step: number };
  readonly shown?: Shown;
}

type Point = readonly [x: number, y: number];

interface State {
  readonly a: tf.Variable;
  readonly b: tf.Variable;
  readonly optimizer: tf.Optimizer;
  readonly schedule: Schedule.Schedule;
  readonly rng: Rng.Rng;
  readonly rands: readonly number[];
  readonly cursor: Loader.Cursor;
  readonly step: number;
}

// --- the data

/** How many batches an epoch has. */
export const perEpoch = 10;

/** About N(0, 1): the sum of twelve even draws, which has the same bits everywhere. */
function normals(n: number, rng: Rng.Rng): readonly [readonly number[], Rng.Rng] {
  const [draws, next] = Rng.floats(12 * n)(rng);
  return [Array.from({ length: n }, (_, i) => draws.slice(12 * i, 12 * i + 12).reduce((a, b) => a + b) - 6), next];
}

function points(n: number, name: string): readonly Point[] {
  const [draws] = normals(2 * n, Rng.fork(name)(Rng.make(42)));
  return Array.from({ length: n }, (_, i): Point => [draws[i]!, 2 * draws[i]! + 3 + 0.1 * draws[n + i]!]);
}

/** The training points, shuffled anew each epoch, for ever. */
export const batches: Loader.Loader<readonly Point[]> = pipe(
  Loader.fromArray(points(16 * perEpoch, "training")),
  Loader.shuffle(42),
  Loader.batch(16),
  Loader.repeat(),
);

const validation = points(32, "validation");

// --- the run

function make(): State {
  const [[a, b], rng] = normals(2, Rng.make(42));
  return {
    a: tf.variable(tf.scalar(a!)),
    b: tf.variable(tf.scalar(b!)),
    optimizer: tf.train.adam(1e-3),
    schedule: Schedule.step({ base: 1e-3, every: perEpoch, factor: 0.99 }),
    rng,
    rands: [],
    cursor: Loader.start(batches),
    step: 0,
  };
}

function error({ a, b }: State, some: readonly Point[]): tf.Scalar {
  const [x, y] = [tf.tensor1d(some.map(([x]) => x)), tf.tensor1d(some.map(([, y]) => y))];
  return a.mul(x).add(b).sub(y).square().mean();
}

/** One step; after the last one of an epoch, one draw of the generator. */
function advance(state: State, batch: readonly Point[]): State {
  setLearningRate(state.optimizer, Schedule.rate(state.schedule))();
  const loss = tf.tidy(() =>
    state.optimizer.minimize(() => error(state, batch), true, [state.a, state.b])!.dataSync()[0]!
  );
  const [step, epoch] = [state.step + 1, Math.floor(state.step / perEpoch)];
  say({ step: { step, epoch, loss } });
  const next = { ...state, schedule: Schedule.next(state.schedule), step };
  if (step % perEpoch !== 0) return next;
  say({ valid: { epoch, loss: tf.tidy(() => error(state, validation).dataSync()[0]!) } });
  const [rand, rng] = Rng.float(state.rng);
  return { ...next, rng, rands: [...state.rands, rand] };
}

async function show(state: State): Promise<Shown> {
  const { a, b, optimizer, schedule, rands, step } = state;
  using all = captureState(state);
  using learned = captureState({ a, b, optimizer });
  return {
    id: await id(all)(),
    learned: await id(learned)(),
    a: a.dataSync()[0]!,
    b: b.dataSync()[0]!,
    rate: Schedule.rate(schedule),
    rands,
    step,
  };
}

function say(said: Said): void {
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

// --- arguments

async function main(args: readonly string[]): Promise<void> {
  await tf.setBackend("cpu");
  let state = make();
  let [path, keep, every, pause]: [string, number, number | undefined, number] = ["runs", 0, undefined, 0];
  let store: Store = storeAt(path);
  for (const [name = "", value = ""] of args.map((arg) => arg.split("="))) {
    if (name === "store") path = value;
    else if (name === "keep") keep = Number(value);
    if (name === "store" || name === "keep") store = storeAt(path, keep > 0 ? { keep: Retention.latest(keep) } : {});
    else if (name === "every") every = Number(value);
    else if (name === "pause") pause = Number(value);
    else if (name === "load") {
      state = await runOrThrow(loadState(store, value === "" ? {} : { checkpoint: Number(value) })(state));
    } else if (name === "resume") {
      const fresh = state;
      state = await runOrThrow(resume(store)(fresh));
      say({ resumed: { step: state.step, fresh: state === fresh } });
    } else if (name === "save") {
      const { checkpoint, step } = await runOrThrow(saveState(store)(state));
      say({ saved: { checkpoint, step } });
    } else if (name === "until") {
      for await (const [batch, cursor] of Loader.from(state.cursor)(pipe(batches, Loader.take(Number(value))))) {
        state = { ...advance(state, batch), cursor };
      }
    } else if (name === "train") {
      const step = async (before: State, batch: readonly Point[]): Promise<State> => {
        state = advance(before, batch);
        if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
        return state;
      };
      const save = {
        to: store,
        ...(every === undefined ? {} : { every }),
        onSaved: ({ checkpoint, step }: { readonly checkpoint: number; readonly step: number | null }) =>
          say({ saved: { checkpoint, step } }),
      };
      const loader = pipe(batches, Loader.take(Number(value)));
      state = await pipe(
        train<State, readonly Point[]>({ loader, step, save, stopOn: ["SIGTERM", "SIGINT"] })(state),
        TE.orElse((error) => {
          if (error._tag !== "Stopped") throw new Error(explain(error));
          say({ stopped: { signal: error.signal, checkpoint: error.checkpoint ?? null, step: state.step } });
          return TE.right(state);
        }),
        runOrThrow,
      );
    } else if (name === "show") say({ shown: await show(state) });
    else throw new TypeError(`Expected a command of this program, found ${name}`);
  }
}

if (import.meta.main) await main(process.argv.slice(2));
