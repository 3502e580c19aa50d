/** The classic custom loop with `train`: `bun examples/classic.ts [folder]` or `deno run -A …`. Kill it, and run it again. */
import { accumulateGrads, directory, resume, setLearningRate, train } from "@dogear/dogear";
import { Loader, pipe, Retention, Rng, Schedule } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { buildModel, crossEntropy, readDigits } from "./digits_data.ts";

await tf.setBackend("cpu");
const { train: digits, test } = await readDigits(600);
const micros = pipe(Loader.fromArray(digits), Loader.shuffle(7), Loader.batch(60));
const batches = pipe(micros, Loader.batch(4), Loader.repeat(60)); // an optimizer step accumulates four micro-batches
const keep = Retention.any(Retention.latest(1), Retention.best(1, "val_loss", "min"));
const store = directory(process.argv[2] ?? "runs/classic", { keep });

const [model, rng] = Rng.withRandom(Rng.make(42))(buildModel);
const optimizer: tf.Optimizer = tf.train.adam();
const schedule = pipe(Schedule.cosine({ base: 0.03, steps: Loader.length(batches)! }), Schedule.warmup(10));
const plateau = Schedule.plateau({ base: 1, factor: 0.5, patience: 2 }); // its rate is a factor of the schedule's
const score = { valLoss: NaN, best: Infinity, waited: 0 };
const fresh = { model, optimizer, schedule, plateau, rng, ...score, cursor: Loader.start(batches) };

const done = await train({
  loader: batches,
  step: (s: typeof fresh, micros) => {
    setLearningRate(s.optimizer, Schedule.rate(s.schedule) * Schedule.rate(s.plateau))();
    const gradients = () => accumulateGrads(micros)((micro) => crossEntropy(s.model, micro, true)).grads;
    const [, rng] = Rng.withRandom(s.rng)(() => tf.tidy(() => s.optimizer.applyGradients(gradients())));
    return { ...s, rng, schedule: Schedule.next(s.schedule), valLoss: NaN };
  },
  onEpochEnd: (s, epoch) => {
    const valLoss = tf.tidy(() => crossEntropy(s.model, test, false).dataSync()[0]!);
    console.log(`epoch ${epoch + 1}  validation loss ${valLoss.toFixed(4)}`);
    const waited = valLoss < s.best ? 0 : s.waited + 1;
    return { ...s, valLoss, waited, best: Math.min(valLoss, s.best), plateau: Schedule.next(s.plateau, valLoss) };
  },
  until: ({ waited }) => waited === 6,
  metrics: ({ valLoss }) => ({ val_loss: valLoss }),
  save: { to: store, epochs: 1 },
})(await resume(store)(fresh));
console.log(`best validation loss ${done.best.toFixed(4)}`);
