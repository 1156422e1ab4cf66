// Pictures from the web, fetched by the server on a stranger's word: only from public addresses, to the very address
// that was checked, within limits of time and size, at every redirect anew.
import { lookup } from "node:dns/promises";
import { Agent, request } from "undici";
import { EngineError } from "../errors.ts";
import { isPublicAddress } from "./address.ts";
import type { RemoteLimits } from "./limits.ts";

/** How the network is seen; tests have their own. */
export interface Net {
  resolve(host: string): Promise<{ address: string; family: number }[]>;
  isPublic(address: string): boolean;
}

const internet: Net = { resolve: (host) => lookup(host, { all: true }), isPublic: isPublicAddress };

/** The body at an http(s) address. Errors: bad_request with what is wrong or which limit was met. */
export async function fetchImage(
  url: string,
  limits: RemoteLimits & { bytes: number },
  net: Net = internet,
): Promise<Uint8Array> {
  const signal = AbortSignal.timeout(limits.timeoutMs);
  let target = parse(url);
  for (let hop = 0; hop <= limits.redirects; hop += 1) {
    const answer = await visit(target, limits.bytes, signal, net).catch((error: unknown) => {
      throw explained(error, target, limits, signal);
    });
    if (answer.body) return answer.body;
    target = parse(answer.location, target);
  }
  throw refused(target, `more than ${limits.redirects} redirects`);
}

/** One request: the body, or where it says to go. */
async function visit(
  target: URL,
  bytes: number,
  signal: AbortSignal,
  net: Net,
): Promise<{ body: Uint8Array; location?: never } | { body?: never; location: string }> {
  const checked = await checkedAddress(target, net);
  // The name must not be looked up again: its next answer may be another address.
  const pinned = new Agent({
    connect: {
      lookup: (_host, options, done) => {
        if (options.all) done(null, [checked]);
        else done(null, checked.address, checked.family);
      },
    },
  });
  try {
    const { statusCode, headers, body } = await request(target, {
      dispatcher: pinned,
      signal,
      headers: { accept: "image/*", "user-agent": "cortex" },
    });
    body.on("error", () => undefined); // the agent may be destroyed before the body is read
    const { location } = headers;
    if (statusCode >= 300 && statusCode < 400 && typeof location === "string") return { location };
    if (statusCode !== 200) throw refused(target, `the server answered ${statusCode}`);
    if (Number(headers["content-length"] ?? 0) > bytes) throw tooLarge(target, bytes);
    return { body: await readAll(target, body, bytes) };
  } finally {
    await pinned.destroy();
  }
}

async function checkedAddress(target: URL, net: Net): Promise<{ address: string; family: number }> {
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const found = await net.resolve(host);
  const closed = found.find(({ address }) => !net.isPublic(address));
  if (closed) throw refused(target, `${closed.address} is not a public address`);
  if (!found[0]) throw refused(target, "its host has no address");
  return found[0];
}

async function readAll(target: URL, body: AsyncIterable<Uint8Array>, most: number): Promise<Uint8Array> {
  const pieces: Uint8Array[] = [];
  let total = 0;
  for await (const piece of body) {
    total += piece.byteLength;
    if (total > most) throw tooLarge(target, most);
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

function parse(text: string, base?: URL): URL {
  if (!URL.canParse(text, base?.href)) throw new EngineError("bad_request", `${shown(text)} is no address`);
  const url = new URL(text, base);
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw refused(url, `the scheme ${url.protocol} is not http: or https:`);
  }
  if (url.username || url.password) throw refused(url, "it has a user name in it");
  return url;
}

function explained(
  error: unknown,
  target: URL,
  { timeoutMs }: RemoteLimits,
  signal: AbortSignal,
): EngineError {
  if (error instanceof EngineError) return error;
  if (signal.aborted) return refused(target, `it took more than ${timeoutMs} ms`);
  return refused(target, error instanceof Error ? error.message : String(error));
}

function tooLarge(target: URL, bytes: number): EngineError {
  return refused(target, `it has more than ${bytes} bytes`);
}

function refused(target: URL, why: string): EngineError {
  return new EngineError("bad_request", `${shown(target.origin + target.pathname)} was not fetched: ${why}`);
}

function shown(text: string): string {
  return text.length > 100 ? `${text.slice(0, 100)}…` : text;
}
