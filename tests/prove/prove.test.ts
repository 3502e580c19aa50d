/**
 * `proveResume`: proves trainings that resume exactly, and finds the first difference and its cause in those that do not.
 *
 * @module
 */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, before, describe, test } from "node:test";
import type { Either } from "fp-ts/lib/Either.js";
import * as tf from "@tensorflow/tfjs";
import { explain, Loader, type ProveError } from "../../mod.ts";
import { type Proof, proveResume } from "../../lib/prove/mod.ts";
import { left, right } from "../support/laws.ts";
import { fresh, loader, scaledStep, type State, step } from "../programs/bad/common.ts";
import * as proved from "../programs/proved.ts";
import { here, way } from "../programs/dying.ts";
import { batches, runs } from "../programs/runs.ts";
import { torture, triedHere } from "../support/torture.ts";

// --- trainings that resume

describe("same bits: proveResume proves trainings that resume exactly", () => {
  for (const [name, run] of triedHere(Object.entries(runs))) {
    test(name, async () => {
      const at = torture > 4 ? [0, 1, 5, 8, 11] : [0, 5];
      const proof = right(await proveResume({ fresh: run.make, step: run.step, loader: batches, at })());
      const states = at.reduce((sum, from) => sum + 13 - from, 0);
      assert.deepEqual([proof.steps, proof.at, proof.compared, proof.processes], [12, at, states, 0]);
      assert.equal(new Set(proof.ids).size, 13);
      assert(proof.cold > 0);
    });
  }

  test("in new processes", async () => {
    const module = new URL("../programs/proved.ts", import.meta.url);
    const proof = right(await proveResume({ ...proved, process: module, at: [0, 5] })());
    // `until` ends it after three epochs of three batches.
    assert.deepEqual([proof.processes, proof.steps, proof.compared], [2, 9, 2 * (10 + 5)]);
  });
});

test("onEpochEnd: one that keeps something outside the state is found", async () => {
  let epochs = 0;
  const onEpochEnd = (state: State): State => ({ ...state, step: state.step + 100 * ++epochs });
  const proof = left(await proveResume({ fresh, step, loader, onEpochEnd, at: [0, 5] })());
  assert.match(explain(proof), /step: expected 103, found [0-9]+03/);
});

// --- trainings that do not

/** The cause of each mistake, and words of its sentence. */
const mistakes: Readonly<Record<string, readonly [cause: string, words: RegExp]>> = {
  augmented: ["random", /Math\.random was called 3 times, first at .*augmented\.ts:\d+/],
  average: ["unlisted", /the variable average/],
  best: ["captured", /waited: expected 0, found 1/],
  clock: ["clock", /Date\.now was called once, first at .*clock\.ts:\d+/],
  counter: ["captured", /model\/layers\/0\/weights\/kernel\/value, element 0: .*a counter/],
  dropout: ["random", /Rng\.withRandom/],
  map: ["captured", /a Map/],
  optimizer: ["unlisted", /an optimizer of the class Adam/],
  order: ["captured", /first after batch 3/],
  race: ["late", /await in the step/],
  rate: ["rebuilt", /fresh makes something anew/],
  recurrent: ["unlisted", /the states of the layer/],
  seeded: ["random", /not in the state/],
  unused: ["unlisted", /the model/],
  vacuous: ["nothing", /cold start/],
};

/** Mistakes that show only in a new process. */
const loaded: Readonly<Record<string, string>> = { loaded_clock: "clock", loaded_order: "random", best: "loaded" };

interface Training {
  readonly fresh: () => State;
  readonly step: (state: State, batch: readonly number[]) => State | Promise<State>;
  readonly loader: Loader.Loader<readonly number[]>;
}

function addressOf(name: string): string {
  return new URL(`../programs/bad/${name}.ts`, import.meta.url).href;
}

function trainingOf(name: string): Promise<Training> {
  return import(addressOf(name));
}

function causeIn(proof: Either<ProveError, Proof>): string {
  const error = left(proof);
  assert(error._tag === "NotResumable", explain(error));
  return error.cause;
}

