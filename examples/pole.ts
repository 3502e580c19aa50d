/**
 * An actor-critic that learns to balance a pole on a cart. The simulator answers asynchronously, as one in another process would.
 *
 *     bun examples/pole.ts [steps]             600 by default; in Deno: deno run -A examples/pole.ts
 *
 * @module
 */
import { directory, resume, Retention, Rng, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { setImmediate } from "node:timers/promises";

const [moves, gamma] = [16, 0.97];
const steps = Number(process.argv[2] ?? 600);

/** The position and speed of the cart, the angle and speed of the pole. */
type Pole = readonly [x: number, speed: number, angle: number, turn: number];

/** Pushes the cart to the left (0) or the right (1) for a fiftieth of a second, in gusts of wind. */
async function push([x, speed, angle, turn]: Pole, action: number): Promise<readonly [pole: Pole, fell: boolean]> {
  await setImmediate();
  const force = (20 * action - 10 + 8 * (Math.random() - 0.5) + 0.05 * turn * turn * angle) / 1.1;
  const swing = (9.8 * angle - force) / 0.62;
  const pole: Pole = [x + speed / 50, speed + force / 50, angle + turn / 50, turn + swing / 50];
  return Math.abs(x) > 2.4 || Math.abs(angle) > 0.2 ? [[0, 0, 0, 0], true] : [pole, false];
}

type Agent = ReturnType<typeof newAgent>;

function newAgent() {
  const network = (last: object): tf.LayersModel =>
    tf.sequential({
      layers: [tf.layers.dense({ inputShape: [4], units: 24, activation: "tanh" }), tf.layers.dense(last as never)],
    });
  const [actor, critic] = [network({ units: 2, activation: "softmax" }), network({ units: 1 })];
  const [optimizer, pole]: [tf.Optimizer, Pole] = [tf.train.adam(0.01), [0, 0, 0, 0]];
  return { actor, critic, optimizer, pole, step: 0, falls: 0 };
}

async function predict(model: tf.LayersModel, pole: Pole): Promise<number> {
  const prediction = tf.tidy(() => model.predict(tf.tensor2d([[...pole]])) as tf.Tensor);
  const [value] = await prediction.data();
  prediction.dispose();
  return value!;
}

/** Makes some moves, and trains both networks on them. */
async function train(agent: Agent): Promise<void> {
  const made: { pole: Pole; action: number; fell: boolean; gain: number }[] = [];
  while (made.length < moves) {
    const [pole, action] = [agent.pole, Math.random() < await predict(agent.actor, agent.pole) ? 0 : 1];
    const [next, fell] = await push(pole, action);
    [agent.pole, agent.falls] = [next, agent.falls + (fell ? 1 : 0)];
    made.push({ pole, action, fell, gain: 0 });
  }
  let gain = await predict(agent.critic, agent.pole);
  for (const move of made.toReversed()) move.gain = gain = move.fell ? -1 : 0.03 + gamma * gain;
  const { value, grads } = tf.variableGrads(() => {
    const poles = tf.tensor2d(made.map(({ pole }) => [...pole]));
    const surprise = tf.tensor1d(made.map(({ gain }) => gain)).sub((agent.critic.apply(poles) as tf.Tensor).flatten());
    const taken = tf.oneHot(tf.tensor1d(made.map(({ action }) => action), "int32"), 2);
    const chance = (agent.actor.apply(poles) as tf.Tensor).mul(taken).sum(-1).log();
    return surprise.square().sub(chance.mul(tf.tensor1d(surprise.dataSync() as Float32Array))).mean();
  });
  agent.optimizer.applyGradients(grads);
  tf.dispose([value, grads]);
}

await tf.setBackend("cpu");
const store = directory(process.argv[3] ?? "runs/pole", { keep: Retention.latest(3) });
const agent = await resume(store)(Rng.withRandom(Rng.make("weights"))(newAgent)[0]);
while (agent.step < steps) {
  await Rng.withRandom(Rng.make(agent.step))(() => train(agent));
  if (++agent.step % 10 === 0) console.log(`step ${agent.step}/${steps}  falls ${agent.falls}`);
  if (agent.step % 10 === 0) await saveState(store)(agent);
}
