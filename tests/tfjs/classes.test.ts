import {
  captureState,
  explain,
  memory,
  readSnapshot,
  restoreInto,
  restoreState,
  runOrThrow,
  saveState,
  type Snapshot,
} from "@dogear/dogear";
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { before, describe, test } from "node:test";
import { idOf, left, right } from "../support/laws.ts";

before(() => tf.setBackend("cpu").then(() => undefined));

const L = tf.layers;

type Class = abstract new (...args: never[]) => object;
// deno-lint-ignore no-explicit-any -- tfjs does not export the types of its classes
type Constructor = new (...args: any[]) => any;

function classOf(object: object): Constructor {
  return object.constructor as Constructor;
}

interface Mismatch {
  readonly problems: readonly {
    readonly path: string;
    readonly kind: string;
    readonly expected: string;
    readonly found: string;
    readonly remedy?: string;
  }[];
}

function problems(result: Parameters<typeof left>[0]): Mismatch["problems"] {
  return (left(result) as unknown as Mismatch).problems;
}

/** The snapshot of a state as another process reads it. */
async function read<C extends object>(state: C): Promise<Snapshot<C>> {
  const store = memory();
  await runOrThrow(saveState(store)(state));
  return await runOrThrow(readSnapshot(store)) as Snapshot<C>;
}

/** A subclass that inherits everything, including the class name. */
function inheriting(Base: Constructor): Constructor {
  return class Doubled extends Base {};
}

interface Kind {
  readonly base: Constructor;
  /** A state that holds one object of the class. */
  readonly make: (Of: Constructor) => { readonly model: tf.LayersModel };
  /** Where the object is. */
  readonly at: string;
}

function inSequence(...layers: readonly tf.layers.Layer[]): { readonly model: tf.LayersModel } {
  return { model: tf.sequential({ layers: [...layers] }) };
}

const sequence = { inputShape: [3, 2] };

function dense(args: object): tf.layers.Layer {
  return L.dense({ units: 2, inputShape: [2], ...args });
}

/** Objects in a model that may be of a user-defined class, each with a function that makes a model with one of a given class. */
const kinds: Readonly<Record<string, Kind>> = {
  "a layer": {
    base: classOf(L.dense({ units: 1, name: "x" })),
    make: (Of) => inSequence(new Of({ units: 2, inputShape: [2] })),
    at: "model/layers/0",
  },
  "a recurrent layer": {
    base: classOf(L.gru({ units: 1, name: "x" })),
    make: (Of) => inSequence(new Of({ units: 2, ...sequence })),
    at: "model/layers/0",
  },
  "a cell": {
    base: classOf(L.gruCell({ units: 1, name: "x" })),
    make: (Of) => inSequence(L.rnn({ cell: new Of({ units: 2 }), ...sequence })),
    at: "model/layers/0/layers/cell",
  },
  "a cell on another": {
    base: classOf(L.lstmCell({ units: 1, name: "x" })),
    make: (Of) => inSequence(L.rnn({ cell: [L.gruCell({ units: 2 }), new Of({ units: 2 })], ...sequence })),
    at: "model/layers/0/layers/cell/layers/cells/1",
  },
  "a wrapper": {
    base: classOf(L.timeDistributed({ layer: L.dense({ units: 1, name: "x" }), name: "x" })),
    make: (Of) => inSequence(new Of({ layer: L.dense({ units: 2 }), ...sequence })),
    at: "model/layers/0",
  },
  "a layer in a wrapper": {
    base: classOf(L.dense({ units: 1, name: "x" })),
    make: (Of) => inSequence(L.timeDistributed({ layer: new Of({ units: 2 }), ...sequence } as never)),
    at: "model/layers/0/layers/layer",
  },
  "a regularizer": {
    base: classOf(tf.regularizers.l1()),
    make: (Of) => inSequence(dense({ kernelRegularizer: new Of({ l1: 0.5, l2: 0 }) })),
    at: "model/layers/0/config/kernelRegularizer",
  },
  "a regularizer of a cell": {
    base: classOf(tf.regularizers.l1()),
    make: (Of) => inSequence(L.lstm({ units: 2, recurrentRegularizer: new Of({ l1: 0.5, l2: 0 }), ...sequence })),
    at: "model/layers/0/layers/cell/config/recurrentRegularizer",
  },
  "a constraint": {
    base: classOf(tf.constraints.maxNorm({})),
    make: (Of) => inSequence(dense({ biasConstraint: new Of({ maxValue: 3 }) })),
    at: "model/layers/0/config/biasConstraint",
  },
  "an initializer": {
    base: classOf(tf.initializers.constant({ value: 1 })),
    make: (Of) => inSequence(dense({ kernelInitializer: new Of({ value: 2 }) })),
    at: "model/layers/0/config/kernelInitializer",
  },
  "an activation": {
    base: classOf((L.activation({ activation: "tanh", name: "x" }) as unknown as { activation: object }).activation),
    make: (Of) => inSequence(dense({ activation: new Of({}) })),
    at: "model/layers/0/config/activation",
  },
  "a regularizer in a wrapper in a model in a model": {
    base: classOf(tf.regularizers.l1()),
    make: (Of) => {
      const inner = dense({ kernelRegularizer: new Of({ l1: 0.5, l2: 0 }), inputShape: undefined });
      const within = inSequence(L.timeDistributed({ layer: inner, ...sequence } as never)).model;
      const x = tf.input({ shape: [3, 2] });
      return { model: tf.model({ inputs: x, outputs: within.apply(x) as tf.SymbolicTensor }) };
    },
    at: "model/layers/1/layers/0/layers/layer/config/kernelRegularizer",
  },
};

