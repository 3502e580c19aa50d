/**
 * Schedules: learning rates as plain frozen data. They are apart from the other values because they need no tfjs, which the command line must not load.
 *
 * Read `kinds`, then `schedule`; `rates` has the formulas.
 *
 * Promises: no function changes its argument; rates are the same bits in every runtime.
 *
 * @module
 */
export { settingsOf } from "./kinds.ts";
export * as Schedule from "./schedule.ts";
