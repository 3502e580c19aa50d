/** A training whose second step never ends, which writes a line as each begins: `hangs.ts <folder> <signal>...` */
import process from "node:process";
import { directory, Loader, pipe, type Signal, train } from "../../mod.ts";

interface State {
  readonly cursor: Loader.Cursor;
}

const [folder = "", ...signals] = process.argv.slice(2);
const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(1));
// A promise keeps no process alive.
const alive = setInterval(() => {}, 1000);
let begun = 0;
const step = async (state: State): Promise<State> => {
  console.log(++begun);
  if (begun === 2) await new Promise(() => {});
  return state;
};
await train<State, number[]>({ loader, step, save: { to: directory(folder) }, stopOn: signals as Signal[] })({
  cursor: Loader.start(loader),
})();
clearInterval(alive);
