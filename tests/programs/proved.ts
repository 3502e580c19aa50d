/** A training that resumes, as a module of its own. */
export { fresh, loader, step } from "./bad/common.ts";
