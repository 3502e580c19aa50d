/**
 * The trainable flags of layers and models; the flags of weights belong to the variables.
 *
 * @module
 */
import { entry, type Named, type Node, record, type Target } from "../../state/mod.ts";

// --- constructors

const trainableFlags = ["trainable_", "_trainable"] as const;

// --- capture and restore

/** The flags of a layer or model. */
export function encodeFlags(layer: object): Node {
  const flags = trainableFlags.map((flag): Named => [flag, (layer as Record<string, boolean>)[flag] ?? null]);
  return record(flags.filter(([, value]) => typeof value === "boolean"));
}

/**
 * Restores the flags without their setters, which would also change the flags of the weights.
 *
 * @param state What {@link encodeFlags} returned.
 * @param layer The layer or model, once it exists.
 * @param at The path of the flags.
 */
export function restoreFlags(
  state: Node | undefined,
  target: Target,
  layer: () => object | undefined,
  at = "flags",
): void {
  for (const flag of trainableFlags) {
    const value = entry(state, flag);
    if (typeof value !== "boolean") continue;
    const live = (layer() as Record<string, unknown> | undefined)?.[flag];
    if (live !== undefined) target.overrides(`${at}/${flag}`, live, value);
    target.commit(() => void Object.assign(layer() ?? {}, { [flag]: value }));
  }
}
