/** Drives the SDK for the conformance kit: commands on stdin, events on stdout, as clients/conformance/PROTOCOL.md says.
 *
 * The worker and its handlers live in a thread of their own: one of them blocks its event loop, and the commands are
 * read all the same.
 */
import { createInterface } from "node:readline";
import { Worker as Thread } from "node:worker_threads";
import { VERSION } from "../src/version.js";
import { emit } from "./emit.js";
const drainFlag = new Int32Array(new SharedArrayBuffer(4));
let working = false;
let signalled = false;
const commands = {
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
    produce: async (command) => {
        const { produce } = await import("./produce.js");
        emit("produced", { id: command.id, results: await produce(command) });
    },
    work,
    drain,
    exit: () => process.exit(0),
};
function work(command) {
    working = true;
    const workerData = { command, drainFlag };
    const thread = new Thread(new URL("./work.js", import.meta.url), { workerData });
    // Its last word: it has said "stopped" itself.
    thread.on("exit", () => {
        if (signalled)
            process.exit(0);
    });
    thread.on("error", fail);
}
function drain() {
    Atomics.store(drainFlag, 0, 1);
}
function obey(line) {
    const { command, ...fields } = JSON.parse(line);
    const run = commands[command];
    if (run === undefined)
        throw new Error(`unknown command ${command}`);
    Promise.resolve(run(fields)).catch(fail);
}
function fail(error) {
    emit("failed", { message: error instanceof Error ? (error.stack ?? error.message) : String(error) });
}
process.on("SIGTERM", () => {
    signalled = true;
    if (working)
        drain();
    else
        process.exit(0);
});
const lines = createInterface({ input: process.stdin, crlfDelay: Number.POSITIVE_INFINITY });
lines.on("line", (line) => {
    try {
        if (line.trim() !== "")
            obey(line);
    }
    catch (error) {
        fail(error);
    }
});
lines.on("close", () => process.exit(0));
