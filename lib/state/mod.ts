/**
 * State: the capture of components as a tree of nodes, and their restore from one, as pure tree work that knows no TensorFlow.js.
 *
 * Read `array` and `tree` for the data, `kind` for the handler of one sort of object, and `capture`; then `restore`, which plans with
 * `restore_context` and `restore_nodes`; then `state_id` and `diff`. `extract` takes one component out of a
 * tree. `part_names`, `properties` and `overlapping_views` help to capture,
 * `live_value` and `overridden` to restore.
 *
 * Promises: *no trace*, *canonical* and *all or nothing*: a restore first plans and lists every problem, and commits only if there is none.
 *
 * @module
 */
export * from "./array.ts";
export {
  type ArrayNode,
  arraysOf,
  aside,
  type Branch,
  children,
  dereference,
  entry,
  fold,
  isBranch,
  isCase,
  isWithin,
  join,
  kindOf,
  maxDepth,
  type Named,
  type Node,
  nodesByPath,
  outerPaths,
  record,
  type Scalar,
  segment,
  type StateTree,
  unwrap,
} from "./tree.ts";
export {
  type AnyKind,
  type Codec,
  type Codecs,
  describeNode,
  type Kind,
  type OwnCodecs,
  type PartPath,
  type PartsOf,
  scalar,
  type Site,
  type Target,
  valueKind,
  withArticle,
} from "./kind.ts";
export { capture, type Encoded } from "./capture.ts";
export { extract } from "./extract.ts";
export { copyOfData, isSameData, type Overridden, setByScript } from "./overridden.ts";
export { problemsOfRestore, restore } from "./restore.ts";
export { stateId } from "./state_id.ts";
export { type Difference, type Differences, differences } from "./diff.ts";
