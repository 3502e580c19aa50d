/**
 * The codec of a plain value: it encodes as itself, and its errors are sentences.
 *
 * @module
 */
import * as t from "io-ts";
import { objections, type Plain } from "./types.ts";

// --- constructors

/**
 * The codec of a plain value that encodes as itself.
 *
 * @param name The codec's name, with which the path in each sentence begins.
 * @param type The type of the value; each objection becomes one `t.ValidationError` with a message.
 * @param restore Makes the library's own frozen copy, so that no decoded value shares memory with its source.
 */
export function plainCodec<A>(name: string, type: Plain<A>, restore: (value: A) => A): Plain<A> {
  return new t.Type<A, A, unknown>(
    name,
    (value): value is A => objections(name, type, value).length === 0,
    (value, context) => {
      const messages = objections(name, type, value);
      return messages.length === 0
        ? t.success(restore(value as A))
        : t.failures(messages.map((message) => ({ value, context, message })));
    },
    t.identity,
  );
}
