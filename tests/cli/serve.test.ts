/**
 * `dogear serve`: what the server answers, what it refuses, and how it follows runs.
 */
import assert from "node:assert/strict";
import * as E from "fp-ts/lib/Either.js";
import * as TE from "fp-ts/lib/TaskEither.js";
import * as fc from "fast-check";
import { spawn, spawnSync } from "node:child_process";
import { appendFile, cp, mkdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { after, test } from "node:test";
import { directory, runOrThrow, saveState } from "../../mod.ts";
import process from "node:process";
import { parseReferences } from "../../lib/cli/reference.ts";
import { bun, deno, isBun, root } from "../gate/runtimes.ts";
import { needs } from "../support/portable.ts";
import { torture } from "../support/torture.ts";
import { answer, turns } from "../../lib/cli/serve/answers.ts";
import { findAssets } from "../../lib/cli/serve/assets.ts";
import { decimate } from "../../lib/cli/serve/decimate.ts";
import { serve, type Served } from "../../lib/cli/serve/server.ts";
import { look, watch, type Watched } from "../../lib/cli/serve/watch.ts";
import { headerLine, valuesLine } from "../../lib/logs/mod.ts";
import { bucketStore, copied, dogear, flip, inside, json, place, run, url } from "../support/command_line.ts";

// --- asking

const servers: Served[] = [];
after(() => Promise.all(servers.map(({ close }) => close())));

function rightOf<A>(either: E.Either<unknown, A>): A {
  if (E.isRight(either)) return either.right;
  throw new Error(JSON.stringify(either.left));
}

/** Runs that are watched, without a server. */
function watching(words: readonly string[], logs: readonly string[] = []): Watched {
  return watch(rightOf(parseReferences(words)), (at) => Promise.resolve().then(() => bucketStore(at)), logs);
}

async function serving(...words: readonly string[]): Promise<Served> {
  const server = rightOf(await serve(watching(words), rightOf(await findAssets()), 0)());
  servers.push(server);
  return server;
}

/** The answer of a request as a page gets it. */
// deno-lint-ignore no-explicit-any -- tests look at parts of the document
async function askAtOnce(watched: Watched, name: string, query = ""): Promise<any> {
  const found = await answer(watched, turns(), name, query, new AbortController().signal);
  return E.isRight(found) ? JSON.parse(JSON.stringify(found.right)) : { error: found.left };
}

/** The answer once all that there is has been read. */
// deno-lint-ignore no-explicit-any -- tests look at parts of the document
async function ask(watched: Watched, name: string, query = ""): Promise<any> {
  await look(watched);
  await Promise.all([watched.reading, watched.following]);
  return await askAtOnce(watched, name, query);
}

/** Asks as if a second had passed since the last look. */
// deno-lint-ignore no-explicit-any -- tests look at parts of the document
async function askLater(watched: Watched, name: string, query = ""): Promise<any> {
  watched.lookedAt = -Infinity;
  return await ask(watched, name, query);
}

interface Reply {
  readonly status: number;
  readonly body: string;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
}

/** One request with any method, path and headers. */
function send(port: string, path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const sent = request({ host: "127.0.0.1", port, path, method, headers }, (response) => {
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (piece: string) => body += piece);
      response.on("end", () => resolve({ status: response.statusCode ?? 0, body, headers: response.headers }));
      response.on("error", reject);
    });
    sent.on("error", reject);
    sent.end();
  });
}

// --- the same as --json

