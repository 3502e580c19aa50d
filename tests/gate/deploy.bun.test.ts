/**
 * The recipes of `examples/deploy`, run as far as a machine without Kubernetes, Slurm, SkyPilot and containers allows: their commands, with the signals and
 * the rules of the engine simulated.
 */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { bun, deno, root } from "./runtimes.ts";
import { needs } from "../support/portable.ts";
import { newLocation, setS3Environment, sharedS3Server, testOnS3 } from "../support/s3_server.ts";

const recipes = join(root, "examples/deploy");
const read = (name: string): string => readFileSync(join(recipes, name), "utf8");
const folder = mkdtempSync(join(tmpdir(), "dogear-deploy-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const server = sharedS3Server();

// --- processes

interface Ended {
  readonly code: number | null;
  readonly output: string;
  readonly errors: string;
}

/** Runs a command; `onEpoch` is called once, when it has trained an epoch. */
function run(command: readonly string[], env: object = {}, onEpoch: (pid: number) => void = () => {}): Promise<Ended> {
  const [program = "", ...args] = command;
  const child = spawn(program, args, {
    cwd: recipes,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [output, errors] = ["", ""];
  child.stderr.on("data", (data) => errors += data);
  child.stdout.on("data", (data) => {
    const isFirst = !output.includes("epoch");
    output += data;
    if (isFirst && output.includes("epoch")) onEpoch(child.pid!);
  });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output, errors }));
  });
}

const terminate = (pid: number): void => void process.kill(pid, "SIGTERM");

/** The entry of a container, with the binary of this machine in place of the image's. */
function entryOf(file: string): readonly string[] {
  const [, entry = "[]"] = /^ENTRYPOINT (.*)$/m.exec(read(file)) ?? [];
  const [binary, ...args] = JSON.parse(entry) as readonly string[];
  const here = { "/usr/local/bin/bun": bun(), "/usr/bin/deno": deno() }[binary!];
  assert.ok(here !== undefined, `the entry ${binary} is not the binary of Bun or Deno`);
  return [here, ...args];
}

const files = ["Containerfile.bun", "Containerfile.deno"] as const;

// --- containers

for (const file of files) {
  needs("POSIX signals")(
    `${file}: SIGTERM to the entry saves and ends with 75, and the next start resumes to the bits of an undisturbed run`,
    async () => {
      const run1 = await run([...entryOf(file), join(folder, file), "30"], {}, terminate);
      assert.equal(run1.code, 75, run1.errors);
      const run2 = await run([...entryOf(file), join(folder, file), "30"]);
      const whole = await run([...entryOf(file), join(folder, `${file}-whole`), "30"]);
      assert.deepEqual([run2.code, whole.code], [0, 0], run2.errors + whole.errors);
      assert.doesNotMatch(run2.output, /^epoch 0$/m, "it did not resume");
      assert.equal(/^id .*$/m.exec(run2.output)?.[0], /^id .*$/m.exec(whole.output)?.[0]);
    },
  );

  needs("namespaces", "/proc")(`${file}: as process 1 of a container the entry receives SIGTERM`, async () => {
    const inside = ["unshare", "--pid", "--fork", "--mount-proc", ...entryOf(file)];
    const ended = await run([...inside, join(folder, `${file}-1`), "400"], {}, (pid) => {
      const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
      terminate(Number(child));
    });
    assert.equal(ended.code, 75, ended.errors);
  });

  testOnS3(`${file}: the same on an object store`, async () => {
    setS3Environment(await server());
    const url = newLocation();
    const stopped = await run([...entryOf(file), url, "400"], {}, terminate);
    assert.equal(stopped.code, 75, stopped.errors);
    assert.match(stopped.errors, /stopped by SIGTERM and saved as checkpoint 1/);
    const resumed = await run([...entryOf(file), url, "400"], {}, terminate);
    assert.match(resumed.errors, /saved as checkpoint 2/);
  });
}

needs("POSIX signals")("fit: SIGTERM saves and ends with 75 in both runtimes", async () => {
  const program = join(root, "tests/programs/fit_stopped.ts");
  const runtimes = [[bun()], [deno(), "run", "-A", "--no-check"]];
  const all = runtimes.map((runtime, i) => run([...runtime, program, join(folder, `fit-${i}`)], {}, terminate));
  for (const { code, errors } of await Promise.all(all)) assert.equal(code, 75, errors);
});

