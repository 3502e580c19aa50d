/**
 * The directory store: checkpoints as folders on a disk, committed by one rename.
 *
 * Read `directory`, then `commit` with `reservation` for the protocol step by step. `listing` and `temporary` know the names in the
 * folder, `orphans` removes what killed saves left, `mounts` knows where no save is safe. `file_system` is the interface that the protocol
 * is written against, so that tests run it on a simulated disk. `answers` is the table of what its operations may answer on each system;
 * `clear_answers` asks again and looks where that does not say enough. `durable` is what `fsync` means on each
 * system and runtime.
 *
 * Promises: *old or new* after a crash, a kill or a full disk at any instant; no two saves get one number.
 *
 * @module
 */
export type { WritableFile } from "./file_system.ts";
export { localFileSystem } from "./local_file_system.ts";
export { means } from "./answers.ts";
export { withClearAnswers } from "./clear_answers.ts";
export { syncFile } from "./durable.ts";
export { writeFile } from "./file_io.ts";
export { makeFolders, syncAbove, unless } from "./folder_ops.ts";
export { numberIn } from "./listing.ts";
export { checkpointsName } from "./run_folder.ts";
export { systemCall } from "./system_errors.ts";
export { directory } from "./directory.ts";