test("serve: each answer is what --json prints", async () => {
  const watched = watching([run]);
  const { version, runs: [shown], title } = await ask(watched, "runs");
  const { runs: [listed] } = (await json("ls", run)).value;
  // deno-lint-ignore no-explicit-any -- a document
  const withoutParents = shown.checkpoints.map(({ parent: _, ...row }: any) => row);
  assert.deepEqual(withoutParents, listed.checkpoints.toReversed());
  assert.deepEqual(
    shown.checkpoints.map(({ parent }: { parent: unknown }) => parent),
    [null, 0, 1].map((checkpoint) => checkpoint === null ? null : { run: listed.checkpoints[0].run, checkpoint }),
  );
  assert.deepEqual([title, shown.location, shown.error, shown.reading], [run, run, null, { done: 3, total: 3 }]);
  assert.ok(Number.isSafeInteger(version));

  const { models, optimizers, schedules, cursors, others, tensors, ...inspected } = await ask(
    watched,
    "checkpoint",
    `run=${shown.key}&checkpoint=1`,
  );
  assert.deepEqual(inspected, (await json("inspect", `${run}@1`)).value);
  assert.deepEqual(
    models.map(({ name, parameters, trainable }: Record<string, unknown>) => [name, parameters, trainable]),
    [
      ["model", 17, 17],
    ],
  );
  assert.deepEqual([optimizers, schedules, cursors], [[], [], []]);
  assert.deepEqual(others.map(({ name }: { name: string }) => name), ["w", "rng", "note", "step"]);
  for (const { path } of tensors) {
    const part = await ask(watched, "tensor", `run=0&checkpoint=1&path=${encodeURIComponent(path)}`);
    assert.deepEqual(part, (await json("inspect", `${run}@1`, path)).value);
  }

  const { components, differences } = await ask(watched, "diff", "left=0@0&right=0@2");
  const { differences: found } = (await json("diff", `${run}@0`, "@2")).value;
  const plain = differences.map(({ mean: _, elements: __, ...difference }: Record<string, unknown>) => difference);
  const sorted = (list: unknown[]): unknown[] => list.map((one) => JSON.stringify(one)).sort();
  assert.deepEqual(sorted(plain), sorted(found));
  assert.deepEqual(
    differences.map(({ largest = -1 }) => largest),
    differences.map(({ largest = -1 }) => largest).sort((a: number, b: number) => b - a),
  );
  assert.deepEqual(components.map(({ name }: { name: string }) => name), ["model", "w", "rng", "note", "step"]);
  const bias = differences.find(({ path }: { path: string }) => path.includes("bias"));
  assert.deepEqual([bias.largest, bias.mean, bias.elements], [20, 20, bias.count]);
});

test("serve: curves are those of the checkpoints and of the logs, one for each run", async () => {
  const path = await copied();
  await writeFile(
    join(path, "log.jsonl"),
    headerLine({ run: "a", parent: null }) + valuesLine({ step: 1, time: 0, values: { loss: 0.5, lr: NaN } }),
  );
  await writeFile(
    join(path, "log-b.jsonl"),
    headerLine({ run: "b", parent: null }) +
      valuesLine({ step: 2, time: 0, values: { __proto__x: 1, loss: -Infinity } }),
  );
  await writeFile(join(path, "data.jsonl"), '{"text":"no log"}\n');
  const { metrics, reading } = await ask(watching([path]), "curves", "run=0");
  const name = (await json("ls", path)).value.runs[0].checkpoints[0].run;
  assert.deepEqual(
    metrics.map((
      { name, source, line, steps, values, total }: Record<string, unknown>,
    ) => [name, source, line, steps, values, total]),
    [
      ["__proto__x", "log", "b", [2], [1], 1],
      ["loss", "log", "b", [2], [null], 1],
      ["loss", "log", "a", [1], [0.5], 1],
      ["lr", "log", "a", [1], [null], 1],
      ["loss", "checkpoints", name, [10, 20, 30], [1 / 10, 1 / 20, 1 / 30], 3],
      ["accuracy", "checkpoints", name, [10, 20, 30], [0.5, 0.5, 0.5], 3],
    ],
  );
  assert.equal(reading.done, reading.total);
});

// --- following

test("serve: only what changed after a version is sent, and what was removed", async () => {
  const path = await copied();
  const watched = watching([path]);
  const numbers = (answer: { runs: { checkpoints: { checkpoint: number }[] }[] }): readonly number[] =>
    answer.runs.flatMap(({ checkpoints }) => checkpoints.map(({ checkpoint }) => checkpoint));
  const first = await ask(watched, "runs");
  assert.deepEqual(numbers(first), [0, 1, 2]);
  const same = await askLater(watched, "runs", `since=${first.version}`);
  assert.deepEqual([numbers(same), same.version], [[], first.version]);
  await runOrThrow(saveState(directory(path))({ step: 40 }));
  const second = await askLater(watched, "runs", `since=${first.version}`);
  assert.deepEqual([numbers(second), second.runs[0].removed], [[3], []]);
  await rm(inside(path, 1), { recursive: true });
  await truncate(inside(path, 2, "model.safetensors"), 3);
  const third = await askLater(watched, "runs", `since=${second.version}`);
  assert.deepEqual([numbers(third), third.runs[0].removed], [[2], [1]]);
  assert.deepEqual(third.runs[0].checkpoints[0].verdict, "damaged");
  // A page that knows nothing gets all, and nothing that is gone.
  const anew = await ask(watched, "runs");
  assert.deepEqual([numbers(anew), anew.runs[0].removed], [[0, 2, 3], []]);
});

