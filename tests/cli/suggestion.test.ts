/**
 * Hints about misspelt names.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { didYouMean, nearestName } from "../../lib/cli/suggestion.ts";

const commands = ["ls", "plot", "serve", "inspect", "verify", "diff", "prune", "export", "cp", "index", "completion"];

test("suggestion: the name that was probably meant", () => {
  const meant = {
    list: "ls",
    lss: "ls",
    LS: "ls",
    copy: "cp",
    exprot: "export",
    dfif: "diff",
    insp: "inspect",
    comp: "cp",
    complete: "completion",
    prun: "prune",
  };
  for (const [wanted, name] of Object.entries(meant)) assert.equal(nearestName(wanted, commands), name, wanted);
  assert.equal(didYouMean("vrify", commands), " Did you mean verify?");
});

test("suggestion: none where no name is near", () => {
  for (const wanted of ["", "x", "train", "checkpoint", "/etc", "💥"]) assert.equal(didYouMean(wanted, commands), "");
  assert.equal(didYouMean("ls", []), "");
});
