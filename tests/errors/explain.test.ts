/**
 * The sentences of errors, whole, as a reader sees them: what is in the checkpoint, what the script has, and one remedy. Each error is made by real
 * calls (`tests/support/situations.ts`), which also check that a load with the advised options succeeds.
 *
 * @module
 */
import * as tf from "@tensorflow/tfjs";
import assert from "node:assert/strict";
import { after, test } from "node:test";
import { explainTo, toError } from "../../lib/errors/mod.ts";
import { explain, type LoadOptions, loadState, memory, saveState } from "../../mod.ts";
import { cleanUp, left, plainly, situations } from "../support/situations.ts";

after(cleanUp);

/** The lines of each sentence. */
const sentences: Readonly<Record<string, readonly string[]>> = {
  "other data": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  cursor: 10 samples in the checkpoint, 12 in your script",
    'Give the loader the same data as before, or begin with the new data: loadState(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "another shuffle seed": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  cursor: shuffle seed 7 in the checkpoint, shuffle seed 8 in your script",
    'Shuffle as before, or begin with the new order: loadState(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "other data in train": [
    "The data differs from the data that this run was trained on.",
    "  10 samples in the cursor, 12 in your data",
    "Give the loader the data that the cursor was made on, or begin again with Loader.start",
  ],
  "data of another content": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  cursor: the content of the data differs",
    'Give the loader the same data as before, or begin with the new data: loadState(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "filtered data of another length": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  cursor: a source of 2 samples in the checkpoint, of 3 in your script",
    'Give the loader the same data as before, or begin with the new data: loadState(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a shuffle that was not saved": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  cursor: no shuffle in the checkpoint, shuffle seed "a" in your script',
    'Shuffle as before, or begin with the new order: resume(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "data of another sort": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  cursor: data of the kind array in the checkpoint, of the kind indexed in your script",
    'Give the loader the same data as before, or begin with the new data: loadState(store, { keep: ["cursor"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a data file that does not exist": [
    "There is no file /runs/none.txt",
  ],
  "a data file that is a folder": [
    "The data in /runs cannot be read.",
    "  expected a file that can be read, found EISDIR: illegal operation on a directory, read",
    "Give the path of a file",
  ],
  "a record that cannot be read": [
    'Cannot read /runs/bad.csv (in epoch 0 after 1 sample), record 3: expected 2 fields, found 1 in "3"',
    "Repair the file or restore the former one, then run again",
  ],
  "a gzip file to index": [
    "Cannot read /runs/lines.csv.gz, byte 0: expected text, which can be indexed, found gzip",
    "Decompress it, unless it is of lines: these need no index, for fromLines and fromJsonLines read them as a stream",
  ],
  "a tracker that throws": [
    "A tracker failed after 1 batch: AssertionError: offline. Fix the tracker or leave it out, and run again: the training resumes from its last checkpoint",
  ],
  "a log that is a folder": [
    "A tracker failed after 0 batches: Cannot log to /runs (EISDIR): it is a folder. Earlier checkpoints are intact. Give the path of a file in a folder, such as runs/digits/log.jsonl. When it is run again, the training resumes from its last checkpoint",
  ],
  "a log that is another file": [
    "A tracker failed after 0 batches: Cannot log to /runs/table.csv (ENOTLOG): it is no log of dogear, and was left as it is. Earlier checkpoints are intact. Give the path of a new file, or move that one away. When it is run again, the training resumes from its last checkpoint",
  ],
  "a renamed layer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/0: name stem in the checkpoint, body in your script",
    'Change the name back, or load under the new one (if it is another layer, keep it and skip the saved one): loadState(store, { rename: { "model/stem": "model/body" } })',
    "This option is needed once: take it out after the next save",
  ],
  "an added layer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/1: in your script but not in the checkpoint (the layer middle)",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/middle"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a removed layer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/1: in the checkpoint but not in your script (the layer middle)",
    'Change your script back, or leave out what is saved: loadState(store, { skip: ["model/middle"] })',
    "Not restored with that: model/middle",
    "This option is needed once: take it out after the next save",
  ],
  "a layer added beside one without a name": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/2: in your script but not in the checkpoint (the layer middle)",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/middle"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a layer without a name removed": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/1: in the checkpoint but not in your script (a Dropout without a name)",
    'Change your script back, or leave out what is saved: loadState(store, { skip: ["model/layers/1"] })',
    "This option is needed once: take it out after the next save",
  ],
  "a layer removed from a functional model": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/2: in the checkpoint but not in your script (the layer middle)",
    'Change your script back, or leave out what is saved: loadState(store, { skip: ["model/middle"] })',
    "Not restored with that: model/middle",
    "This option is needed once: take it out after the next save",
  ],
  "more layers and others, without names": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers: 2 layers in the checkpoint, 3 layers in your script",
    "  model/layers/0/config/units: 8 in the checkpoint, 16 in your script",
    "  model/layers/0/weights/kernel: shape [4,8] in the checkpoint, [4,16] in your script",
    "  model/layers/0/weights/bias: shape [8] in the checkpoint, [16] in your script",
    "  model/layers/1/config/units: 1 in the checkpoint, 16 in your script",
    "  model/layers/1/weights/kernel: shape [8,1] in the checkpoint, [16,16] in your script",
    "  model/layers/1/weights/bias: shape [1] in the checkpoint, [16] in your script",
    'Change your script back, or name the layers that differ: in keep those of your script alone, in skip those of the checkpoint alone (keep: ["model"] starts that model anew)',
  ],
  "other units": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/0/config/units: 4 in the checkpoint, 8 in your script",
    "  model/layers/0/weights/kernel: shape [2,4] in the checkpoint, [2,8] in your script",
    "  model/layers/0/weights/bias: shape [4] in the checkpoint, [8] in your script",
    "  model/layers/1/weights/kernel: shape [4,1] in the checkpoint, [8,1] in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/layers/0", "model/layers/1"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a layer named in the script alone": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  model/layers/0: the layer has no name of its own in the checkpoint; it is "hidden" in your script',
    'Change the name back, or load under the new one (if it is another layer, keep it and skip the saved one): loadState(store, { rename: { "model/layers/0": "model/hidden" } })',
    "This option is needed once: take it out after the next save",
  ],
  "a layer named in the checkpoint alone": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  model/layers/0: the layer is "hidden" in the checkpoint; it has no name of its own in your script',
    'Change the name back, or load under the new one (if it is another layer, keep it and skip the saved one): loadState(store, { rename: { "model/hidden": "model/layers/0" } })',
    "This option is needed once: take it out after the next save",
  ],
  "another activation": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  model/layers/0/config/activation: "relu" in the checkpoint, "tanh" in your script',
    '  model/layers/1/config/activation: "relu" in the checkpoint, "tanh" in your script',
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/layers/0/config/activation", "model/layers/1/config/activation"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a layer without its bias": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/0/config/useBias: true in the checkpoint, false in your script",
    "  model/layers/0/weights/bias: in the checkpoint but not in your script (a weight)",
    "  model/layers/1/config/useBias: true in the checkpoint, false in your script",
    "  model/layers/1/weights/bias: in the checkpoint but not in your script (a weight)",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/layers/0", "model/layers/1"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "layers in another order": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/0: name a in the checkpoint, b in your script",
    "  model/layers/1: name b in the checkpoint, a in your script",
    "Put these layers in the saved order",
  ],
  "a tensor of another shape": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  w: shape [2,3] in the checkpoint, [2,4] in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["w"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a tensor of another dtype": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  w: dtype float32 in the checkpoint, int32 in your script",
    'Change the dtype back, or convert what is saved, if that changes no value: loadState(store, { convert: ["w"] })',
    "This option is needed once: take it out after the next save",
  ],
  "a removed component": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  ema: in the checkpoint but not in your script (an array)",
    'Change your script back, or leave out what is saved: loadState(store, { skip: ["ema"] })',
    "This option is needed once: take it out after the next save",
  ],
  "an added component": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  best: in your script but not in the checkpoint (Infinity)",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["best"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a misspelt component": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  bset: in your script but not in the checkpoint (Infinity)",
    "  best: in the checkpoint but not in your script (0.5)",
    'Correct the spelling, or load under the name in your script: loadState(store, { rename: { "best": "bset" } })',
    "This option is needed once: take it out after the next save",
  ],
  "a renamed component": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model: in your script but not in the checkpoint (a LayersModel)",
    "  net: in the checkpoint but not in your script (a LayersModel)",
    'Change the name back, or load under the new one (if these are two different parts, keep the one and skip the other): loadState(store, { rename: { "net": "model" } })',
    "This option is needed once: take it out after the next save",
  ],
  "a renamed record": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  info: in your script but not in the checkpoint (an object)",
    "  notes: in the checkpoint but not in your script (a record)",
    'Change the name back, or load under the new one (if these are two different parts, keep the one and skip the other): loadState(store, { rename: { "notes": "info" } })',
    "This option is needed once: take it out after the next save",
  ],
  "another optimizer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  optimizer: Adam in the checkpoint, SGD in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["optimizer"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "another option of the optimizer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  optimizer/centered: false in the checkpoint, true in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["optimizer"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "an optimizer of other variables": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/1: in your script but not in the checkpoint (a Layer)",
    "Change your script back, or keep what your script has",
    "  optimizer: expected its variables restored in the saved order, found some kept, left out or moved",
    'It holds values for each variable by position. Add "optimizer" to keep, so that it begins with new ones',
    'All these options at once: loadState(store, { keep: ["model/head", "model/layers/1", "optimizer"] })',
    "Not restored with that: model/head, optimizer",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "an optimizer of a kept layer": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  optimizer: expected its variables restored in the saved order, found some kept, left out or moved",
    'It holds values for each variable by position. Add "optimizer" to keep, so that it begins with new ones: loadState(store, { keep: ["model/head", "optimizer"] })',
    "Not restored with that: model/head, optimizer",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a resized layer of a trained model": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/layers/1/config/units: 2 in the checkpoint, 3 in your script",
    "  model/layers/1/weights/kernel: shape [4,2] in the checkpoint, [4,3] in your script",
    "  model/layers/1/weights/bias: shape [2] in the checkpoint, [3] in your script",
    "Change your script back, or keep what your script has",
    "With that:",
    "  model/compile/optimizer: expected its variables restored in the saved order, found some kept, left out or moved",
    'It holds values for each variable by position. Add "model/compile/optimizer" to keep, so that it begins with new ones',
    "  optimizer: expected this and model/compile/optimizer, which are one object, both restored or both kept, found model/compile/optimizer kept, this restored",
    "Restore both, or keep both",
    'All these options at once: loadState(store, { keep: ["model/layers/1", "model/compile/optimizer", "optimizer"] })',
    "Not restored with that: model/head, model/compile/optimizer",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "another schedule": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  schedule: a Schedule in the checkpoint, an Rng in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["schedule"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a number for a string": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  phase: a string in the checkpoint, 1 in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["phase"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a model for null": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  best: null in the checkpoint, a LayersModel in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["best"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "a model that is not compiled": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/compile: compiled in the checkpoint, not compiled in your script",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/compile"] })',
    "Not restored with that: model/compile/optimizer",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "another loss": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  model/compile/loss: "meanSquaredError" in the checkpoint, "meanAbsoluteError" in your script',
    'Change your script back, or keep what your script has: loadState(store, { keep: ["model/compile/loss"] })',
    "keep uses the values of your script for these parts, not the saved ones. This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ],
  "shared in the checkpoint": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  b: the same object as a in the checkpoint, a separate object in your script",
    "Use one object in your script for a and b",
  ],
  "shared in the script": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  b: a separate object in the checkpoint, the same object as a in your script",
    "Use separate objects in your script for a and b",
  ],
  "variables made while training": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  ema/kernel: in the checkpoint but not in your script (a Variable)",
    'Create ema/kernel before you load, or leave out what is saved: loadState(store, { skip: ["ema/kernel"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save",
  ],
  "a codec left out": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  vocab: expected the codec named "Vocabulary", found none',
    'Pass the codec that it was saved with: { types: [codecOf("Vocabulary", …)] }',
  ],
  "another codec for a component": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  vocab: expected what the codec named "Words" encodes, found what the codec named "Vocabulary" encodes',
    "Pass the codec that it was saved with, or none if it was saved without one. Use the new codec from the next save on",
  ],
  "a codec that throws": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  vocab: expected a value of the codec named "Vocabulary", found what the codec threw: no words',
    'Correct the codec named "Vocabulary": its decode (with codecOf, fromPlain) must accept what was saved',
  ],
  "a codec that makes another class": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  vocab: expected a value of the codec named "Vocabulary", found what fromPlain returned: an instance of Date',
    'Correct the codec named "Vocabulary": its decode (with codecOf, fromPlain) must accept what was saved',
  ],
  "a codec that cannot encode what it decoded": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    '  vocab: expected a value that the codec named "Vocabulary" encodes, found what the codec threw: no tensor',
    'Correct the codec named "Vocabulary": its encode (with codecOf, toPlain) must accept what it decoded',
  ],
  "a codec whose is throws": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  expected components that can be restored, found no idea",
    "Look at what threw this: it is the cause of the error, with its stack",
  ],
  "a custom loss": [
    "The snapshot cannot be restored. Nothing was changed.",
    "  model/compile/loss: expected the name of a loss or metric, found the function loss",
    "A checkpoint holds no code. Load it into a model that is compiled with this function, or load the model alone: loadModel(store, { compile: false })",
  ],
  "a class that is not registered": [
    "The snapshot cannot be restored. Nothing was changed.",
    "  model/layers/0: expected a registered class, found Scale, which is not registered",
    "Call tf.serialization.registerClass(Scale) first, or load into a model that has it",
  ],
  "a snapshot in memory": [
    "The snapshot cannot be restored. Nothing was changed.",
    "  step: a string in the snapshot, 0 in your script",
    "  w: shape [2] in the snapshot, [] in your script",
    'Change your script back, or keep what your script has: restoreInto(live, { keep: ["step", "w"] })',
  ],
  "several differences": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  best: in your script but not in the checkpoint (0)",
    "  model/layers/0/config/units: 4 in the checkpoint, 8 in your script",
    "  model/layers/0/weights/kernel: shape [2,4] in the checkpoint, [2,8] in your script",
    "  model/layers/0/weights/bias: shape [4] in the checkpoint, [8] in your script",
    "  model/layers/1/weights/kernel: shape [4,1] in the checkpoint, [8,1] in your script",
    "  optimizer: Adam in the checkpoint, SGD in your script",
    "Change your script back, or keep what your script has",
    "  history: in the checkpoint but not in your script (an array)",
    "Change your script back, or leave out what is saved",
    "  cursor: 10 samples in the checkpoint, 12 in your script",
    "Give the loader the same data as before, or begin with the new data",
    'All these options at once: loadState(store, { keep: ["best", "model/layers/0", "model/layers/1", "optimizer", "cursor"], skip: ["history"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "These options are needed once: take them out after the next save, or every restart resets the kept parts",
  ],
  "a part that does not exist": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  ema: expected a saved part of this name for the option skip, found only step",
    "If skip has done its work in an earlier start, take this name out. Otherwise correct it",
  ],
  "a tensor that is converted already": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  w: expected a tensor of another dtype to convert, found none",
    "If convert has done its work in an earlier start, take this name out. Otherwise correct it",
  ],
  "a layer that does not exist": [
    "Checkpoint 0 does not fit your script. Nothing was changed.",
    "  model/stemm: expected a saved part of this name for the option rename, found only model/stem, model/head",
    "If rename has done its work in an earlier start, take this name out. Otherwise correct it",
    "  model/layers/0: name stem in the checkpoint, body in your script",
    'Change the name back, or load under the new one (if it is another layer, keep it and skip the saved one): loadState(store, { rename: { "model/stem": "model/body" } })',
    "This option is needed once: take it out after the next save",
  ],
  "a newer format": [
    "Checkpoint 1 has format dogear/99, but this version reads up to dogear/1. Update @dogear/dogear, or use a checkpoint of an older format: { checkpoint: n }. In resume, take that out after the next save, or every restart begins there again",
  ],
  "a damaged checkpoint, an older one": [
    "Checkpoint 1 is damaged. Nothing was changed.",
    "  state/w.safetensors: expected 124 bytes, found 3",
    "Checkpoint 0 verifies. Use it: { fallback: true }",
  ],
  "a damaged checkpoint, no older one": [
    "Checkpoint 1 is damaged. Nothing was changed.",
    "  snapshot.json: expected a manifest of format dogear/1, found 2 characters of something else",
    "No older checkpoint in this store verifies: restore the files from a backup",
  ],
  "damage found by readTensor": [
    "Checkpoint 1 is damaged.",
    "  state/w.safetensors: expected 124 bytes, found 3",
    "Restore its files from a backup, or use another checkpoint: { checkpoint: n }",
  ],
  "a metric that is NaN": [
    'The metric "loss" is NaN in every checkpoint in the newest run of memory that has it. Other metrics: "accuracy"',
  ],
  "an empty store": [
    "memory holds no checkpoint. Save one first, or use resume, which begins with what you pass if the store is empty",
  ],
  "a checkpoint that does not exist": [
    "runs/digits has no checkpoint 7. It has checkpoints 0, 1",
  ],
  "a checkpoint that does not exist among many": [
    "memory has no checkpoint 99. It has checkpoints 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22 and 3 older ones",
  ],
  "a checkpoint asked of an empty store": [
    "memory holds no checkpoint",
  ],
  "overtaken by another process": [
    "Another process has saved checkpoint 1 of this run (step 2, RUNTIME at TIME). Nothing was written. Stop one of the two processes, or give this one a separate store: another folder or prefix",
  ],
  "a step that went back": [
    "The step to save is 1, but checkpoint 0 of this run has step 5. Nothing was written. Train with the result of loadState or resume: only models, optimizers and variables are restored in place. To begin again on purpose, save with { fork: true }, which begins a new run",
  ],
  "a checkpoint's folder as a run": [
    "Cannot find a run in /runs/run/checkpoints/checkpoint_1 (ENOTRUN): it is checkpoint 1 of the run /runs/run. Open that folder, with { checkpoint: 1 } to load this checkpoint. Nothing was created there",
  ],
  "the folder of the checkpoints as a run": [
    "Cannot find a run in /runs/run/checkpoints (ENOTRUN): it is the folder of the checkpoints of the run /runs/run. Open that folder. Nothing was created there",
  ],
  "a released snapshot": [
    "The snapshot was released, by release or at the end of the block of its `using`. Release it after its last use, or capture again",
  ],
  "a full disk": [
    "Cannot write /runs/run/checkpoints/.saving/state/w.safetensors (ENOSPC): a fault. Earlier checkpoints are intact. Free some space on that disk and save again",
  ],
  "a mount of an object store": [
    'Cannot save in /runs/run/checkpoints (EOBJECTSTORE): it is on a mount by gcsfuse, which renames a folder file by file, so that a crash leaves half of a checkpoint. Earlier checkpoints are intact. Save to the bucket itself, with s3("s3://bucket/prefix") from "@dogear/dogear/s3", or to a local disk',
  ],
  "a mount without renames": [
    'Cannot rename /runs/run/checkpoints/.number-0 (ENOSYS): a fault. Earlier checkpoints are intact. That file system cannot rename folders, like most mounts of object stores. Save to the bucket itself, with s3("s3://bucket/prefix") from "@dogear/dogear/s3", or to a local disk',
  ],
  "fewer epochs of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  epochs: 3 begun in the checkpoint, 2 in this call",
    'Ask for at least 3 epochs, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "another batch size of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  batchSize: 4 in the checkpoint, 2 in this call",
    'Call it with the same batchSize as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "other data of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  data: x float32[8,2] with CRC f700a42a in the checkpoint, x float32[8,2] with CRC 758d6336 in this call",
    'Call it with the same data as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "another callback of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  callbacks: EarlyStopping in the checkpoint, none in this call",
    'Call it with the same callbacks as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "another model of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  model/layers/0/config/units: 4 in the checkpoint, 8 in this call",
    "  model/layers/0/weights/kernel: shape [2,4] in the checkpoint, [2,8] in this call",
    "  model/layers/0/weights/bias: shape [4] in the checkpoint, [8] in this call",
    "  model/layers/1/weights/kernel: shape [4,1] in the checkpoint, [8,1] in this call",
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "another optimizer of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  model/compile/optimizer: SGD in the checkpoint, Adam in this call",
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "another loss of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    '  model/compile/loss: "meanSquaredError" in the checkpoint, "meanAbsoluteError" in this call',
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "an object of fit that was not saved": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  ema: in this call but not in the checkpoint (a Variable)",
    'Leave ema out as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "two calls of fit at once": [
    'This call did not begin a training by the name "fit" in memory. Nothing was changed.',
    '  name: expected one name for each training, found a second call while "fit" is running',
    "Await the first call before the second",
  ],
  "another restoreBest of fit": [
    'runs/fit holds a training by the name "fit" (checkpoint 3), which this call does not continue. Nothing was changed.',
    "  restoreBest: none in the checkpoint, loss (min) in this call",
    'Call it with the same restoreBest as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "an unseeded shuffle of fitDataset": [
    'This call did not begin a training by the name "fit" in memory. Nothing was changed.',
    "  data: expected data that can be replayed when the training is resumed, found a shuffle without a seed",
    'Give every shuffle of the dataset a seed other than 0, such as shuffle(1000, "seed"), or pass { inexact: true }, with which a resumed training continues on other data',
  ],
  "fitDataset for fit": [
    'memory holds a training by the name "fit" (checkpoint 1), which this call does not continue. Nothing was changed.',
    "  by: fit in the checkpoint, fitDataset in this call",
    'Call fit as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }',
  ],
  "a second call of fit": [
    'memory holds a training by the name "fit" (checkpoint 1), which this call does not continue. Nothing was changed.',
    '  model: expected that of "fit", which is complete in this process (by fit, 1 epoch), found another',
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "a second call of fit with another model": [
    'memory holds a training by the name "fit" (checkpoint 1), which this call does not continue. Nothing was changed.',
    "  model/layers/0: name stem in the checkpoint, a in this call",
    "  model/layers/1: name head in the checkpoint, b in this call",
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "a second call of fit with the model of the first": [
    'memory holds a training by the name "fit" (checkpoint 1), which this call does not continue. Nothing was changed.',
    '  model: expected one that has not been trained, found the model that "fit" has trained in this process (by fit, 1 epoch)',
    'For more epochs, raise `epochs` in the call that trained it, and run the script again. For another training, give this call another name: { to, name: "fine-tuning" }',
  ],
  "a second call of fit with another optimizer": [
    'memory holds a training by the name "fit" (checkpoint 1), which this call does not continue. Nothing was changed.',
    "  model/compile/optimizer: SGD in the checkpoint, Adam in this call",
    'Build the same model as before, or begin anew in another store, or under another name in this one: { to, name: "fine-tuning" }. The trained model is in loadModel(store)',
  ],
  "another loop's checkpoint for fit": [
    "memory holds checkpoint 0 of another training loop, which this call cannot continue. Nothing was changed.",
    'Use another store, or give this call a name: { to, name: "fine-tuning" }',
  ],
};

test("explain: every situation has its sentence", () => {
  assert.deepEqual(Object.keys(situations), Object.keys(sentences));
});

for (const [name, situation] of Object.entries(situations)) {
  test(`explain: ${name}`, async () => {
    const error = await situation();
    assert.deepEqual(plainly(explain(error)).split("\n"), sentences[name]);
  });
}

test("explain: what a codec threw is the cause, as itself", async () => {
  for (const [name, thrown] of [["a codec that throws", "no words"], ["a codec whose is throws", "no idea"]] as const) {
    const error = await situations[name]!();
    assert.ok("cause" in error && error.cause instanceof Error, name);
    assert.equal(error.cause.message, thrown);
    assert.equal((toError(error).cause as { cause: unknown }).cause, error.cause);
  }
});

test("explain: fit advises no option that it does not take", () => {
  const ofFit = Object.entries(sentences).filter(([name]) => /\bfit\b/.test(name));
  assert.ok(ofFit.length > 10);
  for (const [name, lines] of ofFit) {
    assert.doesNotMatch(lines.join("\n"), /\b(only|keep|skip|rename|convert|restoreInto|loadState)\b/, name);
  }
});

test("explain: a permission that Deno does not give is no matter of a disk", () => {
  const failed = {
    _tag: "StoreFailed",
    operation: "load",
    path: "s3://bucket/run",
    code: "NotCapable",
    message: 'Requires sys access to "systemMemoryInfo"',
  } as const;
  for (const reader of ["script", "command line"] as const) {
    assert.match(explainTo(reader, failed), /\. Run Deno with that permission, or with -A$/);
  }
});

test("explain: the command line has the same sentences, and its own names for checkpoints", async () => {
  const texts = async (name: string): Promise<readonly (string | undefined)[]> => {
    const error = await situations[name]!();
    return [explain(error), explainTo("command line", error)].map((text) => text.split("\n").at(-1));
  };
  assert.deepEqual(await texts("a damaged checkpoint, an older one"), [
    "Checkpoint 0 verifies. Use it: { fallback: true }",
    "Checkpoint 0 verifies. Use it: RUN@0",
  ]);
  assert.deepEqual((await texts("an empty store"))[1], "memory holds no checkpoint");
  assert.match((await texts("a newer format"))[1]!, /, or use a checkpoint of an older format: RUN@N$/);
  for (const name of ["a checkpoint that does not exist", "a damaged checkpoint, no older one"]) {
    const [script, commandLine] = await texts(name);
    assert.equal(script, commandLine, name);
  }
});

test("explain: the command line names no function and no option of a script", async () => {
  for (const [name, situation] of Object.entries(situations)) {
    const error = await situation();
    if (!["StoreFailed", "NoCheckpoint", "Damaged", "NewerFormat", "DataFailed"].includes(error._tag)) continue;
    const text = explainTo("command line", error);
    assert.doesNotMatch(text, /\{ |\b[a-z]+[A-Z]\w*\(|s3\(|Earlier|save again/, name);
  }
  const failed = { _tag: "StoreFailed", operation: "list", path: "s3://bucket/runs", message: "refused" } as const;
  for (
    const [code, remedy, said] of [
      [
        "EREGION",
        'Pass the region, such as { region: "eu-west-1" }, or set AWS_REGION',
        "Set AWS_REGION to the region of the bucket",
      ],
      ["EAGAIN", "Try again, or lower { concurrency }", "Try again"],
      [
        "EACCES",
        "Check secretAccessKey or AWS_SECRET_ACCESS_KEY, and that no proxy changes requests",
        "Check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, and that the server is the one that gave them",
      ],
      ["EACCES", "Allow these keys s3:ListBucket", "Allow these keys s3:ListBucket"],
      ["ECLOCK", "Set the clock, for example with NTP", "Set the clock, for example with NTP"],
    ] as const
  ) {
    const text = explainTo("command line", { ...failed, code, remedy });
    assert.equal(text, `Cannot list s3://bucket/runs (${code}): refused. ${said}`);
    assert.ok(explain({ ...failed, code, remedy }).endsWith(remedy));
  }
});

test("explain: at most twenty differences are listed, of many parts the component is named", async () => {
  const store = memory();
  const parts = (shape: number[]): Record<string, tf.Tensor> =>
    Object.fromEntries(Array.from({ length: 30 }, (_, i) => [`w${i}`, tf.zeros(shape)]));
  await saveState(store)({ nets: parts([2]), b: tf.zeros([1]) });
  const live = { nets: parts([3]), b: tf.zeros([2]) };
  const lines = explain(await left(loadState(store)(live))).split("\n");
  assert.equal(lines.length, 25);
  assert.deepEqual(lines.slice(-4), [
    "  and 11 more",
    'Change your script back, or keep what your script has: loadState(store, { keep: ["nets", "b"] })',
    "No saved tensor is restored with that. Is this the right run?",
    "This option is needed once: take it out after the next save, or every restart resets the kept parts",
  ]);
  const options: LoadOptions = { keep: ["nets", "b"] };
  assert.ok(await loadState(store, options)(live));
});
