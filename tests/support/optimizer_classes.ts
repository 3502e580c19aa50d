/**
 * User-defined optimizers: subclasses of tfjs's, classes that store their state in different ways, and wrappers.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";

// --- types

/** Gradients as optimizers receive them. */
export type Gradients = tf.NamedTensorMap | { readonly name: string; readonly tensor: tf.Tensor }[];

type Config = tf.serialization.ConfigDict;

/** The type that `registerClass` expects: a constructor with one config argument. */
function register(found: unknown): void {
  tf.serialization.registerClass(found as never);
}

/** Each variable with its gradient. */
export function pairs(gradients: Gradients): readonly (readonly [tf.Variable, tf.Tensor])[] {
  const { registeredVariables } = (tf.engine() as unknown as {
    readonly state: { readonly registeredVariables: Record<string, tf.Variable> };
  }).state;
  const named = Array.isArray(gradients)
    ? gradients.map(({ name, tensor }) => [name, tensor] as const)
    : Object.entries(gradients);
  return named.map(([name, tensor]) => [registeredVariables[name] as tf.Variable, tensor]);
}

// --- subclasses

/** Adam with decoupled weight decay, a counted warm-up, and a running norm of the gradients. */
export class AdamW extends tf.AdamOptimizer {
  steps = 0;
  norm: tf.Tensor = tf.keep(tf.scalar(0));
  norms: number[] = [];
  last?: { readonly step: number; readonly names: string[] };
  constructor(public peak: number = 0.05, public weightDecay: number = 0.01) {
    super(peak, 0.9, 0.999, 1e-7);
  }
  override applyGradients(gradients: Gradients): void {
    this.steps++;
    this.learningRate = this.peak * Math.min(1, this.steps / 3);
    tf.tidy(() => {
      for (const [variable] of pairs(gradients)) {
        variable.assign(variable.mul(1 - this.learningRate * this.weightDecay));
      }
      const squares = pairs(gradients).map(([, gradient]) => gradient.square().sum());
      const norm = tf.keep(tf.addN(squares).sqrt().add(this.norm.mul(0.5)) as tf.Tensor);
      this.norm.dispose();
      this.norm = norm;
    });
    this.norms = [...this.norms.slice(-2), this.norm.dataSync()[0] as number];
    this.peak *= 1 + 0.01 * (this.norms[0] as number);
    this.last = { step: this.steps, names: pairs(gradients).map(([{ name }]) => name) };
    super.applyGradients(gradients as never);
  }
  override getConfig(): Config {
    return { peak: this.peak, weightDecay: this.weightDecay };
  }
  // deno-lint-ignore no-explicit-any -- tfjs's own signature is generic in the class
  static override fromConfig(cls: any, config: Config): any {
    return new cls(config["peak"], config["weightDecay"]);
  }
}
register(AdamW);

/** SGD with a decaying rate. It inherits the class name, so registering it replaces SGD in tfjs's registry. */
export class DecayingSGD extends tf.SGDOptimizer {
  override applyGradients(gradients: Gradients): void {
    super.applyGradients(gradients as never);
    this.setLearningRate(this.learningRate * 0.9);
  }
}

// --- user-defined classes

/** Ways to store an accumulator of a variable. */
export interface Slots {
  get(variable: tf.Variable, position: number): tf.Variable | undefined;
  set(variable: tf.Variable, position: number, slot: tf.Variable): void;
}

/** Lion: the sign of an interpolated momentum. Its subclasses decide how the momenta are stored. */
abstract class Lion extends tf.Optimizer {
  count = 0;
  seen: Set<string> = new Set();
  constructor(protected learningRate: number = 0.02, readonly betas: readonly [number, number] = [0.9, 0.99]) {
    super();
  }
  abstract momentum(variable: tf.Variable, position: number, make: () => tf.Variable): tf.Variable;
  applyGradients(gradients: Gradients): void {
    const [b1, b2] = this.betas;
    this.count++;
    pairs(gradients).forEach(([variable, gradient], position) => {
      const make = (): tf.Variable =>
        tf.tidy(() => tf.zerosLike(variable).variable(false, `${variable.name}/${this.getClassName()}/m`));
      const m = this.momentum(variable, position, make);
      this.seen.add(variable.name);
      tf.tidy(() => {
        const update = m.mul(b1).add(gradient.mul(1 - b1)).add(m.mul(0.1 / this.count));
        variable.assign(variable.sub(update.sign().mul(this.learningRate).add(update.mul(0.01))));
        m.assign(m.mul(b2).add(gradient.mul(1 - b2)));
      });
    });
    this.incrementIterations();
  }
  getConfig(): Config {
    return { learningRate: this.learningRate, betas: [...this.betas] };
  }
  // deno-lint-ignore no-explicit-any -- tfjs's own signature is generic in the class
  static override fromConfig(cls: any, config: Config): any {
    return new cls(config["learningRate"], config["betas"]);
  }
}

