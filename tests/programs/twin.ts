/**
 * One of several processes that go on with the same run, as if a job was started twice.
 *
 *     twin.ts <path> <keep> <saves> <go>
 *
 * It resumes, says at which step, waits until there is a file `go`, and saves so many further steps or until a save is refused. Its output are
 * lines of JSON: the step it resumed at, then each checkpoint that it saved, or the tag of the refusal.
 *
 * @module
 */
import { existsSync } from "node:fs";
import process from "node:process";
import { directory, explain, resume, Retention, runOrThrow, saveState } from "../../mod.ts";

const [path = "", keep = "", saves = "", go = ""] = process.argv.slice(2);
const store = directory(path, { keep: Retention.latest(Number(keep)) });
const resumed = await runOrThrow(resume(store)({ step: 0, who: 0, weights: new Float64Array(200) }));
const say = (line: object): void => void process.stdout.write(`${JSON.stringify(line)}\n`);

say({ resumed: resumed.step });
while (!existsSync(go)) await new Promise((resolve) => setTimeout(resolve, 1));
for (let i = 1; i <= Number(saves); i++) {
  const step = resumed.step + i;
  const saved = await saveState(store)({ step, who: process.pid, weights: resumed.weights.map(() => step) })();
  say(saved._tag === "Right" ? { saved: saved.right.checkpoint, step } : { refused: saved.left._tag });
  if (saved._tag === "Left") {
    if (saved.left._tag !== "Overtaken") throw new Error(explain(saved.left));
    break;
  }
}