for (const [name, { base, make, at }] of Object.entries(kinds)) {
  describe(`nothing silent: ${name} of a subclass that inherits the class name`, () => {
    const Sub = inheriting(base);
    test("a fresh restore is an error with the class and the remedy", async () => {
      const state = make(Sub);
      for (const snapshot of [captureState(state), await read(state)]) {
        const found = problems(restoreState(snapshot));
        assert.ok(found.every((problem) => problem.kind === "class"), JSON.stringify(found));
        const own = found.find((problem) => problem.path === at);
        assert.match(own?.found ?? JSON.stringify(found), /^Doubled extends \w+, which tfjs would build as \w+$/);
        assert.match(own?.remedy ?? "", /static className = "Doubled".+registerClass\(Doubled\)/);
      }
      assert.equal(right(restoreState(captureState(make(base)))).model.layers.length, make(base).model.layers.length);
    });
    test("it restores only into its own class, and no other class restores into it", async () => {
      const snapshot = await read(make(Sub));
      const live = make(Sub);
      right(restoreInto(live)(snapshot)());
      assert.equal(await idOf(live), await idOf(right(restoreInto(make(Sub))(captureState(live))())));
      const backwards = [restoreInto(make(base))(snapshot)(), restoreInto(make(Sub))(captureState(make(base)))()];
      for (const result of backwards) {
        assert.ok(
          problems(result).some((problem) => problem.kind === "class" && problem.path === at),
          JSON.stringify(result),
        );
      }
    });
  });
}

// --- two classes with one name

function scaled(className: string, factor: number): Constructor {
  return class extends tf.layers.Layer {
    static readonly className = className;
    override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
      return tf.tidy(() => tf.mul([inputs].flat()[0] as tf.Tensor, factor));
    }
  };
}

