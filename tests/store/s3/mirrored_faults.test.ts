/**
 * A local store with a remote one behind it, whatever happens to the machine and to the connection.
 *
 * @module
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { mirrored } from "../../../lib/store/s3/mod.ts";
import { loadState, memory, resume, Retention, runOrThrow, saveState, type Store } from "../../../mod.ts";
import { afresh, type Remote, remotes, type Switch } from "../../support/mirrors.ts";
import { torture } from "../../support/torture.ts";

/** What happens to a machine. */
const events = [
  "save",
  "drain",
  "kill",
  "lose disk",
  "break",
  "slow",
  "mend",
  "late commit arrives",
  "other machine",
] as const;
type Event = typeof events[number];

/** Which saves led to a state. */
const fresh = { history: "" };

async function numbers(store: Store): Promise<readonly number[]> {
  return await runOrThrow(store.list);
}

async function textOf(store: Store, checkpoint: number): Promise<string | undefined> {
  const manifest = await store.manifest(checkpoint)();
  // Retention may remove it meanwhile.
  return E.isRight(manifest) ? new TextDecoder().decode(manifest.right) : undefined;
}

/** The histories in a store, oldest first: each save of a run has a letter more than its parent. */
async function histories(store: Store): Promise<readonly string[]> {
  const found: string[] = [];
  for (const checkpoint of await numbers(store)) {
    const loaded = await loadState(afresh(store), { checkpoint })({ ...fresh })();
    if (E.isRight(loaded)) found.push(loaded.right.history);
    else assert.equal(loaded.left._tag, "NoCheckpoint");
  }
  return found;
}

/** A machine and others that save to a remote store. Checks after each event what the remote has. */
async function live(happening: readonly Event[], remote: Remote, keep: Retention.Retention | undefined): Promise<void> {
  const disk = (): Store => memory(keep && { keep });
  const begin = (): Store & { drain: NonNullable<Store["drain"]> } =>
    mirrored(local, remote.open(on = {}), { onFailed: () => {} });
  const committed = new Set<string | undefined>();
  const truth = remote.open({});
  let [local, on, letter, openGate]: [Store, Switch, number, () => void] = [disk(), {}, 0, () => {}];
  let [store, state, safe, isAlone] = [begin(), { ...fresh }, "", true];
  const mend = (): void => {
    [on.fails, on.gate] = [false, undefined];
    openGate();
  };
  const next = (history: string): typeof fresh => ({ history: `${history}${String.fromCharCode(97 + letter++)}` });
  const save = async (): Promise<void> => {
    const wanted = next(state.history);
    const saved = await saveState(store)(wanted)();
    if (E.isRight(saved)) {
      state = wanted;
      committed.add(await textOf(local, saved.right.checkpoint));
    } else if (saved.left._tag === "Overtaken") {
      assert.ok(!isAlone, "overtaken by nobody");
      const loaded = await resume(store)({ ...fresh })();
      if (E.isLeft(loaded)) return assert.ok(on.fails);
      state = loaded.right;
      await save();
    } else assert.ok(on.fails, JSON.stringify(saved.left));
  };
  const happen: Readonly<Record<Event, () => Promise<void> | void>> = {
    save,
    drain: async () => {
      if (on.gate === undefined && E.isRight(await store.drain())) safe = state.history;
    },
    kill: async () => {
      await restart();
      if (isAlone) assert.equal(state.history, lived, "committed, and lost");
    },
    "lose disk": async () => {
      local = disk();
      await restart();
    },
    break: () => void (on.fails = true),
    slow: () => {
      on.gate ??= new Promise((resolve) => openGate = resolve);
    },
    mend,
    "late commit arrives": remote.arrive,
    "other machine": async () => {
      isAlone = false;
      const other = disk();
      const slow: Switch = {};
      const there = mirrored(other, remote.open(slow));
      let open = (): void => {};
      slow.gate = new Promise((resolve) => open = resolve);
      let theirs = await runOrThrow(resume(there)({ ...fresh }));
      // An upload of this machine may come in between.
      for (let i = 0; i < 3; i++) {
        const wanted = next(theirs.history);
        const saved = await saveState(there)(wanted)();
        if (E.isLeft(saved)) break;
        committed.add(await textOf(other, saved.right.checkpoint));
        theirs = wanted;
      }
      open();
      if (E.isRight(await there.drain())) safe = theirs.history;
    },
  };
  let lived = "";
  const restart = async (): Promise<void> => {
    // Nothing of the process that is killed reaches the remote any more.
    [on.fails, on.gate, lived] = [true, new Promise(() => {}), state.history];
    remote.forget();
    local = afresh(local);
    store = begin();
    state = await runOrThrow(resume(store)({ ...fresh }));
    assert.ok(state.history.startsWith(safe), `${safe} was uploaded, found ${state.history}`);
  };
  state = await runOrThrow(resume(store)(state));
  // All continue one run.
  await happen.save();
  await happen.drain();
  for (const event of happening) {
    await happen[event]();
    for (const number of await numbers(truth)) {
      const text = await textOf(truth, number);
      assert.ok(text === undefined || committed.has(text), "not committed");
    }
    const line = await histories(truth);
    for (let i = 1; i < line.length; i++) assert.ok(line[i]!.startsWith(line[i - 1]!), `two lines: ${line}`);
  }
  mend();
}

