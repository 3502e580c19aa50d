/**
 * Diagnoses why a resumed training diverged, by resuming it again with ambient sources pinned.
 *
 * If two runs agree only with a source pinned, that source is the cause, wherever the code reads it.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import * as E from "fp-ts/lib/Either.js";
import { pipe } from "fp-ts/lib/function.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import { type AmbientSource, callText } from "./nondeterminism.ts";
import type { Divergence, NotResumable, ResumeCause } from "../errors/mod.ts";
import type { RecordedRun } from "./resumed_run.ts";
import type { StraightRun } from "./uninterrupted_run.ts";

// --- combinators

/** The cause of a divergence that repeats. */
function steadyCause({ step, from, resumed }: Divergence, drawsFromReplaced: boolean): ResumeCause {
  if (drawsFromReplaced) return "random";
  if (step === from) return "codec";
  if (resumed === "in a new process") return "loaded";
  // Before the first step all that `fresh` made is as it was in the uninterrupted run.
  return from === 0 ? "captured" : "rebuilt";
}

/**
 * The cause of a divergence.
 *
 * @param divergence The divergence.
 * @param straight What the uninterrupted run has shown already.
 * @param again Resumes once more from the same checkpoint, up to the divergence, with some sources pinned.
 * @returns The error with the cause; its left is an error of resuming again.
 */
export function diagnose<L>(
  divergence: Divergence,
  { unlisted, late }: Pick<StraightRun, "unlisted" | "late">,
  again: (pinned: readonly AmbientSource[]) => TE.TaskEither<L, Pick<RecordedRun, "ids" | "calls">>,
): TE.TaskEither<L, NotResumable> {
  const because = (cause: ResumeCause, evidence: readonly string[] = []): E.Either<never, NotResumable> =>
    E.right({ _tag: "NotResumable", cause, divergence, evidence });
  /** Whether two runs with these sources pinned agree, and the calls of the first. */
  const compareTwice = (pinned: readonly AmbientSource[]) =>
    pipe(
      TE.bindTo("first")(again(pinned)),
      TE.bind("second", () => again(pinned)),
      TE.map(({ first: { ids, calls }, second }) => ({ agree: ids.join() === second.ids.join(), calls })),
    );
  return async () => {
    if (unlisted.length > 0) return because("unlisted", unlisted);
    if (late.length > 0) return because("late", late);
    const unpinned = await compareTwice([])();
    if (E.isLeft(unpinned)) return unpinned;
    const callsOf = (...sources: readonly AmbientSource[]): readonly string[] =>
      unpinned.right.calls.filter(({ source }) => sources.includes(source)).map(callText);
    if (unpinned.right.agree) {
      // If `Math.random` is not the engine's own function, it is a generator whose state no component holds.
      const isReplaced = !Function.prototype.toString.call(Math.random).includes("[native code]");
      const draws = isReplaced ? callsOf("random") : [];
      return because(steadyCause(divergence, draws.length > 0), draws);
    }
    for (const pinned of [["random"], ["clock"], ["random", "clock"]] as const) {
      if (pinned.some((source) => callsOf(source).length === 0)) continue;
      const compared = await compareTwice(pinned)();
      if (E.isLeft(compared)) return compared;
      if (compared.right.agree) return because(pinned[0], callsOf(...pinned));
    }
    return because((tf.getBackend() as string | undefined) === "webgpu" ? "kernel" : "captured");
  };
}
