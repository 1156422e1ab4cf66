// A hub on 127.0.0.1: listing, small files by itself, large ones from a store on another port; with faults to order.

import { createHash } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface MockHub {
  endpoint: string;
  commit: string;
  /** By path; weights are kept in the store and listed with a SHA-256. */
  files: Map<string, Buffer>;
  /** Requests seen: `GET /path`, with the range where there was one, and `+token` where the token came along. */
  seen: string[];
  faults: {
    /** Cut the connection after so many bytes of a stored file, this many times. */
    cutAfter?: number;
    cuts?: number;
    /** Answer so to everything. */
    status?: number;
    /** What the store sends instead of the real bytes. */
    wrongBytes?: boolean;
    /** The store knows no ranges. */
    noRanges?: boolean;
    /** There is no tree listing, as on simple mirrors. */
    noTree?: boolean;
    /** Gated: only with this token. */
    token?: string;
    /** The store waits for this before its last byte. */
    hold?: Promise<unknown>;
  };
  close(): Promise<void>;
}

const commit = "0123456789abcdef0123456789abcdef01234567";

export async function startHub(files: Record<string, string | Buffer>): Promise<MockHub> {
  const hub = {
    commit,
    files: new Map<string, Buffer>(),
    seen: [] as string[],
    faults: {},
  } as unknown as MockHub;
  for (const [path, content] of Object.entries(files)) hub.files.set(path, Buffer.from(content));
  const store = await listen((request, response) => void serveStored(hub, request, response));
  const front = await listen((request, response) => {
    note(hub, request);
    const { status, token } = hub.faults;
    if (status !== undefined) return void response.writeHead(status).end();
    if (token !== undefined && request.headers.authorization !== `Bearer ${token}`) {
      return void response.writeHead(401).end();
    }
    answer(hub, request, response, addressOf(store));
  });
  hub.endpoint = addressOf(front);
  hub.close = async () => {
    for (const server of [store, front]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  };
  return hub;
}

function answer(hub: MockHub, request: IncomingMessage, response: ServerResponse, store: string): void {
  const path = new URL(request.url!, "http://x").pathname;
  const json = (value: unknown) =>
    void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
  if (/^\/api\/models\/org\/tiny\/revision\/(main|v2|0123456789abcdef\w+)$/.test(path)) {
    const siblings = [...hub.files.keys()].map((rfilename) => ({ rfilename }));
    return json({
      _id: "1",
      id: "org/tiny",
      sha: commit,
      siblings,
      lastModified: "2026-01-01T00:00:00.000Z",
    });
  }
  if (path === `/api/models/org/tiny/tree/${commit}` && !hub.faults.noTree) {
    return json([...hub.files.entries()].map(([name, content]) => listed(name, content)));
  }
  const prefix = `/org/tiny/resolve/${commit}/`;
  const name = path.startsWith(prefix) ? decodeURIComponent(path.slice(prefix.length)) : "";
  const content = hub.files.get(name);
  if (!content) return void response.writeHead(404).end();
  if (isStored(name)) {
    const linked = { "x-linked-etag": `"${sha256(content)}"`, "x-linked-size": content.length };
    return void response.writeHead(302, { location: `${store}/${name}`, ...linked }).end();
  }
  response.writeHead(200, { etag: `"${gitSha1(content)}"`, "content-length": content.length });
  response.end(request.method === "HEAD" ? undefined : content);
}

async function serveStored(hub: MockHub, request: IncomingMessage, response: ServerResponse): Promise<void> {
  note(hub, request);
  const { faults } = hub;
  const real = hub.files.get(request.url!.slice(1))!;
  const whole = faults.wrongBytes ? Buffer.alloc(real.length, 7) : real;
  const from = faults.noRanges ? 0 : Number(/bytes=(\d+)-/.exec(request.headers.range ?? "")?.[1] ?? 0);
  const part = whole.subarray(from);
  response.writeHead(from > 0 ? 206 : 200, {
    "content-length": part.length,
    ...(from > 0 ? { "content-range": `bytes ${from}-${whole.length - 1}/${whole.length}` } : {}),
  });
  if (faults.cutAfter !== undefined && (faults.cuts ?? Infinity) > 0) {
    if (faults.cuts !== undefined) faults.cuts--;
    response.write(part.subarray(0, faults.cutAfter), () => setTimeout(() => response.destroy(), 20));
    return;
  }
  if (faults.hold) {
    response.write(part.subarray(0, -1));
    await faults.hold;
    response.end(part.subarray(-1));
  } else {
    response.end(part);
  }
}

function note(hub: MockHub, request: IncomingMessage): void {
  const range = request.headers.range === undefined ? "" : ` ${request.headers.range}`;
  const token = request.headers.authorization === undefined ? "" : " +token";
  hub.seen.push(`${request.method} ${request.url!.split("?")[0]}${range}${token}`);
}

function listed(path: string, content: Buffer): Record<string, unknown> {
  const entry = { type: "file", path, size: content.length, oid: gitSha1(content) };
  if (!isStored(path)) return entry;
  return { ...entry, lfs: { oid: sha256(content), size: content.length, pointerSize: 130 } };
}

function isStored(path: string): boolean {
  return /\.(safetensors|gguf)$/.test(path);
}

export function sha256(content: Buffer): string {
  return createHash("sha256").update(content).digest("hex");
}

export function gitSha1(content: Buffer): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

async function listen(
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<Server> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