test("serve: a store is looked at once a second at most, and a new checkpoint is in the next answer after that", async () => {
  const path = await copied();
  const watched = watching([path]);
  await ask(watched, "runs");
  const looked = watched.lookedAt;
  await runOrThrow(saveState(directory(path))({ step: 40 }));
  const saved = performance.now();
  let found = 0;
  while (found < 4) {
    found = (await ask(watched, "runs")).runs[0].checkpoints.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.ok(watched.lookedAt - looked >= 999, `looked again after ${watched.lookedAt - looked} ms`);
  assert.ok(performance.now() - saved < 1500);
});

test("serve: a run that does not exist yet is shown, and filled when it appears; one that vanishes is an error", async () => {
  const path = place();
  const watched = watching([path]);
  const { runs: [none] } = await ask(watched, "runs");
  assert.match(none.error, /Expected the folder of a run, found no folder/);
  assert.deepEqual(none.checkpoints, []);
  await mkdir(path);
  const { runs: [empty] } = await askLater(watched, "runs");
  assert.deepEqual([empty.error, empty.checkpoints], [null, []]);
  await runOrThrow(saveState(directory(path))({ step: 1 }));
  const { runs: [one], version } = await askLater(watched, "runs");
  assert.deepEqual([one.key, one.error, one.checkpoints.length], [none.key, null, 1]);
  await rm(path, { recursive: true });
  const { runs: [gone] } = await askLater(watched, "runs", `since=${version}`);
  assert.match(gone.error, /found no folder/);
  assert.equal((await ask(watched, "checkpoint", `run=${gone.key}&checkpoint=0`)).error.status, 400);
});

test("serve: a folder shows all runs in it, also those that appear later; buckets too", async () => {
  const folder = place();
  await cp(run, join(folder, "a"), { recursive: true });
  const bucket = url();
  await runOrThrow(saveState(bucketStore(bucket), { metrics: { loss: 3 } })({ w: new Float32Array([1, 2]), step: 5 }));
  const watched = watching([folder, bucket]);
  const shown = async (): Promise<unknown> =>
    (await askLater(watched, "runs")).runs.map((
      { text, checkpoints }: { text: string; checkpoints: unknown[] },
    ) => [text, checkpoints.length]);
  assert.deepEqual(await shown(), [[join(folder, "a"), 3], [bucket, 1]]);
  await cp(run, join(folder, "b"), { recursive: true });
  assert.deepEqual(await shown(), [[join(folder, "a"), 3], [join(folder, "b"), 3], [bucket, 1]]);
  const { statistics: { max } } = await ask(watched, "tensor", "run=1&checkpoint=0&path=w");
  assert.equal(max, 2);
  assert.deepEqual((await ask(watched, "curves", "run=1")).metrics.map(({ values }: { values: unknown }) => values), [[
    3,
  ]]);
});

test("serve: a log is followed as it grows, and read anew when it was cut, also if it has grown again", async () => {
  const path = await copied();
  const log = join(place());
  const line = (step: number, loss: number): string => valuesLine({ step, time: step, values: { loss } });
  await writeFile(log, headerLine({ run: "elsewhere", parent: null }) + line(1, 1) + line(2, 2) + line(3, 3));
  const watched = watching([path], [log]);
  const points = async (): Promise<unknown> => {
    const { metrics } = await askLater(watched, "curves", "run=0");
    const { steps, values } = metrics.find(({ source }: { source: string }) => source === "log");
    return [steps, values];
  };
  assert.deepEqual(await points(), [[1, 2, 3], [1, 2, 3]]);
  await appendFile(log, line(4, 4) + '{"step":5,"ti');
  assert.deepEqual(await points(), [[1, 2, 3, 4], [1, 2, 3, 4]]);
  const whole = await readFile(log, "utf8");
  await writeFile(
    log,
    whole.slice(0, whole.indexOf(line(3, 3))) + line(3, 30) + line(4, 40) + line(5, 50) + line(6, 60),
  );
  assert.deepEqual(await points(), [[1, 2, 3, 4, 5, 6], [1, 2, 30, 40, 50, 60]]);
  await truncate(log, whole.indexOf(line(2, 2)));
  assert.deepEqual(await points(), [[1], [1]]);
});

test("serve: 10,000 checkpoints are read a few at a time, and neither the first answer nor the event loop waits for all", async () => {
  const at = url();
  const one = bucketStore(at);
  await runOrThrow(saveState(one, { metrics: { loss: 1 } })({ step: 1 }));
  const manifest = await runOrThrow(one.manifest(0));
  const numbers = Array.from({ length: 10_001 }, (_, i) => i);
  const slowly = () => TE.fromTask(() => new Promise<Uint8Array>((resolve) => setTimeout(() => resolve(manifest), 1)));
  const store = { ...one, list: TE.right(numbers), candidates: TE.right(numbers), manifest: slowly };
  const watched = watch(rightOf(parseReferences([at])), () => Promise.resolve(store));
  let [longest, last] = [0, performance.now()];
  const beat = setInterval(() => {
    longest = Math.max(longest, performance.now() - last);
    last = performance.now();
  }, 5);
  const started = performance.now();
  const { runs: [first], version } = await askAtOnce(watched, "runs");
  const answered = performance.now() - started;
  clearInterval(beat);
  const total = numbers.length;
  assert.equal(first.reading.total, total);
  assert.ok(first.reading.done < total && first.checkpoints.length === first.reading.done);
  assert.equal(first.checkpoints.at(-1).checkpoint, 10_000);
  assert.ok(answered < 4000, `answered after ${answered} ms`);
  assert.ok(longest < 1000, `the event loop was blocked for ${longest} ms`);
  // Reading stops some seconds after the last request.
  while (watched.reading !== undefined) await askAtOnce(watched, "runs", `since=${watched.version}`);
  const { runs: [rest] } = await askAtOnce(watched, "runs", `since=${version}`);
  assert.equal(rest.reading.done, total);
  const seen = new Set([...first.checkpoints, ...rest.checkpoints].map(({ checkpoint }) => checkpoint));
  assert.equal(seen.size, total);
});

// --- tensors

test("serve: histograms of a tensor are on common edges, and each counts the finite numbers", async () => {
  const watched = watching([run]);
  const { edges, rows, skipped } = await ask(watched, "histograms", "run=0&path=model/layers/0/weights/bias");
  assert.deepEqual(rows.map(({ checkpoint, step, min, max }: Record<string, number>) => [checkpoint, step, min, max]), [
    [0, 10, 11, 11],
    [1, 20, 21, 21],
    [2, 30, 31, 31],
  ]);
  assert.deepEqual([edges[0], edges.at(-1), skipped], [11, 31, []]);
  for (const { counts } of rows) {
    assert.equal(counts.length, edges.length - 1);
    assert.equal(counts.reduce((sum: number, n: number) => sum + n, 0), 4);
  }
  assert.deepEqual([rows[0].counts[0], rows[2].counts.at(-1)], [4, 4]);
  const { rows: [w] } = await ask(watched, "histograms", "run=0&path=w&most=1");
  assert.deepEqual([w.checkpoint, w.nan, w.infinite, w.counts.reduce((sum: number, n: number) => sum + n)], [
    2,
    1,
    1,
    4,
  ]);
});

test("serve: a damaged checkpoint is an error in each answer, and spoils no other", async () => {
  const path = await copied();
  await flip(inside(path, 1, "model.safetensors"));
  await writeFile(inside(path, 0, "snapshot.json"), "no manifest");
  const watched = watching([path]);
  const { runs: [{ checkpoints }] } = await ask(watched, "runs");
  assert.deepEqual(checkpoints.map(({ verdict }: { verdict: string }) => verdict), ["damaged", "complete", "complete"]);
  for (
    const [name, query] of [
      ["checkpoint", "run=0&checkpoint=0"],
      ["tensor", "run=0&checkpoint=1&path=model/layers/0/weights/kernel"],
      ["diff", "left=0@1&right=0@2"],
      ["diff", "left=0@0&right=0@2"],
    ] as const
  ) {
    const { error } = await ask(watched, name, query);
    assert.deepEqual([error.status, error.tag], [500, "Damaged"], name);
    assert.match(error.message, /snapshot\.json|model\.safetensors/);
  }
  const { rows, skipped } = await ask(watched, "histograms", "run=0&path=model/layers/0/weights/kernel");
  assert.deepEqual(rows.map(({ checkpoint }: { checkpoint: number }) => checkpoint), [2]);
  assert.deepEqual(skipped.map(({ checkpoint, tag }: Record<string, unknown>) => [checkpoint, tag]), [[0, "Damaged"], [
    1,
    "Damaged",
  ]]);
  assert.equal((await ask(watched, "tensor", "run=0&checkpoint=1&path=w")).statistics.count, 6);
});

test("serve: nothing is read for a client that has gone, and few requests read tensors at once", async () => {
  const watched = watching([run]);
  await ask(watched, "runs");
  const gone = new AbortController();
  gone.abort(new Error("gone"));
  const found = await answer(watched, turns(), "histograms", "run=0&path=w", gone.signal).catch((error: Error) =>
    error.message
  );
  assert.equal(found, "gone");
  const limits = turns();
  const signal = new AbortController().signal;
  let most = 0;
  const many = Array.from({ length: 80 }, async () => {
    const given = await answer(watched, limits, "tensor", "run=0&checkpoint=1&path=w", signal);
    most = Math.max(most, limits.running);
    return E.isRight(given) ? 200 : given.left.status;
  });
  const statuses = await Promise.all(many);
  assert.deepEqual([...new Set(statuses)].sort(), [200, 503]);
  assert.equal(statuses.filter((status) => status === 200).length, 66);
  assert.ok(most <= 2);
  assert.deepEqual(limits, { running: 0, waiting: [] });
});

// --- decimation

const curve = fc.array(
  fc.tuple(fc.nat(5000), fc.oneof(fc.double(), fc.constant(NaN), fc.double({ min: -1, max: 1 }))),
  { minLength: 1, maxLength: 400, size: "max" },
)
  .map((points) => {
    const ordered = points.sort(([a], [b]) => a - b);
    return { steps: ordered.map(([step]) => step), values: ordered.map(([, value]) => value), length: ordered.length };
  });

test("serve, law decimation: at most so many points, in order; first, last, least, greatest stay, and NaN is seen", () => {
  fc.assert(fc.property(curve, fc.integer({ min: 10, max: 60 }), (points, most) => {
    const kept = decimate(points, { from: -Infinity, to: Infinity, most });
    assert.ok(kept.length <= most && kept.every((i, at) => at === 0 || i > kept[at - 1]!));
    assert.deepEqual([kept[0], kept.at(-1)], [0, points.length - 1]);
    const [all, some] = [points.values, kept.map((i) => points.values[i]!)];
    for (const list of [Math.min, Math.max]) {
      const of = (values: readonly number[]): number => list(...values.filter((value) => !Number.isNaN(value)));
      assert.equal(of(some), of(all));
    }
    assert.equal(some.some(Number.isNaN), all.some(Number.isNaN));
    if (points.length <= most) assert.equal(kept.length, points.length);
  }));
});

test("serve, law decimation: a window has its points, and one more on each side", () => {
  fc.assert(fc.property(curve, fc.nat(5000), fc.nat(5000), (points, a, b) => {
    const [from, to] = [Math.min(a, b), Math.max(a, b)];
    const kept = new Set(decimate(points, { from, to, most: 1000 }));
    const inside = points.steps.flatMap((step, i) => step >= from && step <= to ? [i] : []);
    // Of points of one step the window may begin and end at any but must show the first and the next.
    const first = points.steps.findIndex((step) => step >= from);
    if (first > 0) assert.ok(kept.has(first - 1));
    for (const i of inside.filter((i) => points.steps.indexOf(points.steps[i]!) === i)) assert.ok(kept.has(i));
    const next = points.steps.findIndex((step) => step > to);
    if (next >= 0) assert.ok(kept.has(next));
  }));
});

/** 10^5 points with DOGEAR_TORTURE=10. */
const manyPoints = 10_000 * torture;

test("serve: 20 metrics of many points are answered fast once they were read, and keep their peaks", async () => {
  const path = await copied();
  const names = Array.from({ length: 20 }, (_, i) => `metric ${i}`);
  const lines = [headerLine({ run: "a", parent: null })];
  for (let step = 0; step < manyPoints; step++) {
    lines.push(
      `{"step":${step},"time":0,"values":{${
        names.map((name, i) => `"${name}":${step === 4321 ? 99 : (step * i) % 7}`)
      }}}\n`,
    );
  }
  await writeFile(join(path, "log.jsonl"), lines.join(""));
  const watched = watching([path]);
  await ask(watched, "runs");
  const started = performance.now();
  const { metrics } = await ask(watched, "curves", "run=0&points=1000");
  const seconds = (performance.now() - started) / 1000;
  assert.equal(metrics.length, 22);
  for (const { values, total } of metrics.slice(0, 20)) {
    assert.ok(values.length <= 1000 && total === manyPoints && values.includes(99));
  }
  assert.ok(seconds < 1, `answered after ${seconds} s`);
});

// --- what is refused

test("serve: a wrong token, host, method or path is refused, and says nothing", async () => {
  const { url: address } = await serving(run);
  const { port, pathname } = new URL(address);
  const token = pathname.slice(1, -1);
  assert.match(token, /^[0-9a-f]{32}$/);
  const page = await send(port, pathname);
  assert.equal(page.status, 200);
  assert.match(page.body, /<script type="module" src="page\/main\.js">/);
  assert.equal(
    page.headers["content-security-policy"],
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  );
  assert.deepEqual(
    ["x-content-type-options", "referrer-policy", "cross-origin-resource-policy", "cache-control"].map((name) =>
      page.headers[name]
    ),
    ["nosniff", "no-referrer", "same-origin", "no-store"],
  );
  assert.equal(page.headers["access-control-allow-origin"], undefined);
  // Without a port on port 80, and with that of a tunnel.
  for (const host of [`localhost:${port}`, "127.0.0.1", "LOCALHOST:9000"]) {
    assert.equal((await send(port, pathname, { host })).status, 200, host);
  }
  const head = await send(port, `${pathname}page/main.js`, {}, "HEAD");
  assert.deepEqual([head.status, head.body], [200, ""]);

  const wrong = token.replace(/^./, (digit) => digit === "0" ? "1" : "0");
  const refused: readonly (readonly [path: string, status: number, host?: string | undefined, method?: string])[] = [
    ["/", 404],
    [`/${wrong}/`, 404],
    [`/${wrong}/api/runs`, 404],
    [`/${token}`, 404],
    [`/${token.slice(0, -1)}/api/runs`, 404],
    [`/${token}0/api/runs`, 404],
    [`//${token}/api/runs`, 404],
    [pathname, 403, `evil.example:${port}`],
    [pathname, 403, "other.example"],
    [pathname, 403, `localhost.evil.example:${port}`],
    [pathname, 403, `127.0.0.1.evil.example:${port}`],
    [pathname, 405, undefined, "POST"],
    [pathname, 405, undefined, "PUT"],
    [pathname, 405, undefined, "OPTIONS"],
    [`${pathname}api/runs`, 405, undefined, "DELETE"],
    [`${pathname}page/../../commands/serve.ts`, 404],
    [`${pathname}page/%2e%2e/assets.ts`, 404],
    [`${pathname}page%2fmain.js`, 404],
    [`${pathname}page/..%5cassets.ts`, 404],
    [`${pathname}page/main.js%00`, 404],
    [`${pathname}page/`, 404],
    [`${pathname}../${token}/`, 404],
    [`${pathname}etc/passwd`, 404],
    [`${pathname}api/nothing`, 404],
    [`${pathname}api/toString`, 404],
    [`${pathname}api/runs/`, 404],
    [`${pathname}api/runs?since=-1`, 400],
    [`${pathname}api/runs?since=1&since=2`, 400],
    [`${pathname}api/runs?Since=1`, 400],
    [`${pathname}api/runs?__proto__=1`, 400],
    [`${pathname}api/curves`, 400],
    [`${pathname}api/curves?run=..%2f..`, 400],
    [`${pathname}api/curves?run=0&points=1e3`, 400],
    [`${pathname}api/curves?run=0&from=NaN`, 400],
    [`${pathname}api/checkpoint?run=0&checkpoint=latest`, 400],
    [`${pathname}api/checkpoint?run=0&checkpoint=1e0`, 400],
    [`${pathname}api/checkpoint?run=0&checkpoint=${run}`, 400],
    [`${pathname}api/checkpoint?run=0&checkpoint=77`, 404],
    [`${pathname}api/tensor?run=0&checkpoint=1&path=..%2f..%2fetc`, 400],
    [`${pathname}api/histograms?run=0&path=w&most=401`, 400],
    [`${pathname}api/diff?left=0&right=0@1`, 400],
    [`${pathname}api/diff?left=9@0&right=0@1`, 400],
  ];
  for (const [path, status, host = `127.0.0.1:${port}`, method = "GET"] of refused) {
    const reply = await send(port, path, { host }, method);
    assert.equal(reply.status, status, `${method} ${path} at ${host}`);
    const { error } = JSON.parse(reply.body);
    assert.ok(error.tag.length > 0 && error.message.length > 0 && !reply.body.includes(token));
    assert.equal(reply.headers["content-security-policy"], page.headers["content-security-policy"]);
  }
});

/** Sends bytes as they are, and gives the first line of what comes back, if anything does. */
function raw(port: string, text: string): Promise<string> {
  return new Promise((resolve) => {
    let got = "";
    const socket = connect(Number(port), "127.0.0.1", () => socket.write(text));
    socket.setEncoding("utf8");
    socket.on("data", (piece: string) => {
      got += piece;
      socket.destroy();
    });
    socket.on("close", () => resolve(got.split("\r\n")[0] ?? ""));
    socket.on("error", () => resolve(""));
  });
}

test("serve: requests that no browser sends end, and the server goes on", async () => {
  const { url: address } = await serving(run);
  const { port, pathname } = new URL(address);
  const host = `Host: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`;
  assert.match(
    await raw(
      port,
      `GET http://127.0.0.1:${port}${pathname} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n`,
    ),
    /^$| 4\d\d /,
  );
  assert.doesNotMatch(await raw(port, `GET ${pathname} HTTP/1.1\r\n\r\n`), / 200 /);
  assert.doesNotMatch(await raw(port, `GET ${pathname}${"a".repeat(200_000)} HTTP/1.1\r\n${host}`), / 200 /);
  assert.doesNotMatch(await raw(port, `nonsense\r\n\r\n`), / 200 /);
  assert.equal((await send(port, `${pathname}api/runs`)).status, 200);
});

test("serve: it prints its address, runs until a signal, and ends with exit code 0", async () => {
  const program = isBun ? bun() : deno();
  const args = isBun ? [] : ["run", "-A"];
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    const child = spawn(program, [...args, join(root, "lib/cli/main.ts"), "serve", run], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => child.once("exit", (code) => resolve(code)));
    const address = await new Promise<string>((resolve) => child.stdout.once("data", (text) => resolve(String(text))));
    assert.match(address, /^http:\/\/127\.0\.0\.1:\d+\/[0-9a-f]{32}\/\n$/);
    const { port, pathname } = new URL(address.trim());
    assert.equal((await send(port, `${pathname}api/runs`)).status, 200);
    // By number: after Deno's own `child.kill` it says that the signal ended the process, whatever did.
    process.kill(child.pid!, signal);
    assert.equal(await ended, 0);
  }
  for (
    const words of [["--port", "65536"], ["--port", "x"], ["--force"], ["--export", "x", "--port", "1"], [
      "--export",
      "",
    ]]
  ) {
    assert.equal((await dogear("serve", run, ...words)).code, 2);
  }
});

