/** A worker program for tests: runs until SIGTERM and prints a line for what happens. Arguments: target, queue. */

import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "../../src/index.js";

const [target = "", queue = ""] = process.argv.slice(2);
const worker = new Worker(target, { queues: queue, concurrency: 4, grace: "10s" });
worker.handle("slow", async () => {
  console.log("started");
  await sleep(700);
  console.log("done");
});
console.log(`unsettled ${await worker.run()}`);
