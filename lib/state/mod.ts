/**
 * State: the capture of components as a tree of nodes, and their restore from one, as pure tree work that knows no TensorFlow.js.
 *
 * Read `array` and `tree` for the data, `kind` for the handler of one sort of object, then `capture` and `restore`, then `state_id` and `diff`.
 *
 * Promises: *no trace*, *canonical* and *all or nothing*: a restore first plans and lists every problem, and commits only if there is none.
 *
 * @module
 */
export {
  converted,
  type DType,
  type Element,
  elementBytes,
  elementValues,
  fits,
  type Held,
  heldBytes,
  type Home,
  isDType,
  isElement,
  isTypedArray,
  packStrings,
  sizeOf,
  type TypedArray,
  typedView,
  unpackStrings,
} from "./array.ts";
export {
  type ArrayNode,
  arraysOf,
  aside,
  type Branch,
  children,
  entry,
  fold,
  isBranch,
  join,
  kindOf,
  maxDepth,
  type Named,
  type Node,
  nodesByPath,
  record,
  segment,
  type StateTree,
  unwrap,
} from "./tree.ts";
export {
  type AnyKind,
  type Codecs,
  type Kind,
  type PartPath,
  type PartsOf,
  scalar,
  type Site,
  type Target,
  valueKind,
} from "./kind.ts";
export { capture, type Encoded } from "./capture.ts";
export { type Overridden, setByScript } from "./overridden.ts";
export { problemsOfRestore, restore } from "./restore.ts";
export { stateId } from "./state_id.ts";
export { type Difference, type Differences, differences } from "./diff.ts";
