/**
 * Laws of whole checkpoints: old or new, numbers, one line of history, removal.
 *
 * @module
 */

import * as TE from "fp-ts/lib/TaskEither.js";
import { begin, bytes, type Laws, left, type MakeStore, numbersOf, read, right, same, save } from "./expect.ts";
import type { CommitCondition, Saving } from "../mod.ts";

// --- constructors

/** The laws, by their names. */
export const checkpointLaws: Laws = {
  "an empty store holds nothing": empty,
  "old or new: a save is invisible until it is committed": oldOrNew,
  "numbers: the first checkpoint is 0, the next is the highest number + 1": numbers,
  "numbers: two saves get two numbers, in the order of their commits": orderOfCommits,
  "numbers: saves that commit concurrently never share a number": concurrentCommits,
  "one line of history: of two commits that follow one parent, one is overtaken": oneLine,
  "one line of history: a commit whose condition fails leaves no checkpoint": failedCondition,
  "numbers: a commit gets the number that its condition names, above all others, or nothing is committed": namedNumber,
  "immutable: a later save changes no committed checkpoint": immutable,
  "abort discards the parts before commit, and does nothing after it": abort,
  "abort waits for the current step": abortWaits,
  "remove removes one checkpoint, as a whole": remove,
  "candidates include every checkpoint, and the last is the newest, as newest says": candidates,
  "a store is frozen, and has its retention policy as keep": frozen,
};

async function empty(make: MakeStore): Promise<void> {
  const store = await make();
  same("list", await numbersOf(store), []);
  const none = { _tag: "NoCheckpoint", location: store.location, checkpoint: 0, available: [] };
  same("manifest", left("manifest", await store.manifest(0)()), none);
  same("open", left("open", await store.open(0, "model.safetensors")()), none);
  right("remove", await store.remove(0)());
}

async function oldOrNew(make: MakeStore): Promise<void> {
  const store = await make();
  const saving = await begin(store);
  right("put", await saving.put("a", [bytes(1)])());
  same("list before commit", await numbersOf(store), []);
  same("open before commit", left("open", await store.open(0, "a")())._tag, "NoCheckpoint");
  same("the number", right("commit", await saving.commit(bytes(7))()), 0);
  same("list after commit", await numbersOf(store), [0]);
  same("the manifest", right("manifest", await store.manifest(0)()), bytes(7));
  same("the part", await read(store, 0, "a"), bytes(1));
}

