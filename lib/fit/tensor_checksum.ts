/**
 * Checksums of tensors, by which a resumed training recognises its data.
 *
 * @module
 */
import type * as tf from "@tensorflow/tfjs";
import { hold } from "../tfjs/mod.ts";
import { zlib } from "../zlib.ts";

// --- constructors

/** The CRC-32 of the bytes of tensors, continued from an earlier one. */
export async function checksum(tensors: readonly tf.Tensor[], before: number): Promise<number> {
  let crc = before;
  for (const tensor of tensors) {
    const held = hold(tensor);
    try {
      crc = zlib().crc32(held.home.peek(held) ?? await held.home.read(held), crc);
    } finally {
      held.home.release(held);
    }
  }
  return crc;
}

/** A CRC-32 as 8 hexadecimal digits. */
export function crcText(crc: number): string {
  return crc.toString(16).padStart(8, "0");
}

/** A text for each tensor that differs if its dtype, shape or bytes differ. */
export async function fingerprints(tensors: readonly tf.Tensor[]): Promise<readonly string[]> {
  const texts: string[] = [];
  for (const tensor of tensors) {
    texts.push(`${tensor.dtype}[${tensor.shape}] with CRC ${crcText(await checksum([tensor], 0))}`);
  }
  return texts;
}
