/**
 * A training by `fit`, saved at each batch: `fit.ts <folder>`. It prints `saved <step>` after each save, and at its end `done` and a digest of
 * all it has left. It waits a little after each save, so that it can be killed in between.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import process from "node:process";
import { directory, fit, Retention, runOrThrow } from "../../mod.ts";
import { digest, networks, objects, outcome, telling, type Told } from "../support/fits.ts";

await tf.setBackend("cpu");
const [path = ""] = process.argv.slice(2);
const { build, x, y, args } = networks[0]!;
const told: Told = { calls: [] };
const [custom, stopping] = objects(telling(told), 50);
const store = directory(path, { keep: Retention.latest(2) });
const onSaved = ({ step }: { readonly step: number | null }): void => void process.stdout.write(`saved ${step}\n`);
const model = build();
const history = await runOrThrow(
  fit({ to: store, every: 1, seed: 5, with: told, onSaved })(model, x(), y(), {
    ...args,
    epochs: 8,
    batchSize: 6,
    validationSplit: 0.2,
    callbacks: [custom, stopping],
  }),
);
process.stdout.write(`done ${digest(await outcome(model, history, told, stopping))}\n`);