test("serve: a run that is not there is exit code 2, with the runs nearby", async () => {
  const folder = place();
  await cp(run, join(folder, "killed"), { recursive: true });
  for (const words of [["kiled"], ["killed", "kiled"]]) {
    const { code, text, said } = await dogear("serve", ...words.map((name) => join(folder, name)));
    assert.deepEqual([code, text], [2, ""]);
    assert.match(said, /^Expected the folder of a run, found no folder ".*kiled"\. Did you mean .*killed\?/);
  }
  assert.equal((await dogear("serve", `${run}@99`)).code, 2);
  assert.equal((await json("serve", join(folder, "kiled"))).value.error._tag, "Usage");
});

test("serve: of a folder without a checkpoint it says that it waits for the first", async () => {
  const [program, args] = isBun ? [bun(), []] : [deno(), ["run", "-A"]];
  const folder = place();
  await mkdir(folder);
  const child = spawn(program, [...args, join(root, "lib/cli/main.ts"), "serve", folder, run]);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const said = await new Promise((resolve) => child.stderr.once("data", (text) => resolve(String(text))));
  assert.equal(said, `It waits for the first checkpoint of ${folder}\n`);
  process.kill(child.pid!, "SIGTERM");
  assert.equal(await ended, 0);
});

// --- hostile names

