/**
 * Finds line ends sixteen bytes at a time: one function of WebAssembly, assembled here from the instructions it is made of.
 *
 * JavaScript looks at four bytes at a time and spends longer on it than reading a file from memory takes. The function counts
 * the line ends of a part and notes where every so many of them stand; it touches nothing but its own memory.
 *
 * @module
 */

// --- types

/** Two parts of a file in memory, and the search for line ends in either. */
export interface Scanner {
  /** Where to read the parts of the file to, by turns. */
  readonly parts: readonly [Uint8Array, Uint8Array];
  /**
   * Looks for line ends in a piece of a part; the bytes after it, up to the next multiple of 64, are lost.
   *
   * @param part Which one.
   * @param begin Where the piece begins in it: a multiple of 64.
   * @param end Where it ends, at most {@link piece} bytes on.
   * @param skip How many line ends to pass over before the first one that is noted.
   * @param stride Every how many of them one is noted from then on.
   * @param note Told where in the part they stand, in order.
   * @returns How many line ends there are.
   */
  readonly scan: (
    part: 0 | 1,
    begin: number,
    end: number,
    skip: number,
    stride: number,
    note: (at: number) => void,
  ) => number;
}

type Code = readonly number[];

// --- instructions

/** An unsigned integer in groups of 7 bits, the lowest first. */
function unsigned(n: number): Code {
  return n < 128 ? [n] : [n % 128 + 128, ...unsigned(Math.floor(n / 128))];
}

/** An integer from -64 to 8191 in the same groups, of which the last carries the sign. */
function signed(n: number): Code {
  return n < 64 ? [n & 127] : [n % 128 + 128, n >> 7];
}

const sized = (code: Code): Code => [...unsigned(code.length), ...code];
const list = (...items: readonly Code[]): Code => [...unsigned(items.length), ...items.flat()];
const section = (id: number, ...items: readonly Code[]): Code => [id, ...sized(list(...items))];
const text = (word: string): Code => sized([...word].map((c) => c.charCodeAt(0)));

const [i32, i64] = [0x7f, 0x7e];
const get = (local: number): Code => [0x20, local];
const set = (local: number): Code => [0x21, local];
const number = (n: number): Code => [0x41, ...signed(n)];
const long = (n: number): Code => [0x42, ...signed(n)];
const unary = (...op: Code) => (a: Code): Code => [...a, ...op];
const binary = (...op: Code) => (a: Code, b: Code): Code => [...a, ...b, ...op];
const [add, sub, less] = [binary(0x6a), binary(0x6b), binary(0x49)];
const [or, and, shiftLeft, subLong] = [binary(0x84), binary(0x83), binary(0x86), binary(0x7d)];
const [ones, zerosBelow, toLong, toNumber] = [unary(0x7b), unary(0x7a), unary(0xad), unary(0xa7)];
const [equalBytes, highBits] = [binary(0xfd, 0x23), unary(0xfd, 0x64)];
const load = (offset: number): (at: Code) => Code => unary(0xfd, 0x00, 0, ...unsigned(offset));
const store = binary(0x36, 2, 0);
const sixteen = (byte: number): Code => [0xfd, 0x0c, ...new Array<number>(16).fill(byte)];
/** Steps done over again as long as a condition holds before them. */
const during = (holds: Code, ...steps: readonly Code[]): Code => [
  ...[0x02, 0x40, 0x03, 0x40],
  ...[...holds, 0x45, 0x0d, 1],
  ...[...steps.flat(), 0x0c, 0],
  ...[0x0b, 0x0b],
];

// --- the function

/** Its parameters: from where and up to where, a multiple of 64 bytes apart; the rest of {@link Scanner.scan}'s; where to note. */
const [at, end, skip, stride, out] = [0, 1, 2, 3, 4];
/** The line ends of 64 bytes as bits, how many they are, and how many there were in all. */
const [mask, count, total] = [5, 6, 7];

/** A bit for each of 16 bytes that is a line end, in the place of those bytes among 64. */
const bits = (k: number): Code =>
  shiftLeft(toLong(highBits(equalBytes(load(16 * k)(get(at)), sixteen(10)))), long(16 * k));
const dropLowest: Code = [...and(get(mask), subLong(get(mask), long(1))), ...set(mask)];
const lessOne = (local: number): Code => [...sub(get(local), number(1)), ...set(local)];

const body: Code = [
  during(
    less(get(at), get(end)),
    [...or(or(bits(0), bits(1)), or(bits(2), bits(3))), ...set(mask)],
    [...toNumber(ones(get(mask))), ...set(count)],
    [...add(get(total), get(count)), ...set(total)],
    during(
      less(get(skip), get(count)),
      during(get(skip), dropLowest, lessOne(count), lessOne(skip)),
      store(get(out), add(get(at), toNumber(zerosBelow(get(mask))))),
      [...add(get(out), number(4)), ...set(out)],
      [...dropLowest, ...lessOne(count)],
      [...sub(get(stride), number(1)), ...set(skip)],
    ),
    [...sub(get(skip), get(count)), ...set(skip)],
    [...add(get(at), number(64)), ...set(at)],
  ),
  get(total),
].flat();

/** The most pages of memory that 32 bits reach. */
const most = 2 ** 16;

/** The module: it imports its memory and exports the function. */
export const moduleBytes: Uint8Array<ArrayBuffer> = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [0x60, ...list([i32], [i32], [i32], [i32], [i32]), ...list([i32])]),
  // 3: with a maximum, and shared.
  ...section(2, [...text("a"), ...text("memory"), 0x02, 0x03, 1, ...unsigned(most)]),
  ...section(3, [0]),
  ...section(7, [...text("scan"), 0x00, 0]),
  ...section(10, sized([...list([1, i64], [2, i32]), ...body, 0x0b])),
]);

// --- constructors

/** As many bytes are searched at a time, and as many places may be noted. */
export const piece: number = 2 ** 18;
const page = 2 ** 16;

type Scan = (at: number, end: number, skip: number, stride: number, out: number) => number;
let compiled: WebAssembly.Module | undefined;

/**
 * Memory for two parts of a file.
 *
 * @param bytes The length of a part.
 */
export function scanner(bytes: number): Scanner {
  compiled ??= new WebAssembly.Module(moduleBytes);
  const whole = Math.ceil(bytes / 64) * 64;
  const first = 4 * piece;
  const pages = Math.ceil((first + 2 * whole) / page);
  // Shared, because Bun reads a file into memory of its own, and copies, where that of WebAssembly is not.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const search = new WebAssembly.Instance(compiled, { a: { memory } }).exports["scan"] as Scan;
  const noted = new Int32Array(memory.buffer, 0, piece);
  const all = new Uint8Array(memory.buffer);
  return {
    parts: [all.subarray(first, first + bytes), all.subarray(first + whole, first + whole + bytes)],
    scan: (part, begin, end, skip, stride, note) => {
      const from = first + part * whole;
      const last = Math.ceil(end / 64) * 64;
      all.fill(0, from + end, from + last);
      const count = search(from + begin, from + last, skip, stride, 0);
      const notes = count > skip ? Math.ceil((count - skip) / stride) : 0;
      for (let i = 0; i < notes; i++) note(noted[i]! - from);
      return count;
    },
  };
}
