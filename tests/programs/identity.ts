/** Prints the identity of this process, and the status of the process of each identity given. */
import process from "node:process";
import { localFileSystem } from "../../lib/store/directory/local_file_system.ts";

console.log(await localFileSystem.processId());
for (const id of process.argv.slice(2)) console.log(await localFileSystem.processStatus(id)());