test("serve: names of any characters and of any length are JSON text in every answer", async () => {
  const path = place();
  const evil = "</script><img src=x onerror=alert(1)>\u202e\u2028\u0000";
  const long = "x".repeat(1e6);
  const state = {
    [evil]: { [long]: new Float32Array([1, 2]), text: evil.repeat(1000) },
    w: new Float32Array([1]),
    step: 1,
  };
  await runOrThrow(
    saveState(directory(path), {
      metrics: { [evil]: 1, __proto__: 2, [long]: 3 },
      note: evil,
    })(state),
  );
  const watched = watching([path]);
  const { runs: [{ checkpoints: [row] }] } = await ask(watched, "runs");
  assert.ok(Object.keys(row.metrics).includes(long) && row.note === evil);
  const details = await ask(watched, "checkpoint", "run=0&checkpoint=0");
  assert.ok(details.others.every(({ value }: { value: string }) => value.length < 1000));
  const tensor = details.tensors.find(({ path }: { path: string }) => path.endsWith(long));
  const { statistics } = await ask(watched, "tensor", `run=0&checkpoint=0&path=${encodeURIComponent(tensor.path)}`);
  assert.equal(statistics.count, 2);
  assert.equal((await ask(watched, "curves", "run=0")).metrics.length, Object.keys(row.metrics).length);
  const { url: address } = await serving(path);
  const { body } = await send(new URL(address).port, `${new URL(address).pathname}api/runs`);
  // deno-lint-ignore no-control-regex -- what must not be there
  assert.doesNotMatch(body, /[\u0000-\u001f\u202e\u2028]/);
});