describe("nothing silent: proveResume names the cause where a training does not resume exactly", () => {
  for (const [name, [cause, words]] of Object.entries(mistakes)) {
    test(name, async () => {
      const proof = await proveResume(await trainingOf(name))();
      assert.equal(causeIn(proof), cause);
      assert.match(explain(left(proof)), words);
    });
  }

  for (const [name, cause] of Object.entries(loaded)) {
    test(`${name}, in a new process`, async () => {
      // In this process a variable of the module may have its final value; a new process starts without.
      const training = await trainingOf(name);
      const proof = await proveResume({ ...training, process: addressOf(name), at: [1] })();
      assert.equal(causeIn(proof), cause);
      assert.match(explain(left(proof)), /in a new process/);
    });
  }

  test("every program of tests/programs/bad is tried", () => {
    const known = new Set([...Object.keys(mistakes), ...Object.keys(loaded), "common"]);
    const folder = new URL("../programs/bad/", import.meta.url);
    assert.deepEqual(readdirSync(folder).map((file) => file.replace(".ts", "")).sort(), [...known].sort());
  });

  /** A run with one component in a closure instead of the state. */
  for (const forgotten of ["model", "optimizer", "rng", "step"] as const) {
    test(`a run that forgets its ${forgotten}`, async () => {
      let hidden: unknown;
      const hide = (state: State): State => {
        const { [forgotten]: part, ...rest } = state;
        hidden = part;
        return rest as State;
      };
      const changing = forgotten === "step"
        ? (state: State, batch: readonly number[]) => scaledStep(state, batch, 1 + state.step / 10)
        : step;
      const proof = await proveResume<State, readonly number[]>({
        fresh: () => hide(fresh()),
        step: (state, batch) => hide(changing({ ...state, [forgotten]: hidden }, batch)),
        loader,
      })();
      assert.equal(left(proof)._tag, "NotResumable");
    });
  }
});

// --- what is left behind

describe("no trace: proveResume leaves nothing behind, however it ends", () => {
  const temporary = process.env["TMPDIR"];
  const own = mkdtempSync(join(tmpdir(), "dogear-"));
  before(() => void (process.env["TMPDIR"] = own));
  after(() => {
    rmSync(own, { recursive: true });
    if (temporary === undefined) delete process.env["TMPDIR"];
    else process.env["TMPDIR"] = temporary;
  });

  const natives = (): readonly unknown[] => [Math.random, Date, Date.now, performance.now, crypto.randomUUID];

  test("clocks and generators are restored, and tensors disposed", async () => {
    const run = async (): Promise<void> => {
      right(await proveResume({ fresh, step, loader, at: [0, 4] })());
      left(await proveResume(await trainingOf("clock"))());
      const failing = await proveResume({
        fresh,
        step: (state: State, batch: readonly number[]) => {
          if (state.step === 3) throw new Error("out of memory");
          return step(state, batch);
        },
        loader,
      })();
      assert.match(explain(left(failing)), /out of memory/);
    };
    const watched = natives();
    await run();
    const tensors = tf.memory().numTensors;
    await run();
    assert.deepEqual(natives(), watched);
    assert.equal(tf.memory().numTensors, tensors);
  });

  for (const [how, found] of [["exit", /exit code 3/], ["hang", /it wrote nothing for 4 s/]] as const) {
    test(`a new process that ${how}s is an error, and its folder is removed`, async () => {
      const module = new URL("../programs/dying.ts", import.meta.url);
      Object.assign(globalThis, { [here]: true });
      process.env[way] = how;
      const proof = await proveResume({ fresh, step, loader, process: module, at: [0], patience: 4 })();
      assert.equal(left(proof)._tag, "ProcessFailed");
      assert.match(explain(left(proof)), found);
      assert.deepEqual(readdirSync(own), []);
    });
  }
});

describe("bad input: it is a TypeError", () => {
  const prove = (options: object) => (): unknown => proveResume({ fresh, step, loader, ...options } as never);
  test("numbers, functions and points", () => {
    for (const steps of [0, 1, 1.5, NaN, "2"]) assert.throws(prove({ steps }), TypeError);
    for (const at of [[12], [-1], [0.5], 3]) assert.throws(prove({ at }), TypeError);
    for (const patience of [0, -1, NaN, "a"]) assert.throws(prove({ patience }), TypeError);
    assert.throws(prove({ fresh: {} }), TypeError);
    assert.throws(prove({ step: undefined }), TypeError);
  });

  test("a module that does not exist, or exports no training", async () => {
    assert.throws(prove({ process: "/nowhere/training.ts" }), /which is no file/);
    const module = new URL("../support/laws.ts", import.meta.url);
    await assert.rejects(
      proveResume({ fresh, step, loader, process: module, at: [0] })(),
      /to export fresh, step and loader/,
    );
  });

  test("data that ends too early", async () => {
    const short = Loader.take(1)(loader);
    await assert.rejects(
      proveResume({ fresh: () => ({ ...fresh(), cursor: Loader.start(short) }), step, loader: short })(),
      /at least 2 batches/,
    );
  });
});
