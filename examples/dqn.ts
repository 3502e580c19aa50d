/**
 * A deep Q-network that learns to play snake, from a replay memory, with a target network and an epsilon that decays.
 *
 *     bun examples/dqn.ts [steps]             4000 by default; in Deno: deno run -A examples/dqn.ts
 *
 * @module
 */
import { directory, resume, Retention, Rng, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";

const [size, capacity, batchSize, gamma, syncEvery] = [5, 1000, 32, 0.95, 100];
const steps = Number(process.argv[2] ?? 4000);
const epsilon = { first: 0.6, last: 0.02, steps: 0.6 * steps };

// --- the game

/** Squares are numbered row by row; the snake's head comes first. */
interface Board {
  readonly snake: readonly number[];
  readonly fruit: number;
}

/** A board, the action, the reward, whether the game was over, and the board after it. */
type Experience = readonly [board: Board, action: number, reward: number, over: boolean, next: Board];

const directions = [[0, -1], [1, 0], [0, 1], [-1, 0]] as const;

function place(snake: readonly number[]): Board {
  const free = Array.from({ length: size * size }, (_, square) => square).filter((square) => !snake.includes(square));
  return { snake, fruit: free[Math.floor(Math.random() * free.length)] ?? -1 };
}

function newGame(): Board {
  const head = size * Math.floor(Math.random() * size) + 1 + Math.floor(Math.random() * (size - 1));
  return place([head, head - 1]);
}

function move(board: Board, action: number): Experience {
  const [head = 0, ...body] = board.snake;
  const [dx, dy] = directions[action]!;
  const [x, y] = [head % size + dx, Math.floor(head / size) + dy];
  const to = y * size + x;
  if (x < 0 || y < 0 || x === size || y === size || body.includes(to)) return [board, action, -1, true, board];
  if (to === board.fruit) return [board, action, 1, false, place([to, ...board.snake])];
  return [board, action, -0.02, false, { ...board, snake: [to, ...board.snake.slice(0, -1)] }];
}

/** Three planes: head, body, fruit. */
function planes(boards: readonly Board[]): tf.Tensor2D {
  const area = size * size;
  const values = new Float32Array(3 * area * boards.length);
  boards.forEach(({ snake, fruit }, i) => {
    snake.forEach((square, k) => values[3 * area * i + (k === 0 ? 0 : area) + square] = 1);
    values[3 * area * i + 2 * area + fruit] = 1;
  });
  return tf.tensor2d(values, [boards.length, 3 * area]);
}

// --- the agent

interface Agent {
  readonly online: tf.LayersModel;
  readonly target: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly memory: Experience[];
  board: Board;
  step: number;
  games: number;
  fruits: number;
}

function network(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.dense({ inputShape: [3 * size * size], units: 48, activation: "relu" }),
      tf.layers.dense({ units: 24, activation: "relu" }),
      tf.layers.dense({ units: directions.length }),
    ],
  });
}

function newAgent(): Agent {
  const [online, target] = [network(), network()];
  target.setWeights(online.getWeights());
  const counts = { step: 0, games: 0, fruits: 0 };
  return { online, target, optimizer: tf.train.adam(1e-3), memory: [], board: newGame(), ...counts };
}

/** Makes a move, at random or the network's best, and stores it in place of the oldest one. */
function play(agent: Agent): void {
  const decayed = Math.min(1, agent.step / epsilon.steps);
  const explores = Math.random() < epsilon.first + decayed * (epsilon.last - epsilon.first);
  const action = explores
    ? Math.floor(Math.random() * directions.length)
    : tf.tidy(() => (agent.online.predict(planes([agent.board])) as tf.Tensor).argMax(-1).dataSync()[0]!);
  const experience = move(agent.board, action);
  const [, , reward, over, next] = experience;
  agent.memory[agent.step % capacity] = experience;
  agent.board = over ? newGame() : next;
  agent.step++;
  if (over) agent.games++;
  if (reward === 1) agent.fruits++;
}

/** Trains the online network on a batch from the memory. The target network gives the expected rewards. */
function learn({ online, target, optimizer, memory }: Agent): void {
  const batch = Array.from({ length: batchSize }, () => memory[Math.floor(Math.random() * memory.length)]!);
  const { value, grads } = tf.variableGrads(() => {
    const taken = tf.oneHot(tf.tensor1d(batch.map(([, action]) => action), "int32"), directions.length);
    const values = (online.apply(planes(batch.map(([board]) => board))) as tf.Tensor).mul(taken).sum(-1);
    const best = (target.predict(planes(batch.map(([, , , , next]) => next))) as tf.Tensor).max(-1);
    const goesOn = tf.tensor1d(batch.map(([, , , over]) => over ? 0 : gamma));
    return tf.losses.meanSquaredError(best.mul(goesOn).add(tf.tensor1d(batch.map(([, , reward]) => reward))), values);
  }, online.getWeights(true) as tf.Variable[]);
  optimizer.applyGradients(grads);
  tf.dispose([value, grads]);
}

await tf.setBackend("cpu");
const store = directory(process.argv[3] ?? "runs/dqn", { keep: Retention.latest(3) });
const [fresh] = Rng.withRandom(Rng.make("weights"))(newAgent);
const agent = await resume(store)(fresh);
while (agent.step < steps) {
  Rng.withRandom(Rng.make(`play ${agent.step}`))(() => play(agent));
  Rng.withRandom(Rng.make(`learn ${agent.step}`))(() => learn(agent));
  if (agent.step % syncEvery === 0) agent.target.setWeights(agent.online.getWeights());
  if (agent.step % 20 === 0) {
    console.log(`step ${agent.step}/${steps}  games ${agent.games}  fruits ${agent.fruits}`);
  }
  if (agent.step % 20 === 0) await saveState(store)(agent);
}
console.log(`${agent.games} games, ${(agent.fruits / agent.games).toFixed(2)} fruits a game`);