async function numbers(make: MakeStore): Promise<void> {
  const store = await make();
  const found: number[] = [];
  for (let i = 0; i < 12; i++) found.push(await save(store, i));
  same("the numbers", found, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  same("list", await numbersOf(store), found);
  right("remove", await store.remove(0)());
  right("remove", await store.remove(5)());
  same("the number after removals", await save(store), 12);
  same("list after removals", await numbersOf(store), [1, 2, 3, 4, 6, 7, 8, 9, 10, 11, 12]);
  same("manifest 9", right("manifest", await store.manifest(9)()), bytes(9));
}

async function orderOfCommits(make: MakeStore): Promise<void> {
  const store = await make();
  const [first, second] = [await begin(store), await begin(store)];
  right("put", await first.put("a", [bytes(1)])());
  right("put", await second.put("a", [bytes(2)])());
  same("the number of the first commit", right("commit", await second.commit(bytes(2))()), 0);
  same("the number of the second commit", right("commit", await first.commit(bytes(1))()), 1);
  same("part a of 0", await read(store, 0, "a"), bytes(2));
  same("part a of 1", await read(store, 1, "a"), bytes(1));
}

async function concurrentCommits(make: MakeStore): Promise<void> {
  const store = await make();
  const savings = await Promise.all(Array.from({ length: 8 }, () => begin(store)));
  for (const [i, saving] of savings.entries()) right("put", await saving.put("a", [bytes(i)])());
  const committed = await Promise.all(savings.map((saving, i) => saving.commit(bytes(i))()));
  const found = committed.map((result) => right("commit", result));
  same("the numbers", [...found].sort((a, b) => a - b), [0, 1, 2, 3, 4, 5, 6, 7]);
  for (const [i, number] of found.entries()) {
    same(`manifest ${number}`, right("manifest", await store.manifest(number)()), bytes(i));
    same(`part a of ${number}`, await read(store, number, "a"), bytes(i));
  }
}

/** The condition of a run that every checkpoint of the store belongs to. */
function following(parent: number): CommitCondition {
  return {
    key: "the run",
    parent,
    check: (checkpoints) => {
      const newer = checkpoints.filter((number) => number > parent);
      const by = "the laws of stores";
      return newer.length === 0
        ? TE.right(undefined)
        : TE.left({ _tag: "Overtaken", checkpoint: Math.max(...newer), step: null, by });
    },
  };
}

async function oneLine(make: MakeStore): Promise<void> {
  const store = await make();
  const parent = await save(store);
  const savings = await Promise.all(Array.from({ length: 4 }, () => begin(store)));
  if (!savings.every(({ checksCondition }) => checksCondition)) return;
  const committed = await Promise.all(savings.map((saving, i) => saving.commit(bytes(i), following(parent))()));
  const [winner, ...others] = committed.flatMap((result) => result._tag === "Right" ? [result.right] : []);
  same("commits that succeeded beside the first", others, []);
  same("list", await numbersOf(store), [parent, winner]);
  for (const result of committed) {
    if (result._tag === "Left") same("the failure of the others", result.left._tag, "Overtaken");
  }
  const late = await begin(store);
  same("a later commit", left("commit", await late.commit(bytes(9), following(parent))())._tag, "Overtaken");
  const next = await begin(store);
  const listed = right("commit", await next.commit(bytes(5), following(winner!))());
  same("listed", next.listed?.() ?? [parent, winner, listed], [parent, winner, listed]);
}

async function failedCondition(make: MakeStore): Promise<void> {
  const store = await make();
  const parent = await save(store, 1, { a: bytes(1) });
  const newest = await save(store, 2);
  const saving = await begin(store);
  if (!saving.checksCondition) return;
  right("put", await saving.put("a", [bytes(3)])());
  left("commit", await saving.commit(bytes(3), following(parent))());
  same("list", await numbersOf(store), [parent, newest]);
  same("the next number", await save(store), newest + 1);
}

async function namedNumber(make: MakeStore): Promise<void> {
  const store = await make();
  const copyTo = async (number: number): ReturnType<ReturnType<Saving["commit"]>> => {
    const saving = await begin(store);
    right("put", await saving.put("a", [bytes(number)])());
    const condition = { key: "copies", parent: number - 1, number, check: () => TE.right(undefined) };
    return await saving.commit(bytes(number), condition)();
  };
  if (!(await begin(store)).checksCondition) return;
  for (const number of [3, 4, 9]) same("the number", right("commit", await copyTo(number)), number);
  for (const number of [0, 4, 8, 9]) {
    const taken = left("commit", await copyTo(number));
    same("the code", taken._tag === "StoreFailed" && taken.code, "ETAKEN");
  }
  same("list", await numbersOf(store), [3, 4, 9]);
  same("the part", await read(store, 4, "a"), bytes(4));
  same("the next number", await save(store), 10);
}

async function immutable(make: MakeStore): Promise<void> {
  const store = await make();
  const committed = await begin(store);
  right("put", await committed.put("a", [bytes(1)])());
  const checkpoint = right("commit", await committed.commit(bytes(1))());
  await committed.put("a", [bytes(8)])().catch(() => undefined);
  await committed.put("b", [bytes(8)])().catch(() => undefined);
  await save(store, 2, { a: bytes(2), b: bytes(2) });
  const aborted = await begin(store);
  right("put", await aborted.put("a", [bytes(3)])());
  await aborted.abort();
  same("the manifest", right("manifest", await store.manifest(checkpoint)()), bytes(1));
  same("part a", await read(store, checkpoint, "a"), bytes(1));
  const missing = left("open", await store.open(checkpoint, "b")());
  same("part b", missing._tag === "StoreFailed" && missing.code, "ENOENT");
}

async function abort(make: MakeStore): Promise<void> {
  const store = await make();
  const saving = await begin(store);
  right("put", await saving.put("a", [bytes(1)])());
  await saving.abort();
  await saving.abort();
  same("list after abort", await numbersOf(store), []);
  const kept = await begin(store);
  same("the next number", right("commit", await kept.commit(bytes())()), 0);
  await kept.abort();
  same("list after commit and abort", await numbersOf(store), [0]);
}

async function abortWaits(make: MakeStore): Promise<void> {
  const store = await make();
  const saving = await begin(store);
  const commit = saving.commit(bytes())();
  await saving.abort();
  same("list", await numbersOf(store), [right("commit", await commit)]);
}

async function remove(make: MakeStore): Promise<void> {
  const store = await make();
  for (const i of [0, 1, 2]) await save(store, i, { a: bytes(i) });
  right("remove", await store.remove(1)());
  right("remove again", await store.remove(1)());
  same("list", await numbersOf(store), [0, 2]);
  const none = { _tag: "NoCheckpoint", location: store.location, checkpoint: 1, available: [0, 2] };
  same("open", left("open", await store.open(1, "a")()), none);
  same("manifest", left("manifest", await store.manifest(1)()), none);
  same("part a of 2", await read(store, 2, "a"), bytes(2));
}

async function candidates(make: MakeStore): Promise<void> {
  const store = await make();
  const found = store.candidates ?? store.list;
  same("candidates of an empty store", right("candidates", await found()), []);
  if (store.newest) same("newest of an empty store", right("newest", await store.newest()), undefined);
  for (let i = 0; i < 12; i++) await save(store, i);
  for (const removed of [0, 4, 11, 10]) right("remove", await store.remove(removed)());
  const [all, listed] = [right("candidates", await found()), await numbersOf(store)];
  same("the newest candidate", all.at(-1), listed.at(-1));
  if (store.newest) same("newest", right("newest", await store.newest()), listed.at(-1));
  same("checkpoints that are no candidates", listed.filter((number) => !all.includes(number)), []);
}

async function frozen(make: MakeStore): Promise<void> {
  const keep = () => ({ keep: [], remove: [] });
  same("the store is frozen", Object.isFrozen(await make()), true);
  same("keep is the policy", (await make({ keep })).keep === keep, true);
  same("keep is absent", "keep" in await make(), false);
}
