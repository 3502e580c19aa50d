/**
 * A generative adversarial network that learns to draw handwritten digits.
 *
 *     bun examples/gan.ts [steps]              1500 by default; in Deno: deno run -A examples/gan.ts
 *
 * @module
 */
import { directory, resume, Retention, Rng, saveState } from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import { readFile } from "node:fs/promises";
import process from "node:process";

const [latent, batchSize, softOne] = [16, 8, 0.95];
const steps = Number(process.argv[2] ?? 1500);

async function readImages(): Promise<tf.Tensor4D> {
  const text = await readFile(new URL("./data/digits.csv", import.meta.url), "utf8");
  const pixels = text.trim().split("\n").map((line) => line.split(",").slice(0, 64).map((value) => Number(value) / 16));
  return tf.tensor4d(pixels.flat(), [pixels.length, 8, 8, 1]);
}

interface Gan {
  readonly generator: tf.LayersModel;
  readonly discriminator: tf.LayersModel;
  readonly forGenerator: tf.Optimizer;
  readonly forDiscriminator: tf.Optimizer;
}

function buildGan(): Gan {
  const generator = tf.sequential({
    layers: [
      tf.layers.dense({ inputShape: [latent], units: 48 }),
      tf.layers.batchNormalization(),
      tf.layers.reLU(),
      tf.layers.dense({ units: 64, activation: "sigmoid" }),
      tf.layers.reshape({ targetShape: [8, 8, 1] }),
    ],
  });
  const discriminator = tf.sequential({
    layers: [
      tf.layers.conv2d({ inputShape: [8, 8, 1], filters: 6, kernelSize: 3, strides: 2, padding: "same" }),
      tf.layers.leakyReLU({ alpha: 0.2 }),
      tf.layers.dropout({ rate: 0.3 }),
      tf.layers.flatten(),
      tf.layers.dense({ units: 24 }),
      tf.layers.leakyReLU({ alpha: 0.2 }),
      tf.layers.dense({ units: 1 }),
    ],
  });
  return {
    generator,
    discriminator,
    forGenerator: tf.train.adam(2e-3, 0.5),
    forDiscriminator: tf.train.adam(1e-3, 0.5),
  };
}

function generate(generator: tf.LayersModel, count: number, training: boolean): tf.Tensor4D {
  return generator.apply(tf.randomUniform([count, latent], -1, 1), { training }) as tf.Tensor4D;
}

/** The loss of a discriminator's answers about images that are all real, or all generated. */
function cost(discriminator: tf.LayersModel, images: tf.Tensor, real: number): tf.Scalar {
  const logits = discriminator.apply(images, { training: true }) as tf.Tensor;
  return tf.losses.sigmoidCrossEntropy(tf.fill(logits.shape, real), logits);
}

function weights(model: tf.LayersModel): tf.Variable[] {
  return model.getWeights(true) as tf.Variable[];
}

/** Trains both networks on a batch drawn at random, each with its own optimizer: their losses. */
function trainStep({ generator, discriminator, ...optimizers }: Gan, images: tf.Tensor4D): readonly number[] {
  return tf.tidy(() => {
    const real = tf.gather(images, tf.randomUniform([batchSize], 0, images.shape[0], "int32"));
    const fake = generate(generator, batchSize, true);
    const discerned = optimizers.forDiscriminator.minimize(
      () => tf.add(cost(discriminator, real, softOne), cost(discriminator, fake, 0)),
      true,
      weights(discriminator),
    );
    const tricked = optimizers.forGenerator.minimize(
      () => cost(discriminator, generate(generator, 2 * batchSize, true), softOne),
      true,
      weights(generator),
    );
    return [discerned!.dataSync()[0]!, tricked!.dataSync()[0]!];
  });
}

function draw(pixels: Float32Array): string {
  const rows = Array.from({ length: 8 }, (_, y) => [...pixels.subarray(8 * y, 8 * y + 8)]);
  return rows.map((row) => row.map((value) => " .:+#"[Math.round(value * 4)]).join(" ")).join("\n");
}

await tf.setBackend("cpu");
const images = await readImages();
const store = directory(process.argv[3] ?? "runs/gan", { keep: Retention.latest(3) });
const [gan] = Rng.withRandom(Rng.make("weights"))(buildGan);
for (let { step } = await resume(store)({ ...gan, step: 1 }); step <= steps; step++) {
  const [[dLoss, gLoss]] = Rng.withRandom(Rng.make(step))(() => trainStep(gan, images));
  if (step % 4 === 0) {
    console.log(`step ${step}/${steps}  discriminator ${dLoss!.toFixed(4)}  generator ${gLoss!.toFixed(4)}`);
  }
  if (step % 4 === 0) await saveState(store)({ ...gan, step: step + 1 });
}
console.log(draw(tf.tidy(() => generate(gan.generator, 1, false).dataSync<"float32">())));
