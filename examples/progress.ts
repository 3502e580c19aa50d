/**
 * A progress bar on a terminal; a few plain lines elsewhere.
 *
 * @module
 */
import process from "node:process";

/** Shows how far a training has come. */
export interface Progress {
  readonly begin: (step: number) => void;
  readonly step: (step: number, loss: number) => void;
  readonly saved: (checkpoint: number) => void;
  readonly end: () => void;
}

const width = 30;

/**
 * Shows progress on standard error.
 *
 * @param total The number of steps.
 * @param lines The number of plain lines to write if there is no terminal.
 */
export function progress(total: number, lines = 30): Progress {
  const out = process.stderr;
  const began = Date.now();
  let [first, at, loss, checkpoint] = [0, 0, NaN, "none"];
  const text = (): string => {
    const rate = (at - first) / Math.max(0.001, (Date.now() - began) / 1000);
    const left = rate > 0 ? `${Math.ceil((total - at) / rate)} s left` : "";
    return `step ${at}/${total}  loss ${loss.toFixed(4)}  saved ${checkpoint}  ${rate.toFixed(0)} steps/s  ${left}`;
  };
  const draw = (): void => {
    const full = Math.round(width * at / Math.max(1, total));
    if (out.isTTY) out.write(`\r[${"#".repeat(full)}${"-".repeat(width - full)}] ${text()}\x1b[K`);
    else if (at % Math.max(1, Math.floor(total / lines)) === 0) out.write(`${text()}\n`);
  };
  return {
    begin: (step) => {
      [first, at] = [step, step];
      out.write(step === 0 ? "starting afresh\n" : `resuming at step ${step}\n`);
    },
    step: (step, cost) => {
      [at, loss] = [step, cost];
      draw();
    },
    saved: (number) => void (checkpoint = `checkpoint_${number}`),
    end: () => void (out.isTTY && out.write("\n")),
  };
}
