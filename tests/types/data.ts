/**
 * What codecs of data and `Loader.collate` infer, checked by both compilers and never run.
 *
 * @module
 */
import { Loader, pipe } from "@dogear/dogear";
import { fromCsv, fromJsonLines, fromParquet, type StandardSchema } from "@dogear/dogear/data";
import * as tf from "@tensorflow/tfjs";
import { type } from "arktype";
import * as t from "io-ts";
import * as v from "valibot";
import { z } from "zod";

type Equal<A, B> = (<X>() => X extends A ? 1 : 2) extends (<X>() => X extends B ? 1 : 2) ? true : false;

/** The type of a loader's items. */
type Item<L> = L extends Loader.Loader<infer A> ? A : never;
/** The items of the loader that a task gives. */
type Read<T> = T extends () => Promise<infer E> ? E extends { readonly right: infer L } ? Item<L> : never : never;

/** Compiles if the type of a task's items is exactly the type. */
function reads<B>(): <T>(task: T, ...same: Equal<Read<T>, B> extends true ? [] : ["the types differ"]) => void {
  return () => {};
}

/** Compiles if the type of a loader's items is exactly the type. */
function gives<B>(): <L>(loader: L, ...same: Equal<Item<L>, B> extends true ? [] : ["the types differ"]) => void {
  return () => {};
}

interface Review {
  text: string;
  stars: number;
}

declare const ownSchema: StandardSchema<Review>;

/** Every sort of codec gives the samples its output type. */
export function codecs(): void {
  const untyped = fromJsonLines("a.jsonl");
  reads<unknown>()(untyped);
  const given = fromJsonLines<Review>("a.jsonl");
  reads<Review>()(given);
  const ioTs = fromJsonLines("a.jsonl", { codec: t.type({ text: t.string, stars: t.number }) });
  reads<Review>()(ioTs);
  const fromZod = fromJsonLines("a.jsonl", { codec: z.object({ text: z.string(), stars: z.number() }) });
  reads<Review>()(fromZod);
  const fromValibot = fromJsonLines("a.jsonl", { codec: v.object({ text: v.string(), stars: v.number() }) });
  reads<Review>()(fromValibot);
  const fromArktype = fromJsonLines("a.jsonl", { codec: type({ text: "string", stars: "number" }) });
  reads<Review>()(fromArktype);
  const own = fromJsonLines("a.jsonl", { codec: ownSchema, largeIntegers: "bigint" });
  reads<Review>()(own);
  const transformed = fromJsonLines("a.jsonl", { codec: z.string().transform((text) => text.length) });
  reads<number>()(transformed);
  const table = fromCsv("a.csv");
  reads<Readonly<Record<string, string>>>()(table);
  const decodedTable = fromCsv("a.csv", { codec: z.object({ id: z.coerce.number() }), separator: ";" });
  reads<{ id: number }>()(decodedTable);
  const rows = fromParquet("a.parquet");
  reads<Readonly<Record<string, unknown>>>()(rows);
  const typedRows = fromParquet<Review>("a.parquet", { columns: ["text", "stars"] });
  reads<Review>()(typedRows);
  const decodedRows = fromParquet("a.parquet", { codec: t.type({ text: t.string }), groups: 2 });
  reads<{ text: string }>()(decodedRows);
  // @ts-expect-error: a class is no codec.
  fromJsonLines("a.jsonl", { codec: class Codec {} });
  // @ts-expect-error: a record of codecs is no codec.
  fromJsonLines("a.jsonl", { codec: { text: t.string } });
  // @ts-expect-error: a function is no codec.
  fromCsv("a.csv", { codec: (value: unknown) => value });
}

declare function samples<A>(): Loader.Loader<readonly A[]>;

/** Tensors of the rank that stacking samples makes. */
export function collated(): void {
  gives<tf.Tensor1D>()(pipe(samples<number>(), Loader.collate()));
  gives<tf.Tensor1D>()(pipe(samples<boolean>(), Loader.collate()));
  gives<tf.Tensor1D>()(pipe(samples<"cat" | "dog">(), Loader.collate()));
  gives<tf.Tensor2D>()(pipe(samples<readonly number[]>(), Loader.collate()));
  gives<tf.Tensor2D>()(pipe(samples<[number, number]>(), Loader.collate()));
  gives<tf.Tensor2D>()(pipe(samples<Float32Array>(), Loader.collate()));
  gives<tf.Tensor2D>()(pipe(samples<Float32Array | Int32Array | Uint8Array>(), Loader.collate()));
  gives<tf.Tensor1D>()(pipe(samples<tf.Scalar>(), Loader.collate()));
  gives<tf.Tensor4D>()(pipe(samples<tf.Tensor3D>(), Loader.collate()));
  gives<tf.Tensor>()(pipe(samples<tf.Tensor<tf.Rank.R6>>(), Loader.collate()));
  gives<tf.Tensor>()(pipe(samples<tf.Tensor>(), Loader.collate()));
  gives<never>()(pipe(samples<bigint>(), Loader.collate()));
  gives<tf.TensorContainer>()(pipe(samples<unknown>(), Loader.collate()));
  // Rows inside an array are parts of the sample, each a tensor.
  gives<tf.Tensor2D[]>()(pipe(samples<number[][]>(), Loader.collate()));
  gives<[tf.Tensor2D, tf.Tensor1D]>()(pipe(samples<readonly [Float32Array, number]>(), Loader.collate()));
  gives<{ x: tf.Tensor2D; y: tf.Tensor1D; at: { row: tf.Tensor2D } }>()(
    pipe(
      samples<{ readonly x: readonly number[]; readonly y: number; readonly at: { readonly row: Int8Array } }>(),
      Loader.collate(),
    ),
  );
  const data = Loader.zip({ x: Loader.fromRows(Float32Array.of(1, 2), 2), y: Loader.fromArray([0]) });
  gives<{ x: tf.Tensor2D; y: tf.Tensor1D }>()(pipe(data, Loader.batch(2), Loader.collate()));
  gives<tf.Tensor3D>()(
    pipe(samples<number>(), Loader.collate((xs) => tf.tensor3d([...xs], [1, 1, xs.length]))),
  );
}
