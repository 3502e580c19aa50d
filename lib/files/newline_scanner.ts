/**
 * The newline scanner: finds line ends 16 bytes at a time with one WebAssembly function, which is assembled here from its instructions.
 *
 * `indexOf` in JavaScript takes 3 to 17 times as long, which is longer than reading the file from memory. The function counts the line ends
 * of a part of a file and stores the position of every n-th one. It accesses only its own memory.
 *
 * @module
 */

// --- types

/** Memory for two parts of a file, and the search for line ends in them. */
export interface Scanner {
  /** The memory that parts of the file are read into, alternately. */
  readonly parts: readonly [Uint8Array, Uint8Array];
  /**
   * Searches a piece of a part for line ends. It overwrites the bytes after the piece, up to the next multiple of 64.
   *
   * @param part The part, 0 or 1.
   * @param begin The start of the piece in the part: a multiple of 64.
   * @param end The end of the piece, at most {@link piece} bytes after `begin`.
   * @param skip How many line ends come before the first one that is reported.
   * @param stride From then on every `stride`-th line end is reported.
   * @param note Receives the positions in the part, ascending.
   * @returns The number of line ends in the piece.
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

/** An integer from -64 to 8191 in the same encoding, signed. */
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
/** A loop: steps that repeat while a condition holds before them. */
const during = (holds: Code, ...steps: readonly Code[]): Code => [
  ...[0x02, 0x40, 0x03, 0x40],
  ...[...holds, 0x45, 0x0d, 1],
  ...[...steps.flat(), 0x0c, 0],
  ...[0x0b, 0x0b],
];

// --- the function

/** The parameters: start and end, a multiple of 64 bytes apart; `skip` and `stride` of {@link Scanner.scan}; where to store positions. */
const [at, end, skip, stride, out] = [0, 1, 2, 3, 4];
/** The local variables: the line ends of 64 bytes as bits, their number, and the total number. */
const [mask, count, total] = [5, 6, 7];

/** A bit for each line end among 16 bytes, at the position of those bytes among 64. */
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

/** The most pages of memory that 32 bits can address. */
const maxPages = 2 ** 16;

/** The module: it imports its memory and exports the function. */
export const moduleBytes: Uint8Array<ArrayBuffer> = Uint8Array.from([
  ...[0x00, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
  ...section(1, [0x60, ...list([i32], [i32], [i32], [i32], [i32]), ...list([i32])]),
  // 3: shared memory with a maximum.
  ...section(2, [...text("a"), ...text("memory"), 0x02, 0x03, 1, ...unsigned(maxPages)]),
  ...section(3, [0]),
  ...section(7, [...text("scan"), 0x00, 0]),
  ...section(10, sized([...list([1, i64], [2, i32]), ...body, 0x0b])),
]);

// --- constructors

/** The most bytes searched at a time, and so the most positions stored. */
export const piece: number = 2 ** 18;
const page = 2 ** 16;

type ScanFunction = (at: number, end: number, skip: number, stride: number, out: number) => number;
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
  // Shared memory: into other WebAssembly memory Bun does not read a file directly, but copies it.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const search = new WebAssembly.Instance(compiled, { a: { memory } }).exports["scan"] as ScanFunction;
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
