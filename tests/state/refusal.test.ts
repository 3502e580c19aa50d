/**
 * What cannot be captured: each sort of value has its own sentence, with what to write instead.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { test } from "node:test";
import { captureState, codecOf, Loader, memory, pipe, restoreState, resume, saveState, train } from "../../mod.ts";

class Vocabulary {
  constructor(readonly words: readonly string[] = ["a"]) {}
}
class Bigrams extends Vocabulary {}
class Secret {
  readonly #key = 1;
  readonly salt = 2;
  read(): number {
    return this.#key;
  }
}

const disposed = tf.scalar(1);
disposed.dispose();
const of = (toPlain: () => unknown) => [codecOf("Vocabulary", Vocabulary, toPlain, () => new Vocabulary())];
const mapCodec = 'codecOf("Map", Map, (value) => [...value], (entries) => new Map(entries))';
const byItsCodec =
  ', from the codec named "Vocabulary": correct its encode (with codecOf, toPlain): return plain data, such as [...map] for a Map';

const cases: Readonly<Record<string, readonly [value: unknown, found: string, types?: ReturnType<typeof of>]>> = {
  "a Map": [new Map(), `an instance of Map: pass the option types: [${mapCodec}]`],
  "a class": [
    new Vocabulary(),
    'an instance of Vocabulary: pass the option types: [codecOf("Vocabulary", Vocabulary, (value) => ({ ...value }), ' +
    "(fields) => Object.assign(Object.create(Vocabulary.prototype), fields))]",
  ],
  "a class with private fields": [
    new Secret(),
    'an instance of Secret: pass the option types: [codecOf("Secret", Secret, toPlain, fromPlain)]',
  ],
  "a subclass": [
    new Bigrams(),
    'an instance of Bigrams: the codec named "Vocabulary" takes no subclasses, so pass the option types: [codecOf("Bigrams", Bigrams, toPlain, fromPlain)]',
    of(() => []),
  ],
  "a codec that encodes undefined": [
    new Vocabulary(),
    'undefined, from the codec named "Vocabulary": write null in its encode (with codecOf, toPlain); ' +
    "for a field that an older checkpoint lacks, give a value in its decode",
    of(() => undefined),
  ],
  "a codec that encodes a Map": [new Vocabulary(), `an instance of Map${byItsCodec}`, of(() => new Map())],
  "a promise": [Promise.resolve(1), "a promise: await it"],
  "a task": [saveState(memory())({}), "a task: await it"],
  "a function": [() => 1, "a function: a function cannot be saved, so keep the data that it needs instead"],
  "undefined": [undefined, "undefined: write null instead of undefined, or leave the name out"],
  "a disposed tensor": [
    disposed,
    "a disposed tensor: save it before its dispose(), and return it from tf.tidy or tf.keep it there",
  ],
};

for (const [name, [value, found, types = []]] of Object.entries(cases)) {
  test(`refusal: ${name}`, () => {
    const message =
      "Cannot capture m: expected a tfjs model, optimizer, variable or tensor, an Rng, Schedule, Scaler or Cursor, or plain " +
      `data, found ${found}`;
    assert.throws(() => captureState({ m: value } as object, { types }), { name: "TypeError", message });
  });
}

test("refusal: the codecs that it writes restore the value", () => {
  // The sentences' own code, with the classes that it names.
  for (const value of [new Map([[1, "a"]]), new Set([1]), new Date(7), new Vocabulary(["b"])]) {
    let types: ReturnType<typeof of> = [];
    assert.throws(() => captureState({ value } as object), ({ message }: Error) => {
      const code = /types: (\[.*\])$/.exec(message)![1]!;
      types = new Function("codecOf", "Vocabulary", `return ${code}`)(codecOf, Vocabulary);
      return true;
    });
    using snapshot = captureState({ value } as object, { types });
    assert.deepEqual(restoreState(snapshot, { types }), { _tag: "Right", right: { value } });
  }
});

test("refusal: a forgotten await is named where its value is expected", async () => {
  // deno-lint-ignore no-explicit-any -- as a script without types would
  const task = resume(memory())({ cursor: Loader.start(Loader.fromArray([1])) }) as any;
  const training = train({ loader: Loader.fromArray([1]), step: (state: { cursor: Loader.Cursor }) => state });
  assert.throws(
    () => pipe(task, Loader.batch(2)),
    /Expected Loader\.batch to be given a loader, found a task: await it$/,
  );
  assert.throws(() => restoreState(task), /found a task: await it$/);
  await assert.rejects(
    async () => await training(task),
    /Expected the component "cursor" to be a cursor, found no components but a task: await it$/,
  );
  await assert.rejects(
    async () => await training({ cursor: Promise.resolve() as never }),
    /Expected the component "cursor" to be a cursor, found a promise: await it$/,
  );
  assert.throws(() => saveState(memory(), { step: Promise.resolve(1) as never }), /found a promise: await it$/);
});
