/**
 * Digests of a part: its length, its CRC-32 and, where the store asks for it, its SHA-256.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { demand, oneOf } from "../validation/mod.ts";
import { zlib } from "../zlib.ts";

// --- types

/** The length and the digests of a part's bytes. */
export interface PartDigest {
  /** How many bytes the part has. */
  readonly bytes: number;
  /** CRC-32 as in zlib and PNG: eight lower-case hexadecimal digits. */
  readonly crc32: string;
  /** SHA-256 in hexadecimal, if the store computes it. */
  readonly sha256?: string;
}

/** Digests bytes in several pieces. */
export interface Digester {
  /** Adds bytes to the digest. */
  readonly update: (bytes: Uint8Array) => void;
  /** The digest of all bytes so far. */
  readonly result: () => PartDigest;
}

// --- constructors

const algorithms = oneOf("crc32", "sha256");

/**
 * Starts a digest.
 *
 * @param algorithm With `"sha256"`, SHA-256 is computed in addition to CRC-32.
 *
 * @example
 * ```ts
 * import { digester } from "@dogear/dogear/store";
 * import assert from "node:assert/strict";
 *
 * const digesting = digester();
 * digesting.update(new TextEncoder().encode("123456789"));
 * assert.deepEqual(digesting.result(), { bytes: 9, crc32: "cbf43926" });
 * ```
 */
export function digester(algorithm: "crc32" | "sha256" = "crc32"): Digester {
  demand("algorithm", algorithms, algorithm);
  const sha256 = algorithm === "sha256" ? createHash("sha256") : undefined;
  let bytes = 0;
  let crc = 0;
  return {
    update: (chunk) => {
      bytes += chunk.length;
      crc = zlib().crc32(chunk, crc);
      sha256?.update(chunk);
    },
    result: () => ({
      bytes,
      crc32: crc.toString(16).padStart(8, "0"),
      ...(sha256 && { sha256: sha256.copy().digest("hex") }),
    }),
  };
}

/**
 * The SHA-256 of bytes, in hexadecimal.
 *
 * @param bytes Such as a manifest.
 */
export function sha256Of(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
