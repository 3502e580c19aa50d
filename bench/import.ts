/**
 * The time to import the main entry of the built package in a new process, after TensorFlow.js and the other packages that it imports, against
 * the time to import those. Deno keeps the compiled code of a script after its first run, which is not counted.
 *
 *     bun run bench import
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { compare } from "./rounds.ts";

const entry = pathToFileURL("dist/mod.js").href;
const peers = [
  "@tensorflow/tfjs",
  "io-ts",
  ...["Either", "Eq", "ReadonlyArray", "ReadonlyRecord", "Task", "TaskEither"].map((name) => `fp-ts/lib/${name}.js`),
  ...["distribution/uniformFloat64", "distribution/uniformInt"].map((name) => `pure-rand/${name}`),
  ...["congruential32", "xoroshiro128plus", "xorshift128plus"].map((name) => `pure-rand/generator/${name}`),
];

/** Prints how many milliseconds the packages took, and how many the main entry took after them. Text, because Bun would bundle its imports. */
const program = `
  const begun = performance.now();
  for (const name of ${JSON.stringify(peers)}) await import(name);
  const between = performance.now();
  await import(${JSON.stringify(entry)});
  console.log(\`\n\${between - begun} \${performance.now() - between}\`);
`;
const script = "dist/import.mjs";
writeFileSync(script, program);
const command = "Deno" in globalThis ? ["run", "--allow-all", script] : [script];
let times: readonly number[] = [];

await compare(
  {
    name: "importing the main entry",
    before: () => {
      const printed = execFileSync(process.execPath, command, { encoding: "utf8" });
      times = printed.trimEnd().split("\n").at(-1)?.split(" ").map(Number) ?? [];
    },
    run: () => times[1],
  },
  { name: "importing TensorFlow.js and the other packages", run: () => times[0] },
  15,
);
