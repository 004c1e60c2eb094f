// Commands that show the job, or enqueue one like it, as a person would type them.

import { apiUrl } from "../../api/http";
import type { JobDetail } from "../../api/model";

export type Tool = "curl" | "grpcurl" | "Python";
export type What = "show" | "again";

/** For sh: everything between single quotes is taken as it is. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** A literal that Python reads as the same text; control and non-ASCII letters are escaped. */
export function pythonText(text: string): string {
  return JSON.stringify(text).replaceAll(
    /[\u007f-\uffff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

function spec(job: JobDetail): Record<string, unknown> {
  return {
    type: job.summary.type,
    ...(job.payload.length > 0 ? { payload: base64(job.payload) } : {}),
    ...(job.contentType !== "application/json" ? { contentType: job.contentType } : {}),
    ...(job.headers.length > 0 ? { headers: Object.fromEntries(job.headers) } : {}),
    ...(job.summary.priority ? { priority: job.summary.priority } : {}),
    retry: {
      maxAttempts: job.retry.maxAttempts,
      initialBackoff: `${job.retry.initialBackoffMs / 1000}s`,
      maxBackoff: `${job.retry.maxBackoffMs / 1000}s`,
      multiplier: job.retry.multiplier,
    },
  };
}

export function command(job: JobDetail, tool: Tool, what: What): string {
  const { queue, id } = job.summary;
  const path = `queues/${encodeURIComponent(queue)}/jobs`;
  if (tool === "curl") {
    if (what === "show") return `curl -s ${quoted(apiUrl(`${path}/${encodeURIComponent(id)}`))}`;
    const body = JSON.stringify({ job: spec(job) });
    return `curl -s ${quoted(apiUrl(path))} \\\n  -H 'content-type: application/json' \\\n  -d ${quoted(body)}`;
  }
  if (tool === "grpcurl") {
    if (what === "show")
      return `grpcurl -plaintext -d ${quoted(JSON.stringify({ queue, jobId: id }))} \\\n  ${grpcAddress()} relay.v1.AdminService/GetJob`;
    return `grpcurl -plaintext -d ${quoted(JSON.stringify({ queue, job: spec(job) }))} \\\n  ${grpcAddress()} relay.v1.QueueService/Enqueue`;
  }
  return what === "show" ? pythonShow(job) : pythonAgain(job);
}

const grpcAddress = () => `${window.location.hostname || "localhost"}:50051`;

function pythonShow({ summary }: JobDetail): string {
  return [
    "from relay_client import Admin",
    "",
    `with Admin(${pythonText(grpcAddress())}) as admin:`,
    `    print(admin.get_job(${pythonText(summary.queue)}, ${pythonText(summary.id)}))`,
  ].join("\n");
}

function pythonAgain(job: JobDetail): string {
  return [
    "from relay_client import Client, RetryPolicy",
    "",
    `with Client(${pythonText(grpcAddress())}) as relay:`,
    "    job = relay.enqueue(",
    ...pythonArguments(job).map((line) => `        ${line},`),
    "    )",
    "    print(job.id)",
  ].join("\n");
}

function pythonArguments(job: JobDetail): string[] {
  const { maxAttempts, initialBackoffMs, maxBackoffMs, multiplier } = job.retry;
  const lines = [pythonText(job.summary.queue), pythonText(job.summary.type), pythonBytes(job.payload)];
  lines.push(`content_type=${pythonText(job.contentType)}`);
  lines.push(
    `retry=RetryPolicy(max_attempts=${maxAttempts}, initial_backoff="${initialBackoffMs}ms", max_backoff="${maxBackoffMs}ms", multiplier=${multiplier})`,
  );
  if (job.headers.length > 0)
    lines.push(
      `headers={${job.headers.map(([name, value]) => `${pythonText(name)}: ${pythonText(value)}`).join(", ")}}`,
    );
  if (job.summary.priority) lines.push(`priority=${job.summary.priority}`);
  return lines;
}

function pythonBytes(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) {
    if (byte === 0x5c || byte === 0x22) text += `\\${String.fromCharCode(byte)}`;
    else if (byte >= 32 && byte < 127) text += String.fromCharCode(byte);
    else text += `\\x${byte.toString(16).padStart(2, "0")}`;
  }
  return `b"${text}"`;
}
