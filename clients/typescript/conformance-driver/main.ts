/** Drives the SDK for the conformance kit: commands on stdin, events on stdout, as clients/conformance/PROTOCOL.md says. */

import { createInterface } from "node:readline";
import { VERSION } from "../src/index.js";
import { type Produce, produce } from "./produce.js";
import { type Emit, type Work, WorkerDriver } from "./work.js";

const emit: Emit = (event, fields = {}) => {
  process.stdout.write(`${JSON.stringify({ event, ...fields })}\n`);
};

let worker: WorkerDriver | undefined;

const commands: Readonly<Record<string, (command: never) => void | Promise<void>>> = {
  hello: () => {
    const capabilities = ["produce", "work", "signal"];
    emit("hello", {
      protocol: 1,
      sdk: "relay-typescript",
      version: VERSION,
      language: "typescript",
      capabilities,
    });
  },
  produce: async (command: Produce) => emit("produced", { id: command.id, results: await produce(command) }),
  work: async (command: Work) => {
    worker = new WorkerDriver(command, emit);
    const end = await worker.run();
    if (end === "signal") process.exit(0);
  },
  drain: () => worker?.drain(),
  exit: () => process.exit(0),
};

function obey(line: string): void {
  const { command, ...fields } = JSON.parse(line) as { command: string };
  const run = commands[command];
  if (run === undefined) throw new Error(`unknown command ${command}`);
  Promise.resolve(run(fields as never)).catch(fail);
}

function fail(error: unknown): void {
  emit("failed", { message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}

// Without a worker nothing else handles it.
process.on("SIGTERM", () => {
  if (worker === undefined) process.exit(0);
  worker.signalled = true;
});
const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
lines.on("line", (line) => {
  try {
    if (line.trim() !== "") obey(line);
  } catch (error) {
    fail(error);
  }
});
lines.on("close", () => process.exit(0));
