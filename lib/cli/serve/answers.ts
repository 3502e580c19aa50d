/**
 * What the page asks for, as JSON.
 *
 * | request | answer |
 * |---|---|
 * | `runs?since=` | the runs, and their checkpoints that changed after that version |
 * | `curves?run=&from=&to=&points=` | every metric, with fewer points where there are many |
 * | `checkpoint?run=&checkpoint=` | the document of `dogear inspect --json`, models as tables, optimizers, schedules, positions in data, tensors |
 * | `tensor?run=&checkpoint=&path=` | the document of `dogear inspect --json` for a part |
 * | `histograms?run=&path=&most=` | a tensor over checkpoints, on common edges |
 * | `diff?left=&right=` | what two checkpoints differ in |
 *
 * Runs are named by keys, so that no request can name a path.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { withCheckpoint } from "../../checkpoint/mod.ts";
import { type CommandError, type CommandTask, errorOf, messageOf, usageError } from "../arguments.ts";
import { checkpointStatus } from "../checkpoint_status.ts";
import { checkpointJson } from "../inspection.ts";
import type { NamedCheckpoint } from "../reference.ts";
import { curvesJson } from "./curves.ts";
import { detailsOf } from "./details.ts";
import {
  type CheckpointKey,
  checkpointKey,
  finite,
  parseQuery,
  type QueryOf,
  type QueryRule,
  text,
  whole,
} from "./query.ts";
import { diffJson, histogramsJson, tensorJson } from "./tensors.ts";
import { look, runOf, runsJson, type Watched, type WatchedRun } from "./watch.ts";

// --- types

/** An answer: JSON, or why there is none. */
type Answered = E.Either<AnswerError, unknown>;

/** Why there is no answer. */
export interface AnswerError {
  /** The status of HTTP. */
  readonly status: number;
  readonly tag: string;
  readonly message: string;
}

type Rules = Readonly<Record<string, QueryRule<unknown>>>;

/** A kind of request. */
interface Endpoint {
  readonly rules: Rules;
  /** Whether it reads tensors, so that only a few are answered at once. */
  readonly reads: boolean;
  readonly answer: (watched: Watched, query: never, signal: AbortSignal) => CommandTask<unknown>;
}

function endpoint<R extends Rules>(
  rules: R,
  reads: boolean,
  answer: (watched: Watched, query: QueryOf<R>, signal: AbortSignal) => CommandTask<unknown>,
): Endpoint {
  return { rules, reads, answer };
}

// --- constructors

/** The run of a key, if it can be opened. */
function openRunOf(watched: Watched, key: string): E.Either<CommandError, WatchedRun> {
  const run = runOf(watched, key);
  if (run?.store !== undefined) return E.right(run);
  if (run !== undefined) return E.left(usageError(run.error ?? "The run cannot be opened"));
  const known = watched.shown.map((one) => one.key).join(", ") || "none";
  return E.left(usageError(`Expected the key of a run: ${known}, found ${JSON.stringify(key.slice(0, 80))}`));
}

function checkpointAt(watched: Watched, { key, checkpoint }: CheckpointKey): CommandTask<NamedCheckpoint> {
  return TE.fromEither(
    pipe(openRunOf(watched, key), E.map(({ text, store }) => ({ text, store: store!, checkpoint }))),
  );
}

function checkpointDocument(at: NamedCheckpoint, signal: AbortSignal): CommandTask<unknown> {
  return withCheckpoint(at, (opened) =>
    pipe(
      checkpointStatus(at.store, at.checkpoint, false),
      TE.map((status) => ({ ...checkpointJson(opened, status), ...detailsOf(opened) })),
    ), signal);
}

const most = Number.MAX_SAFE_INTEGER;
const checkpoint = whole(0, most);

