// One request to the gateway, or one stream from it. Every failure becomes an ApiError with words for people.

import { EventParser } from "./sse";

/** Code numbers of google.rpc.Code that the pages tell apart. */
export const CODE = { notFound: 5, permissionDenied: 7, unavailable: 14, unauthenticated: 16 } as const;

export class ApiError extends Error {
  override readonly name = "ApiError";
  /** google.rpc.Code; 14 (unavailable) when the server could not be reached. */
  readonly code: number;
  /** Reason of the contract without its prefix, such as "QUEUE_NOT_FOUND"; "" when the server gave none. */
  readonly reason: string;
  /** The violation of each wrong field of the request, by its path. */
  readonly fields: ReadonlyMap<string, string>;

  constructor(message: string, code: number, reason = "", fields: ReadonlyMap<string, string> = new Map()) {
    super(message);
    this.code = code;
    this.reason = reason;
    this.fields = fields;
  }
}

let unauthenticated: (error: ApiError) => void = () => {};

/** `listener` is called for each request that the server refuses because nobody is signed in. */
export function onUnauthenticated(listener: (error: ApiError) => void): void {
  unauthenticated = listener;
}

interface StatusDetail {
  reason?: string;
  fieldViolations?: { field?: string; description?: string }[];
}

interface StatusJson {
  error?: StatusJson;
  code?: number;
  message?: string;
  details?: StatusDetail[];
}

function fromStatus(answer: StatusJson | undefined, fallback: string): ApiError {
  const json = answer?.error ?? answer;
  const fields = new Map<string, string>();
  let reason = "";
  for (const detail of json?.details ?? []) {
    reason ||= detail.reason ?? "";
    for (const one of detail.fieldViolations ?? []) fields.set(one.field ?? "", one.description ?? "");
  }
  return new ApiError(json?.message || fallback, json?.code ?? 2, reason, fields);
}

export type Query = Record<string, string | number | boolean | undefined>;

export interface Call {
  method?: "GET" | "POST" | "PATCH" | "DELETE";
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
}

/** Relative to the page, so that a proxy may serve everything below a path of its own. */
export function apiUrl(path: string, query: Query = {}): string {
  const url = new URL(`api/v1/${path}`, document.baseURI);
  url.hash = "";
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") url.searchParams.set(name, String(value));
  }
  return url.href;
}

async function send(path: string, call: Call, accept: string): Promise<Response> {
  const headers: Record<string, string> = { accept };
  if (call.body !== undefined) headers["content-type"] = "application/json";
  let response: Response;
  try {
    response = await fetch(apiUrl(path, call.query), {
      method: call.method ?? "GET",
      headers,
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ?? null,
      cache: "no-store",
    });
  } catch (error) {
    throw asApiError(error);
  }
  if (response.ok) return response;
  const text = await response.text().catch(() => "");
  const fallback = `the server answered ${response.status} ${response.statusText}`.trim();
  const error = fromStatus(parse(text) as StatusJson | undefined, fallback);
  if (error.code === CODE.unauthenticated) unauthenticated(error);
  throw error;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** An AbortError is passed on as it is: the caller asked for it. */
export function asApiError(error: unknown): Error {
  if (error instanceof ApiError || (error instanceof DOMException && error.name === "AbortError"))
    return error;
  if (error instanceof TypeError) return new ApiError("the server cannot be reached", CODE.unavailable);
  return error instanceof Error ? error : new Error(String(error));
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export async function request<T>(path: string, call: Call = {}): Promise<T> {
  const response = await send(path, call, "application/json");
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("the server's answer is not JSON: is a proxy in between?", 2);
  }
}

/**
 * The answers of a server stream, read as server-sent events: the heartbeat in them tells a quiet stream from a dead one.
 * Ends with the stream's event `end`; throws ApiError after the event `error`, or when the stream was cut off. `onBytes` sees every piece, heartbeats included.
 */
export async function* stream<T>(
  path: string,
  call: Call = {},
  onBytes: (bytes: number) => void = () => {},
): AsyncGenerator<T, void, undefined> {
  const response = await send(path, call, "text/event-stream");
  const reader = response.body?.getReader();
  if (!reader) return;
  const decoder = new TextDecoder();
  const parser = new EventParser();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) throw new ApiError("the connection was cut", CODE.unavailable);
      onBytes(value.byteLength);
      for (const event of parser.push(decoder.decode(value, { stream: true }))) {
        const json = parse(event.data);
        if (event.event === "error") throw fromStatus(json as StatusJson | undefined, "the stream ended");
        if (event.event === "end") return;
        if (event.event === "message" && json !== undefined) yield json as T;
      }
    }
  } catch (error) {
    throw asApiError(error);
  } finally {
    reader.cancel().catch(() => {});
  }
}
