/**
 * The codec of plain values that keep a rule: apart from the rules, so that who only needs these need not load io-ts.
 *
 * @module
 */
import * as t from "io-ts";
import type { Rule } from "./rules.ts";

// --- constructors

/**
 * The codec of a plain value that encodes as itself.
 *
 * @param name The codec's name.
 * @param rule What the value must be; each objection becomes one `t.ValidationError` with a message.
 * @param restore Makes the library's own frozen copy, so that no decoded value shares memory with its source.
 */
export function plainCodec<A>(name: string, rule: Rule, restore: (value: A) => A): t.Type<A, A, unknown> {
  return new t.Type<A, A, unknown>(
    name,
    (value): value is A => rule(value, name).length === 0,
    (value, context) => {
      const objections = rule(value, name);
      return objections.length === 0
        ? t.success(restore(value as A))
        : t.failures(objections.map((message) => ({ value, context, message })));
    },
    t.identity,
  );
}
