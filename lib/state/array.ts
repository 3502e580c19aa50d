/**
 * Arrays as state: element types, shapes and bytes of tensors and typed arrays, and handles that hold them without a copy.
 *
 * This module does not import tfjs, so tools that only read checkpoints do not load it.
 *
 * @module
 */

// --- types

/** The five element types of a tfjs tensor. */
export type DType = "float32" | "int32" | "bool" | "complex64" | "string";

/** The typed arrays that plain data may hold. */
export type TypedArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | Uint8Array
  | Uint8ClampedArray
  | Uint16Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/**
 * The name of a {@link TypedArray}'s class.
 *
 * @internal
 */
export type TypedArrayName = TypedArray[typeof Symbol.toStringTag];

/** The element type of a held array: a tensor's dtype, or the name of a typed array's class. */
export type Element = DType | TypedArrayName;

/**
 * An array held for a snapshot. Its values do not change until it is released, even if the tensor it came from is changed or disposed.
 *
 * Bytes are little-endian, row-major and contiguous. complex64 alternates real and imaginary parts. A string tensor is the byte length of
 * each element (32 bits) followed by the element's bytes.
 */
export interface Held {
  readonly element: Element;
  readonly shape: readonly number[];
  /** A backend's data id, or the object of the bytes. Two held arrays with the same identity and element have the same bytes. */
  readonly identity: object;
  /** The bytes, if they are in memory already. */
  readonly resident?: Uint8Array;
  /** What reads and releases the bytes. */
  readonly home: Home;
}

/** What reads and releases held arrays. All arrays of one backend or file share one, because a snapshot may hold 100,000 arrays. */
export interface Home {
  /** Reads the bytes; asynchronous, because a GPU can only be read so. Callers must not write to them. */
  readonly read: (held: Held) => Promise<Uint8Array>;
  /** A view of the bytes if they are in this process's memory. It is valid until other code runs. */
  readonly peek: (held: Held) => Uint8Array | undefined;
  /** Whether `read` copies the bytes; `peek` never does. */
  readonly copies: (held: Held) => boolean;
  /** Releases the array. Call it once. */
  readonly release: (held: Held) => void;
}

const typedArrayClasses = {
  Float32Array,
  Float64Array,
  Int8Array,
  Int16Array,
  Int32Array,
  Uint8Array,
  Uint8ClampedArray,
  Uint16Array,
  Uint32Array,
  BigInt64Array,
  BigUint64Array,
};

const dtypeBytes: Readonly<Record<DType, number>> = { float32: 4, int32: 4, bool: 1, complex64: 8, string: 0 };

// --- constructors

/** Reads bytes that are already in memory. */
const resident: Home = {
  read: (held) => Promise.resolve(held.resident ?? new Uint8Array()),
  peek: (held) => held.resident,
  copies: () => false,
  release: () => {},
};

/**
 * Holds bytes that are already in memory.
 *
 * @param element The element type.
 * @param shape The array's shape; a typed array has one dimension.
 * @param bytes The array's bytes, which must not change afterwards.
 */
export function heldBytes(element: Element, shape: readonly number[], bytes: Uint8Array): Held {
  return { element, shape, identity: bytes, resident: bytes, home: resident };
}

// --- capture and restore

/** Whether a value is a typed array that plain data may hold: of one of this realm's classes itself, not of a subclass. */
export function isTypedArray(u: unknown): u is TypedArray {
  return ArrayBuffer.isView(u) &&
    Object.values(typedArrayClasses).some((array) => Object.getPrototypeOf(u) === array.prototype);
}

/** Whether a name is that of an {@link Element}. */
export function isElement(name: string): name is Element {
  return Object.hasOwn(dtypeBytes, name) || Object.hasOwn(typedArrayClasses, name);
}

/** Whether an element type belongs to a tensor, not to a typed array. */
export function isDType(name: string): name is DType {
  return Object.hasOwn(dtypeBytes, name);
}

/** Bytes of one element; 0 for strings, which differ in length. */
export function elementBytes(element: Element): number {
  return isDType(element) ? dtypeBytes[element] : typedArrayClasses[element].BYTES_PER_ELEMENT;
}