/** Momenta by position. */
export class LionByPosition extends Lion {
  static readonly className = "LionByPosition";
  m: tf.Variable[] = [];
  momentum(_: tf.Variable, position: number, make: () => tf.Variable): tf.Variable {
    return this.m[position] ??= make();
  }
}

/** Momenta in a record, keyed by the names of the variables. */
export class LionByName extends Lion {
  static readonly className = "LionByName";
  m: Record<string, { readonly value: tf.Variable; updates: number }> = {};
  momentum({ name }: tf.Variable, _: number, make: () => tf.Variable): tf.Variable {
    const found = this.m[name] ??= { value: make(), updates: 0 };
    found.updates++;
    return found.value;
  }
}

/** Momenta in a Map, keyed by the names of the variables with a suffix, and looked up by a function in a field. */
export class LionByMap extends Lion {
  static readonly className = "LionByMap";
  m: Map<string, tf.Variable> = new Map();
  momentum: Lion["momentum"] = ((m) => ({ name }, _, make) => {
    const found = m.get(`${name}/m`) ?? make();
    m.set(`${name}/m`, found);
    return found;
  })(this.m);
}

/** Momenta in a Map, keyed by the variables. */
export class LionByVariable extends Lion {
  static readonly className = "LionByVariable";
  m: Map<tf.Variable, tf.Variable> = new Map();
  momentum(variable: tf.Variable, _: number, make: () => tf.Variable): tf.Variable {
    const found = this.m.get(variable) ?? make();
    this.m.set(variable, found);
    return found;
  }
}

/** Momenta in a list of slots like tfjs's own, looked up by the name of the variable. */
export class LionBySlot extends Lion {
  static readonly className = "LionBySlot";
  m: { readonly originalName: string; readonly variable: tf.Variable }[] = [];
  momentum({ name }: tf.Variable, _: number, make: () => tf.Variable): tf.Variable {
    const found = this.m.find(({ originalName }) => originalName === `${name}/m`) ??
      { originalName: `${name}/m`, variable: make() };
    if (!this.m.includes(found)) this.m.push(found);
    return found.variable;
  }
}

/** Momenta that are tensors, replaced at each step. */
export class LionOfTensors extends tf.Optimizer {
  static readonly className = "LionOfTensors";
  m: (tf.Tensor | undefined)[] = [];
  lastLoss: number | undefined;
  learningRate: number = 0.02;
  applyGradients(gradients: Gradients): void {
    this.m = pairs(gradients).map(([variable, gradient], i) =>
      tf.tidy(() => {
        const old = this.m[i];
        const m = tf.keep((old?.mul(0.9) ?? tf.zerosLike(gradient)).add(gradient.mul(0.1)));
        variable.assign(variable.sub(m.sign().mul(this.learningRate)).sub(m.mul(0.01)));
        old?.dispose();
        return m;
      })
    );
  }
  getConfig(): Config {
    return {};
  }
}

/** Lookahead: after every second step of an inner optimizer, the variables move halfway back to their old values. */
export class Lookahead extends tf.Optimizer {
  static readonly className = "Lookahead";
  steps = 0;
  slow: tf.Variable[] = [];
  trained: tf.Variable[] = [];
  constructor(readonly inner: tf.Optimizer = tf.train.adam(0.05), readonly every: number = 2) {
    super();
  }
  applyGradients(gradients: Gradients): void {
    if (this.trained.length === 0) {
      this.trained = pairs(gradients).map(([variable]) => variable);
      this.slow = tf.tidy(() => this.trained.map((variable) => variable.clone().variable(false)));
    }
    this.inner.applyGradients(gradients);
    if (++this.steps % this.every !== 0) return;
    tf.tidy(() =>
      this.trained.forEach((variable, i) => {
        const slow = this.slow[i] as tf.Variable;
        slow.assign(slow.add(variable.sub(slow).mul(0.5)));
        variable.assign(slow.clone());
      })
    );
  }
  getConfig(): Config {
    return { every: this.every };
  }
  // deno-lint-ignore no-explicit-any -- tfjs's own signature is generic in the class
  static override fromConfig(cls: any, config: Config): any {
    return new cls(undefined, config["every"]);
  }
}

for (const found of [LionByPosition, LionByName, LionByMap, LionByVariable, LionBySlot, LionOfTensors, Lookahead]) {
  register(found);
}

/** An instance of each class above. */
export const optimizers: Readonly<Record<string, () => tf.Optimizer>> = {
  AdamW: () => new AdamW(),
  LionByPosition: () => new LionByPosition(),
  LionByName: () => new LionByName(),
  LionByMap: () => new LionByMap(),
  LionByVariable: () => new LionByVariable(),
  LionBySlot: () => new LionBySlot(),
  LionOfTensors: () => new LionOfTensors(),
  "Lookahead of Adam": () => new Lookahead(),
  "Lookahead of AdamW": () => new Lookahead(new AdamW()),
};