test("nothing silent: two classes with one class name are distinguished, registered or not", () => {
  const [A, B] = [scaled("Shared", 2), scaled("Shared", 3)];
  const made = (Of: Constructor): { readonly model: tf.LayersModel } => inSequence(new Of({ inputShape: [1] }));
  const snapshot = captureState(made(A));
  const fits = (): readonly string[] =>
    [
      restoreInto(made(A))(snapshot)(),
      restoreInto(made(B))(snapshot)(),
      restoreState(snapshot),
    ].map(({ _tag }) => _tag);
  assert.deepEqual(fits(), ["Right", "Left", "Left"]);
  tf.serialization.registerClass(B as never);
  assert.deepEqual(fits().slice(1), ["Left", "Left"]);
  assert.match(explain(left(restoreState(captureState(made(A))))), /Shared that is not the registered one/);
  tf.serialization.registerClass(A as never);
  assert.deepEqual(fits(), ["Right", "Left", "Right"]);
  const fresh = right(restoreState(snapshot)).model;
  assert.deepEqual([...(fresh.predict(tf.tensor2d([[1]])) as tf.Tensor).dataSync()], [2]);
});

test("nothing silent: a class registered under a tfjs name is never built in place of tfjs's class", async () => {
  const { classNameMap } = tf.serialization.SerializationMap.getMap();
  const [own, regularizer] = [classNameMap["Dense"], classNameMap["L1L2"]];
  const state = inSequence(dense({ kernelRegularizer: "l1l2", name: "d" }));
  const impostor = scaled("Dense", 5);
  try {
    tf.serialization.registerClass(impostor as never);
    const snapshot = await read(state);
    assert.ok(problems(restoreState(snapshot)).some(({ kind, path }) => kind === "class" && path === "model/layers/0"));
    // Nor does a state of the other class restore into tfjs's.
    const other = captureState(inSequence(new impostor({ inputShape: [2], name: "d" })));
    assert.ok(problems(restoreInto(inSequence(dense({ name: "d" })))(other)()).some(({ kind }) => kind === "class"));
    right(restoreInto(inSequence(dense({ kernelRegularizer: "l1l2", name: "d" })))(snapshot)());
    tf.serialization.registerClass(classOf(L.dense({ units: 1, name: "x" })) as never);
    tf.serialization.registerClass(
      class extends classOf(tf.regularizers.l1()) {
        static readonly className = "L1L2";
      } as never,
    );
    assert.ok(problems(restoreState(snapshot)).some(({ path }) => path === "model/layers/0/config/kernelRegularizer"));
  } finally {
    Object.assign(classNameMap, { Dense: own, L1L2: regularizer });
  }
  right(restoreState(captureState(state)));
});

test("nothing silent: an anonymous class, and a class without a class name, restore only into live objects", () => {
  const Base = classOf(L.dense({ units: 1, name: "x" }));
  const classes: readonly Constructor[] = [(() => class extends Base {})(), class Bare extends tf.layers.Layer {}];
  for (const Of of classes) {
    const make = (): { readonly layer: tf.layers.Layer } => ({ layer: new Of({ units: 1, name: "mine" }) });
    const snapshot = captureState(make());
    assert.deepEqual(problems(restoreState(snapshot)).map(({ kind, path }) => [kind, path]), [["class", "layer"]]);
    right(restoreInto(make())(snapshot)());
  }
});

test("nothing silent: a model of a subclass restores only into its own class, whatever its class name", () => {
  class Sequential extends tf.Sequential {}
  class Mine extends tf.LayersModel {}
  const functional = (Of: Class): { readonly model: tf.LayersModel } => {
    const x = tf.input({ shape: [2] });
    const outputs = L.dense({ units: 1 }).apply(x) as tf.SymbolicTensor;
    return { model: new (Of as Constructor)({ inputs: x, outputs }) };
  };
  const sequential = (Of: Class): { readonly model: tf.LayersModel } => ({
    model: new (Of as Constructor)({ layers: [dense({})] }),
  });
  for (
    const [make, Sub, Base] of [[functional, Mine, tf.LayersModel], [sequential, Sequential, tf.Sequential]] as const
  ) {
    const snapshot = captureState(make(Sub));
    assert.ok(problems(restoreState(snapshot)).some(({ kind, path }) => kind === "class" && path === "model"));
    right(restoreInto(make(Sub))(snapshot)());
    assert.ok(problems(restoreInto(make(Base))(snapshot)()).some(({ kind }) => kind === "class"));
    assert.ok(problems(restoreInto(make(Sub))(captureState(make(Base)))()).some(({ kind }) => kind === "class"));
    right(restoreState(captureState(make(Base))));
  }
});

