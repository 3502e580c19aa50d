/** The classic custom loop by hand: `bun examples/classic.loop.ts [folder]` or `deno run -A …`. Kill it, and run it again. */
import { accumulateGrads, directory, resume, saveState, setLearningRate } from "@dogear/dogear";
import { Loader, pipe, Retention, Rng, Schedule } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { buildModel, crossEntropy, type Digit, readDigits } from "./digits_data.ts";

await tf.setBackend("cpu");
const { train, test } = await readDigits(600);
const micros = pipe(Loader.fromArray(train), Loader.shuffle(7), Loader.batch(60));
const batches = pipe(micros, Loader.batch(4), Loader.repeat(60)); // an optimizer step accumulates four micro-batches
const keep = Retention.any(Retention.latest(1), Retention.best(1, "val_loss", "min"));
const store = directory(process.argv[2] ?? "runs/classic", { keep });

const [model, rng] = Rng.withRandom(Rng.make(42))(buildModel);
const optimizer: tf.Optimizer = tf.train.adam();
const cosine = Schedule.cosine({ base: 0.03, steps: Loader.length(batches)! });
const schedule = pipe(cosine, Schedule.warmup(10));
const plateau = Schedule.plateau({ base: 1, factor: 0.5, patience: 2 }); // its rate is a factor of the schedule's
const score = { valLoss: Infinity, best: Infinity, waited: 0 };
const fresh = { model, optimizer, schedule, plateau, rng, ...score, cursor: Loader.start(batches) };
type State = typeof fresh;

function trainStep(state: State, micros: readonly Digit[][]): State {
  setLearningRate(optimizer, Schedule.rate(state.schedule) * Schedule.rate(state.plateau))();
  const gradients = () => accumulateGrads(micros)((micro) => crossEntropy(model, micro, true)).grads;
  const [, rng] = Rng.withRandom(state.rng)(() => tf.tidy(() => optimizer.applyGradients(gradients())));
  return { ...state, rng, schedule: Schedule.next(state.schedule) };
}

function evaluate(state: State): State {
  const valLoss = tf.tidy(() => crossEntropy(model, test, false).dataSync()[0]!);
  const waited = valLoss < state.best ? 0 : state.waited + 1;
  const best = Math.min(valLoss, state.best);
  return { ...state, valLoss, waited, best, plateau: Schedule.next(state.plateau, valLoss) };
}

let state = await resume(store)(fresh);
if (state === fresh) await saveState(store)(state); // the first weights are never lost
for await (const [micros, cursor] of Loader.from(state.cursor)(batches)) {
  if (state.waited === 6) break;
  state = { ...trainStep(state, micros), cursor };
  if (!Loader.isEpochEnd(batches)(cursor)) continue;
  state = evaluate(state);
  console.log(`epoch ${cursor.epoch}  validation loss ${state.valLoss.toFixed(4)}`);
  await saveState(store, { metrics: { val_loss: state.valLoss } })(state);
}
console.log(`best validation loss ${state.best.toFixed(4)}`);
