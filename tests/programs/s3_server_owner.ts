/**
 * Starts an object store, writes where it is, and waits to be killed.
 *
 * @module
 */
import { startS3Server } from "../support/s3_server.ts";

const { endpoint, folder } = await startS3Server();
console.log(`ready ${endpoint} ${folder}`);
setInterval(() => {}, 1000);
