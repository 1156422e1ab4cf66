// Plain requests to a hub: redirects, a file's own description, and what its refusals mean.

import { request } from "undici";
import type { Dispatcher } from "undici";
import { EngineError } from "../engine/errors.ts";

export interface RemoteFile {
  path: string;
  size: number;
  /** SHA-256 of the content for large files, git's SHA-1 of the blob for others: both name the blob in the cache. */
  etag: string;
}

export interface HubRequest {
  token: string | undefined;
  signal: AbortSignal;
  /** How long a connection may stay silent, ms. */
  silenceMs?: number | undefined;
}

const maxRedirects = 5;

/** An answer after its redirects; the token goes to the hub alone, not to the store that it points to. */
export async function follow(
  url: string,
  method: "GET" | "HEAD",
  { token, signal, silenceMs = 30_000 }: HubRequest,
  headers: Record<string, string>,
  redirects = maxRedirects,
): Promise<Dispatcher.ResponseData> {
  const authorization = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const answer = await request(url, {
    method,
    headers: { ...headers, ...authorization },
    signal,
    headersTimeout: silenceMs,
    bodyTimeout: silenceMs,
  });
  const { location } = answer.headers;
  // A HEAD on the hub tells a large file's checksum in the redirect itself.
  if (answer.statusCode < 300 || answer.statusCode > 399 || typeof location !== "string") return answer;
  if (method === "HEAD" && answer.headers["x-linked-etag"] !== undefined) return answer;
  await answer.body.dump();
  if (redirects === 0)
    throw new EngineError("download_failed", `${url}: more than ${maxRedirects} redirects`);
  const next = new URL(location, url);
  const kept = next.origin === new URL(url).origin ? token : undefined;
  return follow(next.href, method, { token: kept, signal, silenceMs }, headers, redirects - 1);
}

/** Size and checksum from a file's own headers. */
export async function describeFile(
  url: string,
  path: string,
  token: string | undefined,
  signal: AbortSignal,
): Promise<RemoteFile> {
  const { statusCode, headers, body } = await follow(
    url,
    "HEAD",
    { token, signal },
    { "accept-encoding": "identity" },
  );
  await body.dump();
  if (statusCode >= 400) throw refusedByHub(statusCode, path, token !== undefined);
  const etag = String(headers["x-linked-etag"] ?? headers["etag"] ?? "")
    .replace(/^W\//, "")
    .replaceAll('"', "");
  const size = Number(headers["x-linked-size"] ?? headers["content-length"]);
  if (!(isSha1(etag) || isSha256(etag)) || !Number.isSafeInteger(size)) {
    throw new EngineError(
      "download_failed",
      `${path}: the server tells no checksum (etag "${etag}") or no size`,
    );
  }
  return { path, size, etag };
}

/** What a hub's status means to whoever asked for `at`. */
export function refusedByHub(status: number, at: string, hadToken: boolean): EngineError {
  if (status === 401 || status === 403) {
    const advice = hadToken
      ? "the token in HF_TOKEN does not open it"
      : "if it is gated or private, set HF_TOKEN";
    return new EngineError(
      "download_failed",
      `${at}: the hub answered ${status}: it does not exist, or ${advice}`,
    );
  }
  if (status === 404) return new EngineError("model_not_found", `${at}: no such model or revision`);
  return new EngineError("download_failed", `${at}: the hub answered ${status}`);
}

/** fetch says "fetch failed" and hides the reason in its cause. */
export function describeCause(error: Error): string {
  const { cause } = error;
  if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
  return cause instanceof Error ? cause.message || error.message : error.message;
}

export function isSha1(text: string): boolean {
  return /^[0-9a-f]{40}$/.test(text);
}

export function isSha256(text: string): boolean {
  return /^[0-9a-f]{64}$/.test(text);
}