test("canonical: generated names of subclasses of Sequential and InputLayer are recognised", async () => {
  class Pile extends tf.Sequential {
    static override readonly className = "Pile";
  }
  const InputLayer = classOf(L.inputLayer({ inputShape: [2], name: "sample" }));
  class Entrance extends InputLayer {
    static readonly className = "Entrance";
  }
  tf.serialization.registerClass(Entrance as never);
  const pile = (): tf.Sequential => new Pile({ layers: [dense({ units: 2 })] });
  const entrance = (): tf.layers.Layer => new Entrance({ batchInputShape: [null, 2] }) as tf.layers.Layer;
  const subjects: Readonly<Record<string, () => tf.LayersModel>> = {
    pile,
    "in a model": () => tf.sequential({ layers: [pile(), L.dense({ units: 1 })] }),
    "in a wrapper": () => tf.sequential({ layers: [L.timeDistributed({ layer: pile(), inputShape: [3, 2] })] }),
    "before a layer": () => tf.sequential({ layers: [entrance(), L.dense({ units: 1 })] }),
    "in a graph": () => {
      const { input } = entrance();
      return tf.model({ inputs: input as tf.SymbolicTensor, outputs: L.dense({ units: 1 }).apply(input) as never });
    },
  };
  for (const [name, make] of Object.entries(subjects)) {
    const state = { model: make() };
    const snapshot = await read(state);
    const live = { model: make() };
    right(restoreInto(live)(snapshot)());
    assert.equal(await idOf(live), await idOf(state), name);
    if (!/graph|layer/.test(name)) continue;
    const fresh = right(restoreState(snapshot));
    assert.equal(await idOf(fresh), await idOf(state), name);
    assert.equal(fresh.model.layers[0]?.name, state.model.layers[0]?.name);
    assert.equal(Object.getPrototypeOf(fresh.model.layers[0]), Entrance.prototype);
  }
});

test("round trip: models of the class Functional, which Keras uses", () => {
  const Functional = tf.serialization.SerializationMap.getMap().classNameMap["Functional"]
    ?.[0] as unknown as Constructor;
  const x = tf.input({ shape: [2] });
  const model = new Functional({ inputs: x, outputs: L.dense({ units: 1 }).apply(x) }) as tf.LayersModel;
  const fresh = right(restoreState(captureState({ model }))).model;
  assert.equal(Object.getPrototypeOf(fresh), Functional.prototype);
});

// --- what a class name does not identify

test("nothing silent: functions set on one layer are an error in a fresh restore, and no problem in place", () => {
  const twice = (rate: number): (x: tf.Tensor) => tf.Tensor => (x) => tf.mul(x, rate);
  const patched = (): { readonly layer: tf.layers.Layer } => {
    const layer = L.dense({ units: 1, name: "a" });
    layer.call = (inputs) => twice(2)([inputs].flat()[0] as tf.Tensor);
    return { layer };
  };
  const masked = (): { readonly layer: tf.layers.Layer } => ({
    layer: L.lstm({ units: 1, dropout: 0.5, dropoutFunc: (x: tf.Tensor) => x, name: "b" } as never),
  });
  for (const [make, path] of [[patched, "layer"], [masked, "layer/layers/cell"]] as const) {
    const snapshot = captureState(make());
    assert.deepEqual(problems(restoreState(snapshot)).map((problem) => [problem.kind, problem.path]), [[
      "class",
      path,
    ]]);
    right(restoreInto(make())(snapshot)());
  }
});

