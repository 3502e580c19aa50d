/**
 * Leases, on a simulated bucket: at most one process holds a name, and work is taken over from one that was killed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setTimeout } from "node:timers/promises";
import fc from "fast-check";
import type { Bucket } from "../../../lib/store/s3/bucket.ts";
import { takeLease } from "../../../lib/store/s3/lease.ts";
import { type HeldLease, type Lease, lease } from "../../../lib/store/s3/mod.ts";
import type { StoreFailed } from "../../../lib/errors/mod.ts";
import { type Awaitable, awaitable } from "../../../lib/task.ts";
import { type Fate, simulatedBucket } from "../../support/simulated_bucket.ts";
import { torture } from "../../support/torture.ts";

const minute = 60_000;

/** The leases of a bucket, without the probe. */
function leasesOn(bucket: Bucket, milliseconds: number): (name: string) => Awaitable<StoreFailed, Lease> {
  return (name) => awaitable(() => takeLease({ bucket, prefix: `sweep/leases/${name}/`, milliseconds }));
}

function held(lease: Lease): HeldLease {
  assert.equal(lease._tag, "Held");
  return lease as HeldLease;
}

test("lease: one of many holds a name, the others find it busy, and names are independent", async () => {
  const server = simulatedBucket();
  const workers = Array.from({ length: 20 }, () => leasesOn(server.client(), minute));
  const taken = await Promise.all(workers.map((take) => take("a")));
  assert.equal(taken.filter(({ _tag }) => _tag === "Held").length, 1);
  assert.equal(taken.filter(({ _tag }) => _tag === "Busy").length, 19);
  assert.equal((await workers[0]!("b"))._tag, "Held");
});

test("lease: after a kill the name is busy until the lease has expired, then another takes over, and the first has lost it", async () => {
  const server = simulatedBucket();
  const [first, second] = [leasesOn(server.client(), minute), leasesOn(server.client(), minute)];
  const lost = held(await first("a"));
  server.now += minute - 1;
  assert.ok(lost.isHeld());
  server.now += 1;
  assert.ok(!lost.isHeld(), "the holder gives up first");
  assert.equal((await second("a"))._tag, "Busy");
  server.now += 1000;
  const next = held(await second("a"));
  assert.deepEqual([lost.isHeld(), next.isHeld()], [false, true]);
  await assert.rejects(async () => await lost.finish, /not renewed in time/);
  await lost.release;
  assert.equal((await first("a"))._tag, "Busy", "a lease that was lost releases nothing");
  await next.finish;
  await next.finish;
  await next.release;
  assert.deepEqual([(await first("a"))._tag, (await second("a"))._tag], ["Finished", "Finished"]);
});

test("lease: a release frees the name at once, and the work of a late holder can still be finished if nobody took over", async () => {
  const server = simulatedBucket();
  const [first, second] = [leasesOn(server.client(), minute), leasesOn(server.client(), minute)];
  await held(await first("a")).release;
  const late = held(await second("a"));
  server.now += 5 * minute;
  await late.finish;
  assert.equal((await first("a"))._tag, "Finished");
});

test("lease: it is renewed in the background", async () => {
  const server = simulatedBucket();
  const lease = held(await leasesOn(server.client(), 60)("a"));
  for (let i = 0; i < 5; i++) {
    server.now += 50;
    await setTimeout(50);
    assert.ok(lease.isHeld(), `after ${50 * (i + 1)} ms`);
  }
  await lease.release;
});

test("lease: entries older than an hour are removed, except the newest", async () => {
  const server = simulatedBucket();
  const take = leasesOn(server.client(), minute);
  await held(await take("a")).release;
  server.now += 61 * minute;
  await held(await take("a")).finish;
  server.now += 61 * minute;
  assert.equal((await take("a"))._tag, "Finished");
  assert.equal([...server.objects.keys()].filter((key) => key.startsWith("sweep/leases/a/")).length, 2);
});

test("lease: whichever answers are lost, late or doubled, two never hold a name", async () => {
  const fate = fc.constantFrom<Fate>("answered", "answered", "lost", "answer lost", "late", "twice");
  const action = fc.constantFrom("take", "take", "release", "pass", "arrive");
  const steps = fc.array(fc.tuple(fc.nat(2), action, fc.infiniteStream(fate)), { minLength: 5, maxLength: 25 });
  await fc.assert(
    fc.asyncProperty(steps, async (all) => {
      const server = simulatedBucket();
      let fates: Iterator<Fate> = [][Symbol.iterator]();
      const schedule = {
        pause: () => Promise.resolve(),
        fate: (): Fate => fates.next().value ?? "answered",
        wait: () => Promise.resolve(),
      };
      const workers = [0, 1, 2].map(() => leasesOn(server.client(schedule), minute));
      const leases: (HeldLease | undefined)[] = [];
      for (const [worker, what, stream] of all) {
        fates = stream[Symbol.iterator]();
        if (what === "take") {
          const taken = await workers[worker]!("a")();
          if (taken._tag === "Right" && taken.right._tag === "Held") {
            // One that expired is forgotten by its worker.
            leases[worker] = taken.right;
          }
        }
        if (what === "release") await leases[worker]?.release();
        if (what === "pass") server.now += [28_000, 30_000, 700][worker]!;
        if (what === "arrive") server.late.splice(0).forEach((apply) => apply());
        assert.ok(leases.filter((lease) => lease?.isHeld()).length <= 1, "two hold it");
      }
    }),
    { numRuns: 300 * torture },
  );
});

test("lease: a name that leaves its folder is a TypeError", () => {
  for (const name of ["", ".", "..", "a/b", "a b"]) {
    assert.throws(() => lease("s3://bucket/run", name), /name of a lease/);
  }
});
