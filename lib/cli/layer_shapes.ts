/**
 * The shapes of layers' outputs, from the settings that a checkpoint holds: the command line loads no tfjs that could say.
 *
 * Each rule is that of `computeOutputShape` of the tfjs layer. A layer without a rule here, such as one of the user's own, has an unknown shape.
 *
 * @module
 */
// --- types

/** The shape of a tensor; null where any length is allowed, which is usual for the first axis. */
export type Shape = readonly (number | null)[];

/** The shapes of what a layer gives, undefined if they are unknown. */
export type Shapes = readonly Shape[] | undefined;

/** The settings of a layer as plain data. */
export type LayerSettings = Readonly<Record<string, unknown>>;

/** What a rule is given. */
interface LayerCall {
  readonly settings: LayerSettings;
  /** The shapes of the inputs, at least one. */
  readonly inputs: readonly Shape[];
  /** The shapes of what a layer within this one gives for an input. */
  readonly inner: (name: string, input: Shape) => Shapes;
  /** The setting of a layer within this one. */
  readonly innerSetting: (name: string, setting: string) => unknown;
}

type Length = number | null;
type ShapeRule = (input: Shape, call: LayerCall) => Shape | readonly Shape[] | undefined;

// --- settings

function numberIn(settings: LayerSettings, name: string): number {
  return typeof settings[name] === "number" ? settings[name] : NaN;
}

/** A setting with one number for each of the axes, which may be given as one number. */
function eachAxis(setting: unknown, axes: number, otherwise: number): readonly number[] {
  const list = Array.isArray(setting) ? setting : Array.from({ length: axes }, () => setting ?? otherwise);
  return Array.from({ length: axes }, (_, i) => typeof list[i] === "number" ? list[i] : NaN);
}

/** Changes the lengths of the axes between the first and that of the channels, and the number of channels. */
function onSpace(
  input: Shape,
  axes: number,
  { dataFormat }: LayerSettings,
  change: (length: Length, axis: number) => Length,
  channels: (before: Length) => Length = (before) => before,
): Shape | undefined {
  if (input.length !== axes + 2) return undefined;
  const isFirst = dataFormat === "channelsFirst";
  const space = input.slice(isFirst ? 2 : 1, isFirst ? undefined : -1).map(change);
  const after = channels((isFirst ? input[1] : input.at(-1)) ?? null);
  return isFirst ? [input[0]!, after, ...space] : [input[0]!, ...space, after];
}

/** The length of an axis after a window has moved over it. */
function windowed(length: Length, size: number, stride: number, padding: unknown, dilation = 1): Length {
  if (length === null) return null;
  const reach = size + (size - 1) * (dilation - 1);
  const steps = padding === "same" ? length : length - reach + 1;
  return Math.floor((steps + stride - 1) / stride);
}

// --- rules

const same: ShapeRule = (input) => input;

function convolution(axes: number, filters: (settings: LayerSettings, before: Length) => Length): ShapeRule {
  return (input, { settings }) => {
    const [sizes, strides] = [eachAxis(settings["kernelSize"], axes, NaN), eachAxis(settings["strides"], axes, 1)];
    const dilation = eachAxis(settings["dilationRate"], axes, 1);
    const change = (length: Length, i: number): Length =>
      windowed(length, sizes[i]!, strides[i]!, settings["padding"], dilation[i]);
    return onSpace(input, axes, settings, change, (before) => filters(settings, before));
  };
}

function transposed(axes: number): ShapeRule {
  return (input, { settings }) => {
    const [sizes, strides] = [eachAxis(settings["kernelSize"], axes, NaN), eachAxis(settings["strides"], axes, 1)];
    const change = (length: Length, i: number): Length => {
      if (length === null) return null;
      const whole = length * strides[i]!;
      return settings["padding"] === "valid" ? whole + Math.max(sizes[i]! - strides[i]!, 0) : whole;
    };
    return onSpace(input, axes, settings, change, () => numberIn(settings, "filters"));
  };
}

function pooling(axes: number): ShapeRule {
  return (input, { settings }) => {
    const sizes = eachAxis(settings["poolSize"], axes, 2);
    const strides = eachAxis(settings["strides"] ?? settings["poolSize"], axes, 2);
    return onSpace(input, axes, settings, (length, i) => windowed(length, sizes[i]!, strides[i]!, settings["padding"]));
  };
}

