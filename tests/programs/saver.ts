/**
 * A process that saves one checkpoint after the other into a folder, for a test to kill.
 *
 * `saver.ts <folder> <how many> <how many to keep> <bytes>`. It prints each number once it is committed. A checkpoint's
 * manifest tells the length and CRC-32 of each part; the bytes are other ones every time.
 *
 * @module
 */

import { randomBytes } from "node:crypto";
import process from "node:process";
import type { Either } from "fp-ts/lib/Either.js";
import { directory } from "../../lib/store/directory/directory.ts";

const [folder = "", count = "0", keep = "0", size = "0"] = process.argv.slice(2);

function right<A>(result: Either<unknown, A>): A {
  if (result._tag === "Left") throw new Error(JSON.stringify(result.left));
  return result.right;
}

function* chunks(bytes: number): Generator<Uint8Array> {
  for (let left = bytes; left > 0; left -= 65536) yield randomBytes(Math.min(left, 65536));
}

const store = directory(folder);
const mine: number[] = [];
for (let i = 0; i < Number(count); i++) {
  const saving = right(await store.begin());
  const model = right(await saving.put("model.safetensors", chunks(Number(size)))());
  const rng = right(await saving.put("state/rng.safetensors", chunks(100))());
  const manifest = { "model.safetensors": model, "state/rng.safetensors": rng };
  const checkpoint = right(await saving.commit(new TextEncoder().encode(JSON.stringify(manifest)))());
  process.stdout.write(`${checkpoint}\n`);
  mine.push(checkpoint);
  if (mine.length > Number(keep)) right(await store.remove(mine.shift() ?? 0)());
}
