/**
 * A training that is told to end: `preempted.ts <folder or s3 URL> <MiB of state>`. It prints `from <step>`, and each step.
 *
 * @module
 */
import process from "node:process";
import { Loader, pipe, resume, Retention, runMain, train } from "../../mod.ts";
import * as TE from "fp-ts/lib/TaskEither.js";
import { storeAt } from "../support/stores.ts";

// --- types

/** Its state: every value is the step, so that a torn one is seen. */
export interface State {
  readonly step: number;
  readonly cursor: Loader.Cursor;
  readonly model: Float32Array;
}

// --- the training

const loader = pipe(Loader.fromArray([1]), Loader.batch(1), Loader.repeat());

async function step(state: State): Promise<State> {
  await new Promise((resolve) => setTimeout(resolve, 5));
  const next = state.step + 1;
  process.stdout.write(`${next}\n`);
  return { ...state, step: next, model: new Float32Array(state.model.length).fill(next) };
}

async function main([path = "", mebibytes = "1"]: readonly string[]): Promise<void> {
  const store = storeAt(path, { keep: Retention.latest(1) });
  const fresh: State = { step: 0, cursor: Loader.start(loader), model: new Float32Array(2 ** 18 * Number(mebibytes)) };
  await pipe(
    resume(store)(fresh),
    TE.tapIO((state) => () => process.stdout.write(`from ${state.step}\n`)),
    TE.flatMap(train<State, number[]>({ loader, step, save: { to: store, every: 20 }, stopOn: ["SIGTERM"] })),
    runMain,
  );
}

if (import.meta.main) await main(process.argv.slice(2));
