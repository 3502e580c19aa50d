/**
 * Decodes the samples of a file with the codec that its loader was given.
 *
 * @module
 */
import * as E from "fp-ts/lib/Either.js";
import { type DataCodec, decodeWith } from "../validation/mod.ts";
import { dataError } from "../files/mod.ts";

// --- constructors

/**
 * A function that decodes a sample, or rejects with a problem for each place in the sample that the codec rejects. Without a codec every value
 * is accepted.
 *
 * @param path The file.
 */
export function sampleDecoder<A>(
  path: string,
  codec: DataCodec<A> | undefined,
): (value: unknown, where: string) => A | Promise<A> {
  if (codec === undefined) return (value) => value as A;
  const decode = decodeWith(codec);
  return async (value, where) => {
    const decoded = await decode(value);
    if (E.isRight(decoded)) return decoded.right;
    const remedy = "Repair the file, or change the codec";
    const problems = decoded.left.map(({ path, expected, found }) => {
      return { path: [where, ...path].join("/"), kind: "format" as const, expected, found, remedy };
    });
    throw dataError(path, ...problems);
  };
}
