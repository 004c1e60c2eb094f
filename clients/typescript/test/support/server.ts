/** Starts real Relay servers for tests: each on an embedded Redis, a port and a folder of its own. */

import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
const BINARY = process.env.RELAY_SERVER_BINARY ?? join(ROOT, ".venv", "bin", "relay-server");
const READY = /^relay-server ready grpc=(\S+)/m;

export const WITHIN_MS = 20_000;

/** The folder of the package. */
export const PACKAGE = fileURLToPath(new URL("../../../", import.meta.url));

export class Server {
  #folder = mkdtempSync(join(tmpdir(), "relay-ts-"));
  #process: ChildProcess | undefined;
  target = "127.0.0.1:0";

  /** Starts it, or starts it again on the same port and data. */
  async start(): Promise<this> {
    const options = [
      "--listen",
      this.target,
      "--http",
      "off",
      "--data-dir",
      this.#folder,
      "--drain-grace-s",
      "1",
    ];
    const child = spawn(BINARY, options, { stdio: ["ignore", "pipe", "pipe"] });
    this.#process = child;
    let text = "";
    child.stderr.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    this.target = await new Promise<string>((resolve, reject) => {
      child.on("error", (error) =>
        reject(new Error(`${BINARY} cannot be started: run \`make venv\` (${error.message})`)),
      );
      child.on("exit", (code) => reject(new Error(`relay-server ended with ${code}: ${text}`)));
      child.stdout.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        const target = READY.exec(text)?.[1];
        if (target !== undefined) resolve(target);
      });
    });
    return this;
  }

  /** Ends the process; the data stays. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const exited = once(child, "exit");
    child.kill(signal);
    await exited;
  }

  /** Ends the process and removes the data. */
  async close(): Promise<void> {
    await this.end();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** A name no other test has. */
export function newQueue(): string {
  return `q-${randomUUID().slice(0, 13)}`;
}

/** A promise and what settles it; it rejects by itself when that takes too long. */
export function within<T>(what: string): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => undefined;
  const promise = new Promise<T>((accept, reject) => {
    const timer = setTimeout(
      () => reject(new Error(`${what} did not come within ${WITHIN_MS} ms`)),
      WITHIN_MS,
    );
    resolve = (value) => {
      clearTimeout(timer);
      accept(value);
    };
  });
  return { promise, resolve };
}

/** Rejects unless the promise rejects with an error of this class; gives the error. */
export async function rejection<E extends Error>(
  promise: Promise<unknown>,
  kind: abstract new (...args: never[]) => E,
): Promise<E> {
  const error: unknown = await promise.then(
    (value) => assert.fail(`resolved to ${JSON.stringify(value)}`),
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof kind, `rejected with ${String(error)}`);
  return error;
}