function globalPooling(axes: number): ShapeRule {
  return (input, { settings }) =>
    input.length === axes + 2
      ? [input[0]!, (settings["dataFormat"] === "channelsFirst" ? input[1] : input.at(-1)) ?? null]
      : undefined;
}

/** Pairs of numbers for the two axes of an image: `[[top, bottom], [left, right]]`, `[height, width]`, or one number. */
function borders(setting: unknown): readonly number[] {
  const [first, second] = Array.isArray(setting) ? setting : [setting, setting];
  const sum = (one: unknown): number =>
    Array.isArray(one) ? Number(one[0]) + Number(one[1]) : typeof one === "number" ? 2 * one : NaN;
  return [sum(first), sum(second)];
}

function bordered(setting: string, sign: 1 | -1): ShapeRule {
  return (input, { settings }) => {
    const by = borders(settings[setting] ?? 1);
    return onSpace(input, 2, settings, (length, i) => length === null ? null : length + sign * by[i]!);
  };
}

function resized(input: Shape, { settings }: LayerCall): Shape | undefined {
  const size = [numberIn(settings, "height"), numberIn(settings, "width")];
  return onSpace(input, 2, {}, (_, i) => size[i]!);
}

function product(lengths: Shape): Length {
  return lengths.includes(null) ? null : lengths.reduce<number>((all, one) => all * one!, 1);
}

const reshaped: ShapeRule = (input, { settings }) => {
  const target = settings["targetShape"];
  if (!Array.isArray(target)) return undefined;
  const isOpen = (length: unknown): boolean => length === null || length === -1;
  const [whole, known] = [product(input), product([input[0]!, ...target.filter((length) => !isOpen(length))])];
  // As tfjs does, which needs every length, that of the batch too.
  const open = whole === null || known === null ? null : whole / known;
  return [input[0]!, ...target.map((length: Length) => isOpen(length) ? open : length)];
};

/** Inputs that are combined element by element, where a length of 1 fits any length. */
const merged: ShapeRule = (_, { inputs }) => {
  const rank = Math.max(...inputs.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    const lengths = inputs.flatMap((shape) => {
      const at = axis - (rank - shape.length);
      return at < 0 || shape[at] === 1 ? [] : [shape[at]!];
    });
    return lengths.length === 0 ? 1 : lengths.find((length) => length !== null) ?? null;
  });
};

const concatenated: ShapeRule = (first, { settings, inputs }) => {
  const given = typeof settings["axis"] === "number" ? settings["axis"] : -1;
  const axis = given < 0 ? first.length + given : given;
  const lengths = inputs.map((shape) => shape[axis] ?? null);
  const sum = lengths.includes(null) ? null : lengths.reduce<number>((all, one) => all + one!, 0);
  return first.map((length, i) => i === axis ? sum : length);
};

const dotted: ShapeRule = (left, { settings: { axes }, inputs: [, right] }) => {
  if (right === undefined) return undefined;
  const pair: readonly unknown[] = Array.isArray(axes) ? axes : [axes, axes];
  const at = (shape: Shape, axis: unknown): number => Number(axis) < 0 ? shape.length + Number(axis) : Number(axis);
  const rest = (shape: Shape, axis: number): Shape => shape.filter((_, i) => i !== axis);
  const shape = [...rest(left, at(left, pair[0])), ...rest(right, at(right, pair[1])).slice(1)];
  return shape.length === 1 ? [...shape, 1] : shape;
};

const recurrent: ShapeRule = (input, { settings, innerSetting }) => {
  const own = settings["units"] ?? innerSetting("cell", "units");
  const units = typeof own === "number" ? [own] : innerSetting("cell", "cells/units");
  if (!Array.isArray(units) || units.length === 0 || units.some((one) => typeof one !== "number")) return undefined;
  const last: number = units.at(-1);
  const output: Shape = settings["returnSequences"] === true ? [input[0]!, input[1]!, last] : [input[0]!, last];
  if (settings["returnState"] !== true) return output;
  const states = /LSTM/.test(`${settings["class"]}`) ? [last, last] : units.toReversed();
  return [output, ...states.map((one: number): Shape => [input[0]!, one])];
};

const bidirectional: ShapeRule = (input, { settings: { mergeMode }, inner }) => {
  const [output, ...states] = inner("forwardLayer", input) ?? [];
  if (output === undefined) return undefined;
  const doubled = output.map((length, i) => i === output.length - 1 && length !== null ? 2 * length : length);
  const outputs: readonly Shape[] = mergeMode === null
    ? [output, output]
    : [mergeMode === undefined || mergeMode === "concat" ? doubled : output];
  return [...outputs, ...states, ...states];
};

