/**
 * One script for each way to end with `runMain`; the argument names it, a second one is its store. `all` runs those that need no signal one after
 * another, and writes the name of each and its exit code to standard error.
 */
import * as TE from "fp-ts/lib/TaskEither.js";
import process from "node:process";
import { directory, Loader, loadState, memory, pipe, resume, runMain, saveState, train } from "../../mod.ts";

const [name = "", folder = ""] = process.argv.slice(2);
const loader = pipe(Loader.fromArray([1, 2, 3]), Loader.batch(1), Loader.repeat(1000));
const state = { cursor: Loader.start(loader), sum: 0 };
type State = typeof state;

function myOwnLine(): never {
  throw new RangeError("mine", { cause: new Error("\x1b[31mwhy") });
}

const later = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

/** Trains until a signal; prints after the first step. */
const training = (saved: boolean) =>
  train<State, number[]>({
    loader,
    step: async (s, [n = 0]) => {
      if (s.sum === 0) console.log("begun");
      await later();
      return { ...s, sum: s.sum + n };
    },
    ...(saved ? { save: { to: directory(folder) } } : {}),
    stopOn: ["SIGTERM"],
  });

const revoked = Proxy.revocable({}, {});
revoked.revoke();

const scripts: Readonly<Record<string, () => TE.TaskEither<unknown, unknown> | (() => Promise<unknown>)>> = {
  right: () => saveState(memory())({ step: 1 }),
  empty: () => loadState(memory())({ step: 1 }),
  stopped: () => pipe(resume(directory(folder))(state), TE.flatMap(training(true))),
  unsaved: () => training(false)(state),
  step: () => train<State, number[]>({ loader, step: () => myOwnLine() })(state),
  data: () => train<State, number>({ loader: pipe(loader, Loader.map(myOwnLine)), step: (s) => s })(state),
  exception: () => pipe(TE.of(1), TE.map(myOwnLine)),
  left: () => TE.tryCatch(async () => await Promise.resolve().then(myOwnLine), (thrown) => thrown),
  awaited: () => TE.tryCatch(async () => await loadState(memory())({ step: 1 }), (thrown) => thrown),
  mistake: () => async () => {
    await later();
    return await saveState("runs/x" as never)({})();
  },
  argument: () => undefined as never,
  foreign: () => TE.left({ _tag: "HttpError", status: 500, headers: { "a\x07": ["b"] } }),
  message: () => TE.left({ _tag: "HttpError", message: "gone\u202e\nfor good" }),
  text: () => TE.left("no luck"),
  nothing: () => TE.left(undefined),
  hostile: () => TE.left(revoked.proxy),
  main: () => async () => {
    await saveState(memory())({ step: 1 });
  },
  value: () => async () => await loadState(memory())({ step: 1 })().then(() => 5),
  mainEmpty: () => async () => {
    await loadState(memory())({ step: 1 });
    console.log("not reached");
  },
  mainThrows: () => async () => {
    await later();
    myOwnLine();
  },
  mainLeft: () => async () => await loadState(memory())({ step: 1 })(),
  forgotten: () => async () => await Promise.resolve(() => saveState(memory())({ step: 1 })()),
  notAwaited: () => (() => void later()) as never,
  mainStopped: () => async () => {
    await training(true)(await resume(directory(folder))(state));
    console.log("exported");
  },
  alike: () => TE.left({ _tag: "Damaged" }),
};

if (name === "all") {
  for (const [one, script] of Object.entries(scripts)) {
    if (["stopped", "unsaved", "mainStopped"].includes(one)) continue;
    process.exitCode = 0;
    process.stderr.write(`== ${one}\n`);
    await runMain(script());
    process.stderr.write(`-> ${process.exitCode}\n`);
  }
} else if (name === "timer") {
  const timer = setInterval(() => {}, 1000);
  await runMain(TE.left("no luck"));
  console.log(`resolved with ${process.exitCode}`);
  clearInterval(timer);
} else {
  if (name === "right") process.exitCode = 3;
  await runMain(scripts[name]!());
}