// --- the export

test("serve --export: one file with every answer of the page, and a policy with the hashes of what is in it", async () => {
  const path = await copied();
  await runOrThrow(
    saveState(directory(path), { note: "</script><script>alert(1)</script><!--" })({
      step: 40,
      w: new Float32Array([1]),
    }),
  );
  const file = `${place()}.html`;
  const { code, value } = await json("serve", path, "--export", file);
  assert.deepEqual([code, value.path], [0, file]);
  const page = await readFile(file, "utf8");
  assert.equal(Buffer.byteLength(page), value.bytes);
  assert.equal(page.match(/<script\b/g)?.length, 2);
  assert.equal(page.match(/<\/script>/g)?.length, 2);
  assert.doesNotMatch(page, /\b(?:src|href)="(?!data:)/);
  const data = JSON.parse(/<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)![1]!);
  assert.equal(Object.keys(data).length, value.answers);
  const watched = watching([path]);
  await ask(watched, "runs");
  for (const [request, given] of Object.entries(data)) {
    const [, name = "", query = ""] = /^api\/(\w+)\??(.*)$/.exec(request)!;
    if (name !== "runs" && name !== "curves") assert.deepEqual(given, await ask(watched, name, query), request);
  }
  const kinds = Object.keys(data).map((request) => /^api\/(\w+)/.exec(request)![1]);
  assert.deepEqual([...new Set(kinds)].sort(), ["checkpoint", "curves", "diff", "histograms", "runs", "tensor"]);
  const policy = /http-equiv="Content-Security-Policy" content="([^"]+)"/.exec(page)![1]!;
  const { createHash } = await import("node:crypto");
  const hash = (text: string): string => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;
  const script = /<script type="module">(.*?)<\/script>/s.exec(page)![1]!;
  const styles = [...page.matchAll(/<style>(.*?)<\/style>/gs)].map(([, text]) => hash(text!));
  assert.equal(
    policy,
    `default-src 'none'; script-src ${hash(script)}; style-src ${
      styles.join(" ")
    }; img-src data:; base-uri 'none'; form-action 'none'`,
  );
  // It is one script that parses.
  const AsyncFunction = Object.getPrototypeOf(async () => {}).constructor as FunctionConstructor;
  assert.doesNotThrow(() => AsyncFunction(script));

  assert.equal((await dogear("serve", path, "--export", file)).code, 0);
  const other = `${place()}.html`;
  await writeFile(other, "mine");
  const { code: refused, said } = await dogear("serve", path, "--export", other);
  assert.equal(refused, 2);
  assert.match(said, /Expected a new file, or a page that dogear wrote, to replace/);
  assert.equal(await readFile(other, "utf8"), "mine");
  assert.equal((await dogear("serve", path, "--export", other, "--force")).code, 0);
  assert.match(await readFile(other, "utf8"), /content="dogear"/);
});