for (const [kind, make] of Object.entries(remotes)) {
  test(`mirror on ${kind}: whatever is killed, lost or late, the remote is one line of committed checkpoints`, async () => {
    const event = fc.oneof({ weight: 4, arbitrary: fc.constant<Event>("save") }, {
      weight: 6,
      arbitrary: fc.constantFrom(...events),
    });
    const keep = fc.constantFrom(undefined, 1, 2);
    await fc.assert(
      fc.asyncProperty(fc.array(event, { maxLength: 25 }), keep, keep, async (happening, own, theirs) => {
        const remote = make(theirs === undefined ? {} : { keep: Retention.latest(theirs) });
        await live(happening, remote, own === undefined ? undefined : Retention.latest(own));
      }),
      { numRuns: 40 * torture },
    );
  });
}

/** Saves steps one after the other. */
async function saveSteps(store: Store, ...steps: readonly number[]): Promise<void> {
  for (const step of steps) await saveState(store)({ step });
}

test("mirror: another machine's line is seen, also where slow uploads and retention have left gaps", async () => {
  let [gate, commits]: [Promise<void> | undefined, number] = [undefined, 0];
  const opened: (() => void)[] = [];
  const on: Switch = {
    get gate() {
      commits += 1;
      return gate;
    },
  };
  const close = (): void => void (gate = new Promise((resolve) => opened.push(resolve)));
  const untilCommit = async (number: number): Promise<void> => {
    while (commits < number) await new Promise((resolve) => setTimeout(resolve, 1));
  };
  const remote = remotes["a bucket"]!({});
  const store = mirrored(memory({ keep: Retention.latest(1) }), remote.open(on), { onFailed: () => {} });
  await saveSteps(store, 0);
  await store.drain();
  close();
  commits = 0;
  await saveSteps(store, 1, 2, 3, 4);
  await untilCommit(1);
  close();
  opened[0]!();
  await untilCommit(2);
  await saveSteps(store, 5, 6);
  close();
  opened[1]!();
  await untilCommit(3);
  // The remote has 4, and 6 waits. Its parent is 5, a number that the other machine gives, too.
  const truth = remote.open({});
  assert.equal((await numbers(truth)).at(-1), 4);
  const there = mirrored(memory(), remote.open({}));
  assert.equal((await resume(there)({ step: 0 })).step, 4);
  await saveSteps(there, 50);
  assert.equal((await there.drain())._tag, "Right");
  gate = undefined;
  opened[2]!();
  const drained = await store.drain();
  assert.equal(E.isLeft(drained) && drained.left._tag, "Overtaken");
  assert.equal((await numbers(truth)).at(-1), 5);
  assert.equal((await resume(store)({ step: 0 })).step, 50);
});