test("containers: no file names the host of a registry, and the base image can be replaced", () => {
  for (const file of files) {
    assert.match(read(file), /^ARG IMAGE=[a-z]+\/[a-z]+:[\w.]+\nFROM \$\{IMAGE\}$/m);
    assert.match(read(file), /^USER \w+$/m);
  }
});

// --- Kubernetes

interface Rule {
  readonly action: "Ignore" | "Count" | "FailJob" | "FailIndex";
  readonly onExitCodes?: {
    readonly containerName?: string;
    readonly operator: "In" | "NotIn";
    readonly values: readonly number[];
  };
  readonly onPodConditions?: readonly { readonly type: string; readonly status: string }[];
}

interface Job {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec: {
    readonly backoffLimit?: number;
    readonly backoffLimitPerIndex?: number;
    readonly completionMode?: string;
    readonly completions?: number;
    readonly podReplacementPolicy: string;
    readonly podFailurePolicy: { readonly rules: readonly Rule[] };
    readonly template: {
      readonly spec: {
        readonly restartPolicy: string;
        readonly terminationGracePeriodSeconds: number;
        readonly containers: readonly { readonly name: string; readonly args: readonly string[] }[];
      };
    };
  };
}

const jobs = ["kubernetes-job.yaml", "kubernetes-indexed-job.yaml"] as const;
/** Bun's parser of YAML, which the compiler of Deno does not know. */
const { YAML } = (globalThis as unknown as { Bun: { YAML: { parse: (text: string) => unknown } } }).Bun;

const job = (file: string): Job => YAML.parse(read(file)) as Job;

/** What the controller does with an exit code: the first rule that matches decides, and without one it counts. */
function actionFor({ spec }: Job, code: number): Rule["action"] {
  const matches = ({ onExitCodes }: Rule): boolean =>
    onExitCodes !== undefined && onExitCodes.values.includes(code) === (onExitCodes.operator === "In");
  return spec.podFailurePolicy.rules.find(matches)?.action ?? "Count";
}

/** A controller: it starts pods until one succeeds, or too many have failed. */
async function control(file: string, index: number, arrange: (pod: number) => (pid: number) => void, epochs: string) {
  const { spec } = job(file);
  const limit = spec.backoffLimitPerIndex ?? spec.backoffLimit ?? 6;
  const args = spec.template.spec.containers[0]!.args.map((arg) =>
    arg.replace("$(JOB_COMPLETION_INDEX)", `${index}`).replace("s3://my-bucket", join(folder, file))
  );
  const codes: (number | null)[] = [];
  for (let failures = 0;;) {
    const { code } = await run([...entryOf("Containerfile.bun"), ...args, epochs], {}, arrange(codes.length));
    codes.push(code);
    if (code === 0) return { codes, isFailed: false, args };
    if (actionFor(job(file), code ?? 137) === "Count") failures += 1;
    if (failures > limit) return { codes, isFailed: true, args };
  }
}

for (const file of jobs) {
  test(`${file}: its fields keep the rules of the Job API`, () => {
    const { apiVersion, kind, spec } = job(file);
    assert.deepEqual([apiVersion, kind], ["batch/v1", "Job"]);
    // With a podFailurePolicy the API accepts only these two.
    assert.equal(spec.template.spec.restartPolicy, "Never");
    assert.equal(spec.podReplacementPolicy, "Failed");
    assert.ok(spec.podFailurePolicy.rules.length <= 20);
    const names = spec.template.spec.containers.map(({ name }) => name);
    for (const { action, onExitCodes, onPodConditions } of spec.podFailurePolicy.rules) {
      assert.ok(["Ignore", "Count", "FailJob", "FailIndex"].includes(action));
      assert.ok((onExitCodes === undefined) !== (onPodConditions === undefined), "a rule has one of the two");
      assert.ok(onExitCodes === undefined || names.includes(onExitCodes.containerName!));
      assert.ok(onPodConditions?.every(({ status }) => status === "True") ?? true, "a status is a string");
    }
    assert.equal(spec.completionMode === "Indexed", spec.backoffLimitPerIndex !== undefined);
    assert.deepEqual([75, 1, 137, 2].map((code) => actionFor(job(file), code)), ["Ignore", "Count", "Count", "Count"]);
  });
}

needs("POSIX signals")(
  "kubernetes-job.yaml: preempted more often than failures are allowed, the Job still completes",
  async () => {
    const { codes, isFailed } = await control("kubernetes-job.yaml", 0, (pod) => pod < 4 ? terminate : () => {}, "40");
    assert.deepEqual([codes, isFailed], [[75, 75, 75, 75, 0], false]);
  },
);

