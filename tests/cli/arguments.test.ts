/**
 * Options and words of a command line, and the sentences about those that cannot be understood.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as E from "fp-ts/lib/Either.js";
import { parseOptions } from "../../lib/cli/arguments.ts";

const table = {
  port: { value: "N", help: "" },
  log: { value: "FILE", multiple: true, help: "" },
  export: { value: "FILE", help: "" },
  verify: { help: "" },
} as const;

function refused(...given: readonly string[]): string {
  const parsed = parseOptions(given, table);
  assert.ok(E.isLeft(parsed), given.join(" "));
  return parsed.left.message;
}

test("arguments: options and words in any order are what was typed", () => {
  const word = fc.string().filter((text) => !/^-./.test(text));
  const value = fc.oneof(word, fc.double().map((n) => `-${Math.abs(n)}`).filter((text) => /^-\d/.test(text)));
  const piece = fc.oneof(
    word.map((text) => [[text], ["word", text]] as const),
    fc.tuple(value, fc.boolean()).map(([text, inline]) =>
      [inline ? [`--log=${text}`] : ["--log", text], ["log", text]] as const
    ),
    fc.constant([["--verify"], ["verify", ""]] as const),
  );
  const pieces = fc.array(piece);
  fc.assert(fc.property(pieces, pieces.map((all) => all.flatMap(([words]) => words)), (all, after) => {
    const given = [...all.flatMap(([words]) => words), "--", ...after];
    const of = (kind: string): readonly string[] => all.flatMap(([, [is, text]]) => is === kind ? [text] : []);
    const log = of("log");
    const options = { ...(log.length > 0 && { log }), ...(of("verify").length > 0 && { verify: true }) };
    const parsed = parseOptions(given, table);
    assert.ok(E.isRight(parsed));
    assert.deepEqual({ ...parsed.right.options }, options);
    assert.deepEqual(parsed.right.words, [...of("word"), ...after]);
  }));
});

test("arguments: what is wrong with an option is said with the remedy", () => {
  assert.equal(
    refused("--exprot", "x"),
    'Expected an option of this command, found "--exprot". Did you mean --export?',
  );
  assert.match(refused("-verify"), /found "-verify"\. Did you mean --verify\?$/);
  assert.match(refused("--VERIFY"), /Did you mean --verify\?$/);
  assert.match(refused("--ver"), /Did you mean --verify\?$/);
  assert.match(
    refused("--zzz=3"),
    /found "--zzz"\. Its options are --port, --log, --export, --verify, --json, --help$/,
  );
  assert.match(refused("-1"), /found "-1"/);
  assert.match(refused("--toString"), /found "--toString"/);
  assert.match(refused("--__proto__"), /found "--__proto__"/);
  assert.equal(refused("--verify=yes"), 'Expected --verify without a value, found "--verify=yes"');
  assert.equal(refused("--export"), "Expected a value after --export, found the end: write --export FILE");
  assert.match(refused("--export", "--verify"), /found "--verify"\. .* is written --export=--verify$/);
  assert.equal(refused("--port", "1", "--port=2"), 'Expected --port once, found it with "1" and with "2"');
});

test("arguments: a negative number is a value, and so is anything after =", () => {
  for (
    const [given, port] of [[["--port", "-1"], "-1"], [["--port=-x"], "-x"], [["--port="], ""], [
      ["--port", ""],
      "",
    ]] as const
  ) {
    const parsed = parseOptions(given, table);
    assert.equal(E.isRight(parsed) && parsed.right.options.port, port);
  }
  assert.ok(E.isRight(parseOptions(["-h", "--verify", "--verify"], table)));
});