const timeDistributed: ShapeRule = (input, { inner }) => {
  const [output] = inner("layer", [input[0]!, ...input.slice(2)]) ?? [];
  return output === undefined ? undefined : [output[0]!, input[1]!, ...output.slice(1)];
};

const convolvedRecurrent: ShapeRule = (input, call) => {
  const [batch, time, ...image] = input;
  const output = convolution(2, (settings) => numberIn(settings, "filters"))([batch!, ...image], call) as Shape;
  if (output === undefined || call.settings["returnState"] === true) return undefined;
  return call.settings["returnSequences"] === true ? [batch!, time!, ...output.slice(1)] : output;
};

const unchanged = [
  "Activation AlphaDropout BatchNormalization Dropout ELU GaussianDropout GaussianNoise LayerNormalization LeakyReLU Masking PReLU",
  "RandomBrightness RandomContrast RandomFlip RandomRotation ReLU Rescaling Softmax SpatialDropout1D ThresholdedReLU",
].join(" ").split(" ");

const filters = (settings: LayerSettings): Length => numberIn(settings, "filters");

/** The rules by class. */
const rules: ReadonlyMap<string, ShapeRule> = new Map<string, ShapeRule>([
  ...unchanged.map((name) => [name, same] as const),
  ...["Add", "Average", "Maximum", "Minimum", "Multiply"].map((name) => [name, merged] as const),
  ...["GRU", "LSTM", "RNN", "SimpleRNN"].map((name) => [name, recurrent] as const),
  ...[1, 2, 3].flatMap((axes) =>
    ["AveragePooling", "MaxPooling"].map((name) => [`${name}${axes}D`, pooling(axes)] as const)
  ),
  ...[1, 2].flatMap((axes) =>
    ["GlobalAveragePooling", "GlobalMaxPooling"].map((name) => [`${name}${axes}D`, globalPooling(axes)] as const)
  ),
  ...[1, 2, 3].map((axes) => [`Conv${axes}D`, convolution(axes, filters)] as const),
  ["SeparableConv2D", convolution(2, filters)],
  [
    "DepthwiseConv2D",
    convolution(2, (settings, before) => {
      const each = typeof settings["depthMultiplier"] === "number" ? settings["depthMultiplier"] : 1;
      return before === null ? null : before * each;
    }),
  ],
  ["Conv2DTranspose", transposed(2)],
  ["Conv3DTranspose", transposed(3)],
  ["Cropping2D", bordered("cropping", -1)],
  ["ZeroPadding2D", bordered("padding", 1)],
  [
    "UpSampling2D",
    (input, { settings }) => {
      const by = eachAxis(settings["size"], 2, 2);
      return onSpace(input, 2, settings, (length, i) => length === null ? null : length * by[i]!);
    },
  ],
  ["CenterCrop", resized],
  ["Resizing", resized],
  ["Dense", (input, { settings }) => [...input.slice(0, -1), numberIn(settings, "units")]],
  ["Flatten", (input) => [input[0]!, product(input.slice(1))]],
  ["Reshape", reshaped],
  [
    "Permute",
    (input, { settings: { dims } }) =>
      Array.isArray(dims) ? [input[0]!, ...dims.map((axis: number) => input[axis] ?? null)] : undefined,
  ],
  ["RepeatVector", (input, { settings }) => [input[0]!, numberIn(settings, "n"), ...input.slice(1)]],
  ["Embedding", (input, { settings }) => [...input, numberIn(settings, "outputDim")]],
  ["Concatenate", concatenated],
  ["Dot", dotted],
  ["Bidirectional", bidirectional],
  ["TimeDistributed", timeDistributed],
  ["ConvLSTM2D", convolvedRecurrent],
]);

// --- combinators

/** The shapes of what a layer of a class gives for its inputs; undefined if they are unknown. */
export function outputShapes(className: string, call: LayerCall): Shapes {
  const [input] = call.inputs;
  const found = input === undefined ? undefined : rules.get(className)?.(input, call);
  if (found === undefined) return undefined;
  const shapes = (Array.isArray(found[0]) ? found : [found]) as readonly Shape[];
  // A setting that is missing or of another type gives NaN.
  return shapes.every((shape) => shape.every((one) => one === null || (Number.isSafeInteger(one) && one >= 0)))
    ? shapes
    : undefined;
}