test("kubernetes-indexed-job.yaml: each index has a prefix of its own, and one that fails is given up after its limit", async () => {
  const file = "kubernetes-indexed-job.yaml";
  mkdirSync(join(folder, file, "sweep"), { recursive: true });
  writeFileSync(join(folder, file, "sweep", "1"), "no folder");
  const [good, bad] = await Promise.all([0, 1].map((index) => control(file, index, () => () => {}, "2")));
  assert.deepEqual([good!.codes, bad!.codes, bad!.isFailed], [[0], [1, 1, 1, 1], true]);
  assert.notDeepEqual(good!.args, bad!.args);
});

// --- Slurm

needs("bash", "POSIX signals")(
  "slurm.sh: a signal to the job step ends the job with 75 and requeues it; it then resumes to its end",
  async () => {
    assert.equal(spawnSync("bash", ["-n", join(recipes, "slurm.sh")]).status, 0);
    const tools = join(folder, "slurm");
    mkdirSync(tools);
    // srun starts the step, and Slurm signals that, not the script.
    writeFileSync(join(tools, "srun"), '#!/bin/sh\necho $$ >"$STEP"\nexec "$@"\n', { mode: 0o755 });
    writeFileSync(join(tools, "scontrol"), '#!/bin/sh\necho "$@" >>"$REQUESTS"\n', { mode: 0o755 });
    const env = {
      PATH: `${tools}:${process.env["PATH"]}`,
      STEP: join(tools, "step"),
      REQUESTS: join(tools, "requests"),
      RUNTIME: bun(),
      RUNS: join(folder, "slurm-runs"),
      SLURM_JOB_ID: "4711",
      SLURM_ARRAY_TASK_ID: "3",
    };
    const first = await run(["bash", "slurm.sh"], env, () => terminate(Number(readFileSync(env.STEP, "utf8"))));
    assert.equal(first.code, 75, first.errors);
    assert.equal(readFileSync(env.REQUESTS, "utf8"), "requeue 4711\n");
    const second = await run(["bash", "slurm.sh"], { ...env, SLURM_RESTART_COUNT: "1" });
    assert.equal(second.code, 0, second.errors);
    assert.doesNotMatch(second.output, /^epoch 0$/m);
    assert.ok(existsSync(join(env.RUNS, "3")), "the prefix of the index");
    assert.equal(readFileSync(env.REQUESTS, "utf8"), "requeue 4711\n", "a job that is over is not requeued");
    writeFileSync(join(folder, "no-folder"), "");
    const failed = await run(["bash", "slurm.sh"], { ...env, RUNS: join(folder, "no-folder") });
    assert.equal(failed.code, 1);
    assert.equal(readFileSync(env.REQUESTS, "utf8"), "requeue 4711\n", "a failure is not requeued");
  },
);

test("slurm.sh: it asks to be requeued, and for the signal before the time limit", () => {
  for (const line of ["--requeue", "--signal=TERM@120", "--open-mode=append", "--array=0-7"]) {
    assert.match(read("slurm.sh"), new RegExp(`^#SBATCH ${line}$`, "m"));
  }
});

// --- SkyPilot

needs("bash", "POSIX signals")(
  "skypilot.yaml: its command receives SIGTERM and ends with the code from which the job recovers",
  async () => {
    const task = YAML.parse(read("skypilot.yaml")) as {
      readonly run: string;
      readonly resources: {
        readonly use_spot: boolean;
        readonly job_recovery: {
          readonly recover_on_exit_codes: readonly number[];
          readonly max_restarts_on_errors: number;
        };
      };
      readonly secrets: object;
    };
    const { use_spot, job_recovery } = task.resources;
    assert.deepEqual([use_spot, job_recovery.max_restarts_on_errors], [true, 3]);
    assert.deepEqual(task.secrets, { AWS_ACCESS_KEY_ID: null, AWS_SECRET_ACCESS_KEY: null });
    const home = join(folder, "home");
    mkdirSync(join(home, ".bun/bin"), { recursive: true });
    writeFileSync(join(home, ".bun/bin/bun"), `#!/bin/sh\nexec "${bun()}" "$@"\n`, { mode: 0o755 });
    const ended = await run(["bash", "-c", task.run], { HOME: home, RUN: join(folder, "sky") }, terminate);
    assert.deepEqual([ended.code], job_recovery.recover_on_exit_codes, ended.errors);
  },
);
