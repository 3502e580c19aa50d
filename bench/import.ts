/**
 * The time to import the main entry in a new process, after TensorFlow.js and the other packages that it imports, against the time to import those.
 *
 *     bun run bench import
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import process from "node:process";
import { compare } from "./rounds.ts";

/** Prints how many milliseconds the packages took, and how many the main entry took after them. It is no file: Bun would bundle its imports. */
const program = `
  const begun = performance.now();
  await import("@tensorflow/tfjs");
  await import("io-ts");
  for (const name of ["Either", "IOEither", "ReadonlyArray", "ReadonlyRecord", "TaskEither"]) await import(\`fp-ts/lib/\${name}.js\`);
  const between = performance.now();
  await import("@dogear/dogear");
  console.log(\`\n\${between - begun} \${performance.now() - between}\`);
`;
const runtime = "Deno" in globalThis ? ["eval"] : "Bun" in globalThis ? ["-e"] : ["--input-type=module", "-e"];
let times: readonly number[] = [];

await compare(
  {
    name: "importing the main entry",
    before: () => {
      const printed = execFileSync(process.execPath, [...runtime, program], { encoding: "utf8" });
      times = printed.trimEnd().split("\n").at(-1)?.split(" ").map(Number) ?? [];
    },
    run: () => times[1],
  },
  { name: "importing TensorFlow.js and the other packages", run: () => times[0] },
  15,
);
