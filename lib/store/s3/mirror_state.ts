/**
 * The two stores of a mirror, and what this process knows of them between saves, loads and uploads.
 *
 * @module
 */
import type { Overtaken, StoreFailed } from "../../errors/mod.ts";
import { type LocationState, perLocation, type Store } from "../mod.ts";
import type { MirrorLine } from "./mirror_line.ts";

// --- types

/** Why an upload failed. */
export type UploadError = StoreFailed | Overtaken;

/** The options of {@link mirrored}. */
export interface MirrorOptions {
  /**
   * Receives the error of each upload that fails; the next save tries again. `Overtaken` still fails the next save.
   * @default the next save fails with it, once, or else `drain`
   */
  readonly onFailed?: (error: StoreFailed | Overtaken) => void;
}

/** What this process knows of a mirror. */
export interface MirrorState {
  /** What saves and uploads know, undefined before the first of them. */
  line: MirrorLine | undefined;
  /** Whether a save of this process has found no rival in the remote. From then on uploads find them. */
  isChecked: boolean;
  /** Whether the remote is to be asked again before the next upload. */
  isStale: boolean;
  /** What the last reading of the numbers has found. */
  view: MirrorLine | undefined;
  uploading: Promise<void> | undefined;
  /** The SHA-256 of the manifests whose upload was begun, by number. The last is that of the current or the last upload. */
  readonly sent: Map<number, string>;
  /** The error of the last upload, if it has not been returned to a caller yet. */
  failed: StoreFailed | undefined;
  /** Set until the next save. */
  overtaken: Overtaken | undefined;
}

/** The two stores. */
export interface Mirror {
  readonly local: Store;
  readonly remote: Store;
  readonly onFailed: MirrorOptions["onFailed"];
  readonly state: () => MirrorState;
}

// --- constructors

const statesAt = perLocation(() => new Map<LocationState | string, MirrorState>());

/** All mirrors of two locations share one state. */
export function stateOf(local: Store, remote: Store): MirrorState {
  const states = statesAt(local);
  const key = remote.place?.() ?? remote.location;
  const state = states.get(key) ??
    {
      line: undefined,
      isChecked: false,
      isStale: false,
      view: undefined,
      uploading: undefined,
      sent: new Map(),
      failed: undefined,
      overtaken: undefined,
    };
  states.set(key, state);
  return state;
}
