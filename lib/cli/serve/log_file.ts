/**
 * A log of metrics that is followed while it grows.
 *
 * @module
 */
import { type FileHandle, open } from "node:fs/promises";
import { Buffer } from "node:buffer";
import { logMark, type LogParent, type LogReader, logReader } from "../../logs/mod.ts";
import type { Points } from "./decimate.ts";

// --- types

/** The points of one metric, in arrays that grow. */
interface Growing extends Points {
  steps: Float64Array;
  values: Float64Array;
  length: number;
  /** Whether a step was logged after a later one. */
  isMixed: boolean;
}

/** A log file, as far as it was read. */
export interface FollowedLog {
  readonly path: string;
  /** The run that the first line names; null for none, undefined for a file that is no log. */
  readonly run: string | null | undefined;
  /** The checkpoint of another run that the run forked from. */
  readonly parent: LogParent | null;
  readonly metrics: ReadonlyMap<string, Growing>;
  /** How much of the file was read, and its length. */
  readonly read: number;
  readonly bytes: number;
}

/** Follows a log file. */
export interface Follower {
  readonly state: () => FollowedLog;
  /** Reads what is new, in pieces; true if anything changed. It stops early when `goesOn` says so. */
  readonly follow: (goesOn: () => boolean) => Promise<boolean>;
}

const pieceBytes = 2 ** 18;

/** How many bytes before the position are compared, to notice a file that was cut and has grown again. */
const tailBytes = 64;

// --- constructors

function grown(array: Float64Array, length: number): Float64Array {
  if (length < array.length) return array;
  const larger = new Float64Array(Math.max(256, 2 * array.length));
  larger.set(array);
  return larger;
}

function addPoint(metrics: Map<string, Growing>, name: string, step: number, value: number): void {
  const points = metrics.get(name) ??
    { steps: new Float64Array(0), values: new Float64Array(0), length: 0, isMixed: false };
  metrics.set(name, points);
  points.steps = grown(points.steps, points.length);
  points.values = grown(points.values, points.length);
  points.isMixed ||= points.length > 0 && points.steps[points.length - 1]! > step;
  points.steps[points.length] = step;
  points.values[points.length] = value;
  points.length++;
}

/** Puts points in the order of their steps; of one step, in the order in which they were logged. */
function sortPoints(points: Growing): void {
  if (!points.isMixed) return;
  const { steps, values, length } = points;
  const order = Array.from({ length }, (_, i) => i).sort((a, b) => steps[a]! - steps[b]! || a - b);
  points.steps = Float64Array.from(order, (i) => steps[i]!);
  points.values = Float64Array.from(order, (i) => values[i]!);
  points.isMixed = false;
}

async function readAt(file: FileHandle, at: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  const { bytesRead } = await file.read(bytes, 0, length, at);
  return bytes.subarray(0, bytesRead);
}

/** Follows a log file from its start. A file that was cut or replaced is read anew, and one that is no log is left alone. */
export function follower(path: string): Follower {
  let reader: LogReader = logReader();
  let metrics = new Map<string, Growing>();
  let [read, bytes, tail]: [number, number, Uint8Array] = [0, 0, new Uint8Array()];
  let run: string | null | undefined;
  let parent: LogParent | null = null;

  const restart = (): boolean => {
    const had = read > 0;
    [reader, metrics, read, bytes, tail] = [logReader(), new Map(), 0, 0, new Uint8Array()];
    [run, parent] = [undefined, null];
    return had;
  };

  const readOn = async (file: FileHandle, goesOn: () => boolean): Promise<boolean> => {
    let changed = false;
    const { size } = await file.stat();
    const before = await readAt(file, read - tail.length, tail.length);
    if (size < read || Buffer.compare(before, tail) !== 0) changed = restart();
    bytes = size;
    while (read < bytes && goesOn()) {
      const piece = await readAt(file, read, Math.min(pieceBytes, bytes - read));
      if (piece.length === 0) break;
      if (read === 0 && !Buffer.from(piece).toString("latin1", 0, logMark.length).startsWith(logMark)) break;
      for (const { record } of reader(piece)) {
        if (record?._tag === "Header") ({ run, parent } = record);
        if (record?._tag !== "Values") continue;
        for (const [name, value] of Object.entries(record.values)) addPoint(metrics, name, record.step, value);
      }
      read += piece.length;
      tail = piece.slice(-tailBytes);
      changed = true;
    }
    return changed;
  };

  return {
    state: () => {
      for (const points of metrics.values()) sortPoints(points);
      return { path, run, parent, metrics, read, bytes };
    },
    follow: async (goesOn) => {
      const file = await open(path, "r").catch(() => undefined);
      if (file === undefined) return restart();
      try {
        return await readOn(file, goesOn);
      } catch {
        return restart();
      } finally {
        await file.close();
      }
    },
  };
}
