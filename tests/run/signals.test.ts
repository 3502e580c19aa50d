/**
 * The signals of `stopOn`: a training that no signal of the system could stop is refused.
 */

import assert from "node:assert/strict";
import process from "node:process";
import { test } from "node:test";
import { fit, Loader, memory, train } from "../../mod.ts";
import { checkDelivered, type Signal, signals } from "../../lib/run/signals.ts";
import { has } from "../support/portable.ts";

test("stopOn: on Windows it must have SIGINT or SIGHUP; elsewhere every signal is delivered", () => {
  for (const a of signals) {
    for (const b of signals) {
      for (const platform of ["linux", "darwin"] as const) checkDelivered([a, b], platform);
      const isDelivered = [a, b].some((signal) => signal === "SIGINT" || signal === "SIGHUP");
      const check = (): void => checkDelivered([a, b], "win32");
      if (isDelivered) check();
      else {assert.throws(check, {
          name: "TypeError",
          message: /SIGINT.*Windows delivers no other, found .*every or seconds/,
        });}
    }
  }
  checkDelivered([], "win32");
});

const platform = Object.getOwnPropertyDescriptor(process, "platform")!;

test("stopOn: train and fit refuse, at the call, signals that Windows never delivers", () => {
  const calls: readonly ((...stopOn: Signal[]) => unknown)[] = [
    (...stopOn) => train({ loader: Loader.fromArray([1]), step: (state: object) => state, stopOn }),
    (...stopOn) => fit({ to: memory(), stopOn }),
  ];
  for (const call of calls) {
    try {
      Object.defineProperty(process, "platform", { configurable: true, value: "win32" });
      assert.throws(() => call("SIGTERM"), { name: "TypeError", message: /Windows/ });
      call("SIGTERM", "SIGINT");
    } finally {
      Object.defineProperty(process, "platform", platform);
    }
    if (has("POSIX signals")) call("SIGTERM");
  }
});
