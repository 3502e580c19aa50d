/**
 * The version of this package.
 *
 * @module
 */
// --- constructors

/** This release. */
export const version = "0.2.0";
