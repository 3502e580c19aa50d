/**
 * A sequence-to-sequence network with attention that learns to write dates in the form of ISO 8601: "3 JAN 2019" is 2019-01-03.
 *
 *     bun examples/dates.ts [days]             1024 by default; in Deno: deno run -A examples/dates.ts
 *
 * @module
 */
import { directory, fit, Retention, Rng } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import process from "node:process";

const count = Number(process.argv[2] ?? 1024);
const [inputLength, outputLength, units, batchSize, epochs] = [12, 10, 16, 24, 8];
const months = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
// The code 0 pads an input, and starts an output.
const inputAlphabet = "_0123456789/, ABCDEFGJLMNOPRSTUVY";
const outputAlphabet = "_0123456789-";

// --- the dates

type Day = readonly [year: number, month: number, day: number];

const two = (n: number): string => String(n).padStart(2, "0");

const formats: readonly ((date: Day) => string)[] = [
  ([year, month, day]) => `${day} ${months[month - 1]} ${year}`,
  ([year, month, day]) => `${months[month - 1]} ${two(day)}, ${year}`,
  ([year, month, day]) => `${month}/${day}/${year}`,
];

function iso([year, month, day]: Day): string {
  return `${year}-${two(month)}-${two(day)}`;
}

/** The days of a century in random order. */
function shuffledDays(): readonly Day[] {
  const days = Array.from({ length: 36525 }, (_, i): Day => {
    const date = new Date(Date.UTC(1950, 0, 1 + i));
    return [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate()];
  });
  tf.util.shuffle(days);
  return days;
}

function encode(texts: readonly string[], alphabet: string, length: number): tf.Tensor2D {
  const codes = texts.map((text) => [...text.padEnd(length, "_")].map((character) => alphabet.indexOf(character)));
  return tf.tensor2d(codes, [texts.length, length]);
}

/** The inputs of the encoder, those of the decoder (the characters before each one), and the targets. */
function tensors(days: readonly Day[]): [tf.Tensor[], tf.Tensor] {
  const pairs = days.flatMap((day) => formats.map((format) => [format(day), iso(day)] as const));
  const read = encode(pairs.map(([input]) => input), inputAlphabet, inputLength);
  const written = encode(pairs.map(([, output]) => `_${output.slice(0, -1)}`), outputAlphabet, outputLength);
  const output = encode(pairs.map(([, output]) => output), outputAlphabet, outputLength);
  return [[read, written], tf.oneHot(output.toInt(), outputAlphabet.length)];
}

// --- the network

/** The last step of a sequence. */
class LastStep extends tf.layers.Layer {
  static className = "LastStep";

  override computeOutputShape([batch, , width]: tf.Shape): tf.Shape {
    return [batch!, width!];
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [sequence] = [inputs].flat() as tf.Tensor3D[];
    return tf.gather(sequence!, sequence!.shape[1] - 1, 1);
  }
}
tf.serialization.registerClass(LastStep);

function buildModel(): tf.LayersModel {
  const read = tf.input({ shape: [inputLength] });
  const written = tf.input({ shape: [outputLength] });
  const embedding = (alphabet: string): tf.layers.Layer =>
    tf.layers.embedding({ inputDim: alphabet.length, outputDim: units });
  const encoded = tf.layers.lstm({ units, returnSequences: true })
    .apply(embedding(inputAlphabet).apply(read)) as tf.SymbolicTensor;
  const last = new LastStep({}).apply(encoded) as tf.SymbolicTensor;
  const decoded = tf.layers.lstm({ units, returnSequences: true })
    .apply(embedding(outputAlphabet).apply(written), { initialState: [last, last] }) as tf.SymbolicTensor;
  const scores = tf.layers.dot({ axes: [2, 2] }).apply([decoded, encoded]);
  const attention = tf.layers.activation({ activation: "softmax", name: "attention" }).apply(
    scores,
  ) as tf.SymbolicTensor;
  const context = tf.layers.dot({ axes: [2, 1] }).apply([attention, encoded]) as tf.SymbolicTensor;
  const combined = tf.layers.concatenate().apply([context, decoded]);
  const hidden = tf.layers.dense({ units, activation: "tanh" }).apply(combined);
  const output = tf.layers.dense({ units: outputAlphabet.length, activation: "softmax" }).apply(hidden);
  const model = tf.model({ inputs: [read, written], outputs: output as tf.SymbolicTensor });
  model.compile({ optimizer: tf.train.adam(0.01), loss: "categoricalCrossentropy" });
  return model;
}

/** Writes a date, one character after another. */
function convert(model: tf.LayersModel, input: string): string {
  return tf.tidy(() => {
    const read = encode([input], inputAlphabet, inputLength);
    let written = "_";
    while (written.length <= outputLength) {
      const soFar = encode([written.slice(0, outputLength)], outputAlphabet, outputLength);
      const codes = (model.predict([read, soFar]) as tf.Tensor).argMax(-1).dataSync();
      written += outputAlphabet[codes[written.length - 1]!];
    }
    return written.slice(1);
  });
}

const at = { epoch: 0 };
const batches = Math.ceil(count * formats.length / batchSize);

const callbacks: tf.CustomCallbackArgs = {
  onEpochBegin: (epoch) => void (at.epoch = epoch),
  onBatchEnd: (batch, logs) =>
    console.log(`step ${at.epoch * batches + batch + 1}/${epochs * batches}  loss ${logs?.["loss"]?.toFixed(4)}`),
  onEpochEnd: (epoch, logs) => console.log(`epoch ${epoch + 1}  validation loss ${logs?.["val_loss"]?.toFixed(4)}`),
};

await tf.setBackend("cpu");
const store = directory(process.argv[3] ?? "runs/dates", { keep: Retention.latest(3) });
const [days] = Rng.withRandom(Rng.make("days"))(shuffledDays);
const [x, y] = tensors(days.slice(0, count));
const validationData = tensors(days.slice(-8));
const args = { epochs, batchSize, validationData, callbacks };
const [model] = Rng.withRandom(Rng.make("weights"))(buildModel);
await fit({ to: store, every: 2, with: { at } })(model, x, y, args);
for (const [i, day] of days.slice(-3).entries()) {
  const input = formats[i]!(day);
  const output = convert(model, input);
  console.log(`${input.padEnd(inputLength)}  ${output}  ${output === iso(day) ? "right" : `wrong: ${iso(day)}`}`);
}
