/**
 * Runs of `runs.ts`, by their names as JSON, in one process on one backend:
 *
 *     prove.ts <backend> <runs> whole                   trains them from start to end
 *     prove.ts <backend> <runs> until <step> <folder>   saves on the way, last at this step, trains on and is killed
 *     prove.ts <backend> <runs> resume <folder>         trains them from there to the end
 *
 * Each line that it prints is one run's `Ends` as JSON.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import "@tensorflow/tfjs-backend-wasm";
import * as TE from "fp-ts/lib/TaskEither.js";
import { join } from "node:path";
import process from "node:process";
import {
  captureState,
  directory,
  id,
  Loader,
  pipe,
  readSnapshot,
  restoreState,
  resume,
  runOrThrow,
  type Store,
  train,
} from "../../mod.ts";
import { advance, batches, type Run, runs, total } from "./runs.ts";

// --- types

/** The ids with which a run ends. */
export interface Ends {
  readonly name: string;
  /** Never interrupted, or restored into live components. */
  readonly id: string;
  /** Restored from the checkpoint alone. */
  readonly alone?: string;
  /** At the saved place of the data, with nothing else restored. */
  readonly cold?: string;
}

// --- the three ways

function idOf(state: object): Promise<string> {
  return id(captureState(state))();
}

function storeOf(folder: string, name: string): Store {
  return directory(join(folder, name));
}

async function until(run: Run, store: Store, step: number): Promise<void> {
  const loader = pipe(batches, Loader.take(step));
  const saved = await pipe(
    resume(store)(run.make()),
    TE.flatMap(train({ loader, step: run.step, save: { to: store, every: 5 } })),
    runOrThrow,
  );
  await advance(run, saved, 2);
}

async function resumed(run: Run, store: Store): Promise<Omit<Ends, "name">> {
  const loader = pipe(batches, Loader.take(total));
  const into = await pipe(resume(store)(run.make()), TE.flatMap(train({ loader, step: run.step })), runOrThrow);
  using snapshot = await runOrThrow(readSnapshot(store));
  const restored = await runOrThrow(TE.fromEither(restoreState(snapshot))) as ReturnType<Run["make"]>;
  const { cursor, step } = restored;
  const alone = await advance(run, restored, total - step);
  const cold = await advance(run, { ...run.make(), cursor, step }, total - step);
  return { id: await idOf(into), alone: await idOf(alone), cold: await idOf(cold) };
}

/** The end of a run that is never interrupted. */
export async function whole(run: Run): Promise<string> {
  return await idOf(await advance(run, run.make(), total));
}

function print(ends: Ends): void {
  process.stdout.write(`${JSON.stringify(ends)}\n`);
}

if (import.meta.main) {
  const [backend = "", names = "[]", command, ...args] = process.argv.slice(2);
  await tf.setBackend(backend);
  for (const [name, run] of Object.entries(runs).filter(([name]) => JSON.parse(names).includes(name))) {
    if (command === "whole") print({ name, id: await whole(run) });
    else if (command === "until") await until(run, storeOf(args[1]!, name), Number(args[0]));
    else print({ name, ...await resumed(run, storeOf(args[0]!, name)) });
  }
  if (command === "until") process.kill(process.pid, "SIGKILL");
}