test("serve --export: a run that cannot be opened, or a place that is no file, is exit code 2, and nothing is written", async () => {
  const [path, file, folder] = [await copied(), `${place()}.html`, place()];
  await mkdir(folder, { recursive: true });
  const refused: readonly (readonly string[])[] = [
    [`${path}-none`, "--export", file],
    [`${path}@99`, "--export", file],
    [path, "--export", folder, "--force"],
    [path, "--export", "s3://bucket/page.html"],
    [path, "--log", `${path}/none.jsonl`, "--export", file],
  ];
  for (const words of refused) assert.equal((await dogear("serve", ...words)).code, 2, words.join(" "));
  const missing = await dogear("serve", path, "--export", join(folder, "none", "page.html"));
  assert.equal(missing.code, 2);
  assert.equal(
    missing.said,
    `Expected a file in a folder that exists, found no folder ${JSON.stringify(join(folder, "none"))}: make it first`,
  );
  for (const log of [inside(path, 0, "model.safetensors"), path]) {
    const { code, said } = await dogear("serve", path, "--log", log, "--export", file);
    assert.deepEqual([code, /^Expected a log of jsonLines at --log, found .*, which is no (log|file)$/.test(said)], [
      2,
      true,
    ]);
  }
  await assert.rejects(readFile(file), { code: "ENOENT" });
});

needs("a POSIX shell")("serve: a pipe in the folder of a run keeps no reader waiting", async () => {
  const path = await copied();
  spawnSync("mkfifo", [join(path, "a.jsonl")]);
  await writeFile(
    join(path, "b.jsonl"),
    headerLine({ run: null, parent: null }) + valuesLine({ step: 1, time: 0, values: { logged: 5 } }),
  );
  const { metrics } = await ask(watching([path]), "curves", "run=0");
  assert.ok(metrics.some(({ source }: { source: string }) => source === "log"));
});