/** The number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, dim) => size * dim, 1);
}

/**
 * A typed array over bytes, without a copy if the bytes are aligned.
 *
 * @param name The class of the array.
 * @param bytes The array's bytes, a whole number of elements.
 */
export function typedView<Name extends TypedArrayName>(
  name: Name,
  bytes: Uint8Array,
): Extract<TypedArray, { readonly [Symbol.toStringTag]: Name }> {
  const array = typedArrayClasses[name] as Float64ArrayConstructor;
  const aligned = bytes.byteOffset % array.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  const length = aligned.byteLength / array.BYTES_PER_ELEMENT;
  return new array(aligned.buffer as ArrayBuffer, aligned.byteOffset, length) as never;
}

/** Packs the elements of a string tensor: for each its byte length (32 bits, little-endian), then its bytes. */
export function packStrings(strings: readonly Uint8Array[]): Uint8Array {
  const packed = new Uint8Array(strings.reduce((sum, s) => sum + 4 + s.byteLength, 0));
  const view = new DataView(packed.buffer);
  let at = 0;
  for (const s of strings) {
    view.setUint32(at, s.byteLength, true);
    packed.set(s, at + 4);
    at += 4 + s.byteLength;
  }
  return packed;
}

/** Unpacks the elements of a string tensor; undefined if the bytes are not exactly `count` packed strings. */
export function unpackStrings(packed: Uint8Array, count: number): Uint8Array[] | undefined {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
  const strings: Uint8Array[] = [];
  let at = 0;
  while (strings.length < count) {
    if (at + 4 > packed.byteLength) return undefined;
    const end = at + 4 + view.getUint32(at, true);
    if (end > packed.byteLength) return undefined;
    strings.push(packed.slice(at + 4, end));
    at = end;
  }
  return at === packed.byteLength ? strings : undefined;
}

/** Whether bytes have the length of an array of this element type and shape. */
export function fits(element: Element, shape: readonly number[], bytes: Uint8Array): boolean {
  return element === "string"
    ? unpackStrings(bytes, sizeOf(shape)) !== undefined
    : bytes.byteLength === sizeOf(shape) * elementBytes(element);
}

/** The numbers that an array's bytes are. A complex tensor gives both parts alternately, a string tensor its bytes. */
export function elementValues({ element }: Held, bytes: Uint8Array): ArrayLike<number | bigint> {
  if (element === "float32" || element === "complex64") return typedView("Float32Array", bytes);
  if (element === "int32") return typedView("Int32Array", bytes);
  if (element === "bool" || element === "string") return bytes;
  return typedView(element, bytes);
}

/** The dtypes that can be converted into each other, each with the class of its bytes. */
const numeric = { float32: Float32Array, int32: Int32Array, bool: Uint8Array } as const;

/**
 * Converts a held tensor to another dtype, if every value stays the same number.
 *
 * @param held A tensor whose bytes are in this process's memory.
 * @param dtype float32, int32 or bool.
 * @returns The converted tensor; or what cannot be converted, in words.
 */
export function converted(held: Held, dtype: DType): Held | string {
  const arrayOf = (name: string): (typeof numeric)["int32" | "float32" | "bool"] | undefined =>
    Object.hasOwn(numeric, name) ? numeric[name as keyof typeof numeric] : undefined;
  const [from, to] = [arrayOf(held.element), arrayOf(dtype)];
  if (from === undefined || to === undefined) return `${held.element}, of which there is none`;
  const bytes = held.home.peek(held);
  if (bytes === undefined) return "values in a GPU: save the snapshot, and load it";
  const values = typedView(from.name as TypedArrayName, bytes) as InstanceType<typeof from>;
  const result = to.from(values);
  const lost = values.findIndex((value, i) => !Object.is(value, result[i]) || (dtype === "bool" && value > 1));
  if (lost >= 0) return `${Object.is(values[lost], -0) ? "-0" : values[lost]} at element ${lost}`;
  return heldBytes(dtype, held.shape, new Uint8Array(result.buffer));
}
