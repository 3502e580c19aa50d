/**
 * Why a resumed training went another way: told by resuming it again, with what it takes from its surroundings repeated.
 *
 * A source whose repeated answers make two runs agree that do not agree otherwise is a cause, wherever in the code it is asked.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import type { TaskEither } from "fp-ts/lib/TaskEither.js";
import { type Ambient, type Call, callText } from "../ambient.ts";
import type { Divergence, NotResumable, ResumeCause } from "../errors.ts";

// --- types

/** What is known when a divergence is found. */
export interface Findings {
  readonly divergence: Divergence;
  /** What steps of the uninterrupted run changed and no component holds. */
  readonly unlisted: readonly string[];
  /** Where the state changed after a step had ended. */
  readonly late: readonly string[];
}

/** Resumes once more, up to the divergence, with some sources pinned: the ids of its states, and the calls there were. */
export type Again<L> = (
  pinned: readonly Ambient[],
) => TaskEither<L, { readonly ids: readonly string[]; readonly calls: readonly Call[] }>;

// --- combinators

/** Whether `Math.random` is not the engine's own: a generator of somebody's, whose state is nowhere. */
function isReplaced(): boolean {
  return !Function.prototype.toString.call(Math.random).includes("[native code]");
}

/**
 * The cause of a divergence.
 *
 * @param findings What is known.
 * @param again Resumes once more from the same checkpoint.
 * @returns The error to answer with; its left is what came in the way of resuming again.
 */
export function causeOf<L>(findings: Findings, again: Again<L>): TaskEither<L, NotResumable> {
  const { divergence, unlisted, late } = findings;
  const because = (cause: ResumeCause, evidence: readonly string[] = []): E.Either<never, NotResumable> =>
    E.right({ _tag: "NotResumable", cause, divergence, evidence });
  return async () => {
    if (unlisted.length > 0) return because("unlisted", unlisted);
    if (late.length > 0) return because("late", late);
    const calls: Call[] = [];
    /** Whether two runs with these sources pinned agree; a left if one could not be made. */
    const agree = async (pinned: readonly Ambient[]): Promise<E.Either<L, boolean>> => {
      const first = await again(pinned)();
      if (E.isLeft(first)) return first;
      const second = await again(pinned)();
      if (E.isLeft(second)) return second;
      if (pinned.length === 0) calls.push(...first.right.calls);
      return E.right(first.right.ids.join() === second.right.ids.join());
    };
    const called = (...sources: readonly Ambient[]): readonly string[] =>
      calls.filter(({ source }) => sources.includes(source)).map(callText);
    const steady = await agree([]);
    if (E.isLeft(steady)) return steady;
    if (steady.right) {
      if (called("random").length > 0 && isReplaced()) return because("random", called("random"));
      if (divergence.step === divergence.from) return because("codec");
      // All that fresh makes is at the start as it was.
      if (divergence.from === 0 && divergence.resumed === "in this process") return because("captured");
      return because(divergence.resumed === "in this process" ? "rebuilt" : "loaded");
    }
    for (const pinned of [["random"], ["clock"], ["random", "clock"]] as const) {
      if (pinned.some((source) => called(source).length === 0)) continue;
      const explained = await agree(pinned);
      if (E.isLeft(explained)) return explained;
      if (explained.right) return because(pinned[0], called(...pinned));
    }
    return because((tf.getBackend() as string | undefined) === "webgpu" ? "kernel" : "captured");
  };
}
