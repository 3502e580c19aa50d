/**
 * Which networks resume with the same bits, as a table: 13 kinds of network, and 6 with masks, by 7 optimizers by backends by runtimes.
 *
 *     bun tests/programs/networks.ts
 *
 * Each is trained without interruption, and to its middle, where it is saved in a folder. New processes of both runtimes
 * resume it there, into a fresh model and with no model at all, and train it to the end. A cell is
 * - `exact` if the snapshot's id and the bits of the weights are those of the run without interruption each time, and those of a cold start
 *   are not;
 * - `unsupported` if tfjs itself cannot train it: what it throws is below the table;
 * - `refused` if it is not saved or not resumed, with the reason below the table;
 * - `WRONG` otherwise, and then the command fails.
 *
 *     networks.ts save <backend> <folder> <cells>      what its processes do; cells as JSON
 *     networks.ts resume <backend> <folder>
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { createHash } from "node:crypto";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import {
  captureState,
  directory,
  type DogearError,
  explain,
  id,
  Loader,
  pipe,
  readSnapshot,
  restoreState,
  resume,
  Rng,
  saveState,
} from "../../mod.ts";
import { type Backend, backendsOf, noWebGPU, useBackend } from "../support/backends.ts";
import { run, type Runtime } from "../support/children.ts";
import { batchSize, masked, type Network, networks, optimizers, targets } from "./kinds.ts";

// --- types

/** How a run ended. */
interface End {
  readonly id: string;
  /** The bits of the weights. */
  readonly weights: string;
  /** Whether they are numbers: what has become NaN would prove nothing. */
  readonly finite: boolean;
}

/** What a process says of a cell. */
interface Said {
  readonly cell: string;
  readonly whole?: End;
  readonly unsupported?: string;
  readonly refused?: string;
  readonly into?: End;
  readonly alone?: End;
  readonly cold?: End;
}

/** A cell of the table. */
export interface Cell {
  readonly network: string;
  readonly optimizer: string;
  readonly backend: Backend;
  readonly runtime: Runtime;
  readonly verdict: "exact" | "unsupported" | "refused" | "WRONG";
  readonly reason?: string;
}

interface State {
  readonly model: tf.LayersModel;
  readonly optimizer: tf.Optimizer;
  readonly rng: Rng.Rng;
  readonly cursor: Loader.Cursor;
  readonly step: number;
}

// --- one run

const [middle, total] = [4, 8];

const everyNetwork: Readonly<Record<string, Network>> = { ...networks, ...masked };

const batches: Loader.Loader<readonly number[]> = pipe(
  Loader.fromArray(Array.from({ length: 12 }, (_, i) => i)),
  Loader.shuffle(7),
  Loader.batch(batchSize),
  Loader.repeat(),
);

const separator = " by ";

function partsOf(cell: string): readonly [network: string, optimizer: string] {
  return cell.split(separator) as [string, string];
}

function fresh(cell: string): State {
  const [network, optimizer] = partsOf(cell);
  const [model, rng] = Rng.withRandom(Rng.make(42))(everyNetwork[network]!.build);
  return { model, optimizer: optimizers[optimizer]!(), rng, cursor: Loader.start(batches), step: 0 };
}

async function advance(cell: string, from: State, until: number): Promise<State> {
  const { inputs } = everyNetwork[partsOf(cell)[0]]!;
  let state = from;
  for await (const [samples, cursor] of Loader.from(state.cursor)(pipe(batches, Loader.take(until)))) {
    const { model, optimizer } = state;
    const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
    const [, rng] = Rng.withRandom(state.rng)(() =>
      tf.tidy(() =>
        void optimizer.minimize(
          () => {
            const outputs = [model.apply(inputs(samples), { training: true }) as tf.Tensor | tf.Tensor[]].flat();
            return outputs.map((output) => tf.losses.meanSquaredError(targets(samples), output) as tf.Scalar)
              .reduce((a, b) => a.add(b));
          },
          false,
          variables,
        )
      )
    );
    state = { ...state, rng, cursor, step: state.step + 1 };
  }
  return state;
}