test("nothing silent: an object without getConfig is refused with its path, at any depth", () => {
  const Regularizer = Object.getPrototypeOf(classOf(tf.regularizers.l1())) as Constructor;
  class Absolute extends Regularizer {
    static readonly className = "Absolute";
    apply(x: tf.Tensor): tf.Tensor {
      return tf.sum(tf.abs(x));
    }
  }
  const states = {
    "Cannot capture model/layers/0/config/kernelRegularizer: ": inSequence(
      dense({ kernelRegularizer: new Absolute() as never }),
    ),
    "Cannot capture model/layers/0/layers/layer/config/biasRegularizer: ": inSequence(
      L.timeDistributed(
        { layer: L.dense({ units: 1, biasRegularizer: new Absolute() as never }), ...sequence } as never,
      ),
    ),
    "Cannot capture model/layers/0/layers/cell/layers/cells/1/config/kernelRegularizer: ": inSequence(
      L.rnn({
        cell: [L.gruCell({ units: 1 }), L.gruCell({ units: 1, kernelRegularizer: new Absolute() as never })],
        ...sequence,
      }),
    ),
  };
  for (const [start, state] of Object.entries(states)) {
    assert.throws(() => captureState(state), (error: Error) => {
      assert.ok(error instanceof TypeError && error.message.startsWith(start), error.message);
      assert.match(error.message, /getConfig.+found a Absolute without one/);
      return true;
    });
  }
});

test("nothing silent: an unregistered class is reported at its path, also inside a config", async () => {
  const Constraint = Object.getPrototypeOf(classOf(tf.constraints.nonNeg())) as Constructor;
  class Halved extends Constraint {
    static readonly className = "Halved";
    apply(x: tf.Tensor): tf.Tensor {
      return tf.div(x, 2);
    }
  }
  const make = (): { readonly model: tf.LayersModel } =>
    inSequence(
      L.timeDistributed(
        { layer: L.dense({ units: 1, kernelConstraint: new Halved() as never }), ...sequence } as never,
      ),
    );
  const snapshot = await read(make());
  assert.deepEqual(problems(restoreState(snapshot)), [{
    path: "model/layers/0/config/layer/config/kernelConstraint",
    kind: "class",
    expected: "a registered class",
    found: "Halved, which is not registered",
    remedy: "Call tf.serialization.registerClass(Halved) first, or load into a model that has it",
  }]);
  right(restoreInto(make())(snapshot)());
  tf.serialization.registerClass(Halved as never);
  right(restoreState(snapshot));
});

// --- a second copy of tfjs

/** An object as another copy of tfjs makes it: the same methods, but other classes. */
function ofAnotherCopy<A extends object>(object: A): A {
  const copied = (prototype: object | null): object | null =>
    prototype === null || prototype === Object.prototype
      ? prototype
      : Object.create(copied(Object.getPrototypeOf(prototype)), Object.getOwnPropertyDescriptors(prototype));
  return Object.create(copied(Object.getPrototypeOf(object)), Object.getOwnPropertyDescriptors(object));
}

test("nothing silent: an object of a second copy of tfjs is an error with the cause and the remedy", () => {
  const model = inSequence(dense({})).model;
  const compiled = inSequence(dense({})).model;
  compiled.compile({ optimizer: ofAnotherCopy(tf.train.adam()), loss: "meanSquaredError" });
  const states: Readonly<Record<string, object>> = {
    "state": { state: ofAnotherCopy(model) },
    "layer": { layer: ofAnotherCopy(L.dense({ units: 1, name: "a" })) },
    "optimizer": { optimizer: ofAnotherCopy(tf.train.sgd(0.1)) },
    "model/compile/optimizer": { model: compiled },
  };
  for (const [path, state] of Object.entries(states)) {
    assert.throws(() => captureState(state), (error: Error) => {
      assert.ok(error.message.startsWith(`Cannot capture ${path}: `), error.message);
      assert.match(error.message, /found a \w+ of a second copy of tfjs: install one copy.+npm ls @tensorflow\/tfjs/);
      return true;
    });
  }
  const [found] = problems(restoreInto({ model: ofAnotherCopy(model) })(captureState({ model }))());
  assert.match(found?.found ?? "", /a second copy of tfjs/);
});
