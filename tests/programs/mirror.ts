/**
 * Saves into a mirror of two folders until it is killed. Each line is the step of a committed save, or of a finished upload.
 */
import process from "node:process";
import { mirrored } from "../../lib/store/s3/mod.ts";
import { directory, resume, saveState } from "../../mod.ts";

const [local = "", remote = ""] = process.argv.slice(2);
const store = mirrored(directory(local), directory(remote));
let state = await resume(store)({ step: 0, w: new Float32Array(1000) });
console.log(`from ${state.step}`);
for (;;) {
  state = { step: state.step + 1, w: state.w.map(() => state.step + 1) };
  await saveState(store)(state);
  console.log(`saved ${state.step}`);
  if (state.step % 3 === 0 && (await store.drain())._tag === "Right") console.log(`uploaded ${state.step}`);
}