async function endOf(state: State): Promise<End> {
  const hash = createHash("sha256");
  let finite = true;
  for (const weight of state.model.weights) {
    const values = await weight.read().data();
    finite &&= values.every(Number.isFinite);
    const { buffer, byteOffset, byteLength } = values;
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  using snapshot = captureState(state);
  return { id: await id(snapshot)(), weights: hash.digest("hex"), finite };
}

/** A task's value, or in words why there is none. */
async function told<A>(task: TaskEither<DogearError, A>): Promise<E.Either<string, A>> {
  return E.mapLeft(explain)(await task());
}

// --- what a process does

const messageOf = (cause: unknown): string => cause instanceof Error ? cause.message : String(cause);

/** Whether the device has refused it: some do at the first step already, if they have refused the same before. */
function isRefusal(cause: unknown): boolean {
  return cause instanceof Error && (cause.cause as { readonly _tag?: string } | undefined)?._tag === "DeviceFailed";
}

async function save(cell: string, folder: string): Promise<Said> {
  try {
    await advance(cell, fresh(cell), 1);
  } catch (cause) {
    // Nothing has been captured yet: it cannot be trained.
    return { cell, [isRefusal(cause) ? "refused" : "unsupported"]: messageOf(cause) };
  }
  try {
    const whole = await endOf(await advance(cell, fresh(cell), total));
    const saved = await told(saveState(directory(join(folder, cell)))(await advance(cell, fresh(cell), middle)));
    return E.isLeft(saved) ? { cell, refused: saved.left } : { cell, whole };
  } catch (cause) {
    return { cell, refused: messageOf(cause) };
  }
}

async function resumed(cell: string, folder: string): Promise<Said> {
  const store = directory(join(folder, cell));
  const state = await told(resume(store)(fresh(cell)));
  if (E.isLeft(state)) return { cell, refused: state.left };
  const { cursor, step } = state.right;
  const into = await endOf(await advance(cell, state.right, total));
  const cold = await endOf(await advance(cell, { ...fresh(cell), cursor, step }, total));
  const snapshot = await told(readSnapshot(store));
  if (E.isLeft(snapshot)) return { cell, refused: snapshot.left };
  const restored = await told(() => Promise.resolve(restoreState(snapshot.right)));
  if (E.isLeft(restored)) return { cell, refused: restored.left };
  return { cell, into, cold, alone: await endOf(await advance(cell, restored.right as State, total)) };
}

/** Pairings of these networks with optimizers: each network with one first, then with the next. */
export function pairings(of: readonly string[]): readonly string[] {
  const names = Object.keys(optimizers);
  return names.flatMap((_, k) => of.map((network, i) => network + separator + names[(i + k) % names.length]));
}

async function work([command = "", backend = "", folder = "", given = "[]"]: readonly string[]): Promise<void> {
  await useBackend(backend as Backend);
  const cells: readonly string[] = command === "save" ? JSON.parse(given) : (await readdir(folder)).toSorted();
  for (const cell of cells) {
    tf.engine().startScope();
    const said = await (command === "save" ? save(cell, folder) : resumed(cell, folder));
    tf.engine().endScope();
    tf.disposeVariables();
    process.stdout.write(`${JSON.stringify(said)}\n`);
  }
}

// --- the table

async function ask(runtime: Runtime, ...args: readonly string[]): Promise<readonly Said[]> {
  const lines = await run(runtime, "networks.ts", args);
  return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
}

const equal = (a: End | undefined, b: End | undefined): boolean =>
  a !== undefined && a.id === b?.id && a.weights === b.weights;

/** What the processes said of one cell, judged: silence is wrong, too. */
function judged(saved: Said, resumptions: readonly (Said | undefined)[]): Pick<Cell, "verdict" | "reason"> {
  if (saved.unsupported !== undefined) return { verdict: "unsupported", reason: saved.unsupported };
  const refused = [saved, ...resumptions].find((said) => said?.refused !== undefined)?.refused;
  if (refused !== undefined) return { verdict: "refused", reason: refused };
  const isExact = saved.whole?.finite === true && resumptions.length > 0 &&
    resumptions.every((said) =>
      equal(said?.into, saved.whole) && equal(said?.alone, saved.whole) &&
      said?.cold !== undefined && said.cold.id !== saved.whole?.id && said.cold.weights !== saved.whole?.weights
    );
  return { verdict: isExact ? "exact" : "WRONG" };
}

/**
 * The cells of one runtime and backend, saved there and resumed in every runtime that has the backend.
 *
 * @param cells Which, of {@link pairings}.
 */
export async function cellsOf(
  runtime: Runtime,
  backend: Backend,
  cells: readonly string[],
): Promise<readonly Cell[]> {
  const folder = await mkdtemp(join(tmpdir(), "networks-"));
  try {
    const saved = await ask(runtime, "save", backend, folder, JSON.stringify(cells));
    const others = (["bun", "deno"] as const).filter((other) => backendsOf[other].includes(backend));
    const resumptions = await Promise.all(others.map((other) => ask(other, "resume", backend, folder)));
    return saved.map((said) => {
      const [network, optimizer] = partsOf(said.cell);
      const all = resumptions.map((list) => list.find(({ cell }) => cell === said.cell));
      return { network, optimizer, backend, runtime, ...judged(said, all) };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A verdict for several cells: one word if they agree. */
function summary(cells: readonly Cell[]): string {
  const counts = new Map<string, number>();
  for (const { verdict } of cells) counts.set(verdict, (counts.get(verdict) ?? 0) + 1);
  return counts.size === 1
    ? cells[0]!.verdict
    : [...counts].map(([verdict, count]) => `${count} ${verdict}`).join(", ");
}

async function table(): Promise<void> {
  const columns = (["bun", "deno"] as const).flatMap((runtime) =>
    backendsOf[runtime].filter((backend) => backend !== "webgpu" || !noWebGPU || runtime === "deno")
      .map((backend) => [runtime, backend] as const)
  );
  const cells: Cell[] = [];
  for (const [runtime, backend] of columns) {
    cells.push(...await cellsOf(runtime, backend, pairings(Object.keys(everyNetwork))));
  }
  const names = Object.keys(optimizers);
  const line = (parts: readonly string[]): void => {
    const [first = "", second = "", ...rest] = parts;
    const padded = [first.padEnd(34), second.padEnd(12), ...rest.map((part) => part.padEnd(12))];
    process.stdout.write(`${padded.join(" ").trimEnd()}\n`);
  };
  line(["network", "optimizer", ...columns.map(([runtime, backend]) => `${backend} ${runtime}`), "webgpu bun"]);
  for (const network of Object.keys(everyNetwork)) {
    for (const optimizer of names) {
      const verdicts = columns.map(([runtime, backend]) =>
        summary(
          cells.filter((cell) =>
            cell.network === network && cell.optimizer === optimizer && cell.runtime === runtime &&
            cell.backend === backend
          ),
        )
      );
      line([network, optimizer, ...verdicts, "no webgpu"]);
    }
  }
  const reasons = new Map<string, Set<string>>();
  for (const { verdict, reason, network, backend } of cells) {
    if (reason === undefined) continue;
    const key = `${verdict} on ${backend}: ${reason.split("\n")[0]}`;
    reasons.set(key, (reasons.get(key) ?? new Set()).add(network));
  }
  for (const [reason, of] of reasons) process.stdout.write(`${reason} (${[...of].join(", ")})\n`);
  process.stdout.write(`${cells.length} cells: ${summary(cells)}\n`);
  if (cells.some(({ verdict }) => verdict === "WRONG")) process.exitCode = 1;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  await (args.length === 0 ? table() : work(args));
}