const endpoints: ReadonlyMap<string, Endpoint> = new Map([
  ["runs", endpoint({ since: whole(0, most, 0) }, false, (watched, { since }) => TE.right(runsJson(watched, since)))],
  [
    "curves",
    endpoint(
      { run: text, from: finite(-Infinity), to: finite(Infinity), points: whole(10, 20_000, 2000) },
      false,
      (watched, { run, from, to, points }) =>
        pipe(
          TE.fromEither(openRunOf(watched, run)),
          TE.map((found) => curvesJson(watched, found, { from, to, most: points })),
        ),
    ),
  ],
  [
    "checkpoint",
    endpoint(
      { run: text, checkpoint },
      true,
      (watched, { run: key, checkpoint }, signal) =>
        pipe(checkpointAt(watched, { key, checkpoint }), TE.flatMap((at) => checkpointDocument(at, signal))),
    ),
  ],
  [
    "tensor",
    endpoint(
      { run: text, checkpoint, path: text },
      true,
      (watched, { run: key, checkpoint, path }, signal) =>
        pipe(checkpointAt(watched, { key, checkpoint }), TE.flatMap((at) => tensorJson(at, path, signal))),
    ),
  ],
  [
    "histograms",
    endpoint({ run: text, path: text, most: whole(1, 400, 40) }, true, (watched, { run, path, most }, signal) =>
      pipe(
        TE.fromEither(openRunOf(watched, run)),
        TE.flatMapTask((found) => () => histogramsJson(found, path, most, signal)),
      )),
  ],
  [
    "diff",
    endpoint({ left: checkpointKey, right: checkpointKey }, true, (watched, { left, right }, signal) =>
      pipe(
        TE.Do,
        TE.bind("a", () => checkpointAt(watched, left)),
        TE.bind("b", () => checkpointAt(watched, right)),
        TE.flatMap(({ a, b }) => diffJson(a, b, signal)),
      )),
  ],
]);

const statuses: Readonly<Record<string, number>> = { Usage: 400, NoCheckpoint: 404 };

/** The answer of an error. */
function answerError(error: CommandError): AnswerError {
  return { status: statuses[error._tag] ?? 500, tag: error._tag, message: messageOf(error) };
}

// --- in turn

/** How many requests that read tensors are answered at once, and how many may wait. */
const [mostAtOnce, mostWaiting] = [2, 64];

/** Lets a few tasks run at once, and the others wait. */
interface Turns {
  readonly waiting: (() => void)[];
  running: number;
}

/** No task runs yet. */
export function turns(): Turns {
  return { waiting: [], running: 0 };
}

async function inTurn<A>(turns: Turns, signal: AbortSignal, task: () => Promise<A>): Promise<A | "busy"> {
  if (turns.running >= mostAtOnce) {
    if (turns.waiting.length >= mostWaiting) return "busy";
    await new Promise<void>((resolve) => turns.waiting.push(resolve));
  }
  turns.running++;
  try {
    signal.throwIfAborted();
    return await task();
  } finally {
    turns.running--;
    turns.waiting.shift()?.();
  }
}

// --- answering

/**
 * Answers a request.
 *
 * @param watched The runs.
 * @param turns Bounds how many requests read tensors at once.
 * @param name What is asked for.
 * @param query What follows the question mark.
 * @param signal Aborted when the client has gone.
 */
export async function answer(
  watched: Watched,
  turns: Turns,
  name: string,
  query: string,
  signal: AbortSignal,
): Promise<Answered> {
  const found = endpoints.get(name);
  if (found === undefined) return E.left({ status: 404, tag: "NotFound", message: "There is no such request" });
  const values = parseQuery(query, found.rules);
  if (E.isLeft(values)) return E.left(answerError(values.left));
  const task = async (): Promise<E.Either<CommandError, unknown>> => {
    try {
      await look(watched);
      return await found.answer(watched, values.right as never, signal)();
    } catch (thrown) {
      return E.left(errorOf(thrown));
    }
  };
  const given = found.reads ? await inTurn(turns, signal, task) : await task();
  if (given === "busy") return E.left({ status: 503, tag: "Busy", message: "Too many requests wait for tensors" });
  return pipe(given, E.mapLeft(answerError));
}
