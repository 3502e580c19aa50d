/**
 * The rates that a schedule will give.
 *
 * @module
 */
import { Schedule } from "../../values/schedule/mod.ts";

// --- types

/** Rates by how many steps from now they are used. */
export interface RateCurve {
  readonly steps: readonly number[];
  readonly values: readonly number[];
}

type AnySchedule = Schedule.Schedule;

/** The most points of a curve. */
const mostPoints = 200;

/** How many steps are shown of a schedule that never changes, and at least. */
const [someSteps, fewSteps] = [100, 10];

// --- combinators

/** A schedule after a number of steps without a metric, at once. A plateau stays as it is, since no metric stopped improving. */
export function after(schedule: AnySchedule, steps: number): AnySchedule {
  if (steps === 0) return schedule;
  const step = schedule.step + steps;
  switch (schedule.kind) {
    case "plateau":
      return schedule;
    case "warmup":
      return step < schedule.steps ? { ...schedule, step } : after(schedule.then, step - schedule.steps);
    case "product":
      return { ...schedule, step, factors: schedule.factors.map((factor) => after(factor, steps)) };
    case "sequence": {
      const [head, ...rest] = schedule.parts;
      if (step >= head!.steps) {
        const then: AnySchedule = rest.length === 1 ? rest[0]!.schedule : { ...schedule, step: 0, parts: rest };
        return after(then, step - head!.steps);
      }
      return { ...schedule, step, parts: [{ ...head!, schedule: after(head!.schedule, steps) }, ...rest] };
    }
    default:
      return { ...schedule, step };
  }
}

/** After how many steps a schedule changes no more, or enough of one that always changes. */
function horizon(schedule: AnySchedule): number {
  const { step } = schedule;
  switch (schedule.kind) {
    case "constant":
    case "plateau":
      return someSteps;
    case "step":
      return 10 * schedule.every;
    case "multiStep":
      return Math.max(0, ...schedule.milestones) * 1.1 - step;
    case "exponential":
      // To a hundredth of the rate, or a hundred times the rate.
      return Math.abs(Math.log(100) / Math.log(schedule.factor));
    case "warmup":
      return schedule.steps - step + horizon(schedule.then);
    case "sequence": {
      const last = schedule.parts.at(-1)!.schedule;
      return schedule.parts.slice(0, -1).reduce((sum, { steps }) => sum + steps, -step) + horizon(last);
    }
    case "product":
      return Math.max(...schedule.factors.map(horizon));
    default:
      return schedule.steps * 1.05 - step;
  }
}

/** The rates from the next step on, until the schedule changes no more. */
export function rateCurve(schedule: AnySchedule): RateCurve {
  const found = horizon(schedule);
  const end = Math.ceil(Number.isFinite(found) ? Math.min(1e9, Math.max(found, fewSteps)) : someSteps);
  const count = Math.min(mostPoints, end + 1);
  const steps = Array.from({ length: count }, (_, i) => Math.round(end * i / (count - 1)));
  return { steps, values: steps.map((at) => Schedule.rate(after(schedule, at))) };
}
