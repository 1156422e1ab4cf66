// A server of another make for tests: its list of models, and answers that each test scripts; whatever else is asked is
// answered 404 in the make's own shape.

import { once } from "node:events";
import type { IncomingHttpHeaders, ServerResponse } from "node:http";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface Asked {
  path: string;
  headers: IncomingHttpHeaders;
  body: Record<string, unknown>;
}

export type Route = (asked: Asked, response: ServerResponse) => unknown;

export interface OtherServer {
  url: string;
  asked: Asked[];
  /** By "POST /path"; change them at will. */
  routes: Record<string, Route>;
  stop: () => Promise<void>;
}

export async function openServer(models: object, routes: Record<string, Route> = {}): Promise<OtherServer> {
  const asked: Asked[] = [];
  const all: Record<string, Route> = { "GET /v1/models": (_, r) => answerJson(r, 200, models), ...routes };
  const server = createServer(async (req, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of req as AsyncIterable<Buffer>) chunks.push(chunk);
    const text = Buffer.concat(chunks).toString();
    const one = { path: req.url!, headers: req.headers, body: text === "" ? {} : JSON.parse(text) };
    if (req.method === "POST") asked.push(one);
    const route =
      all[`${req.method} ${req.url}`] ??
      ((_: Asked, r: ServerResponse) => answerJson(r, 404, { detail: "Not Found" }));
    await route(one, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const stop = async () => {
    server.closeAllConnections();
    if (server.listening) await new Promise((closed) => server.close(closed));
  };
  onTestFinished(stop);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, asked, routes: all, stop };
}

export function answerJson(response: ServerResponse, status: number, body: unknown, headers = {}): void {
  response.writeHead(status, { "content-type": "application/json", ...headers }).end(JSON.stringify(body));
}

/** The given texts, each written by itself, as an event stream. */
export function streams(...pieces: string[]): Route {
  return async (_, response) => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    for (const piece of pieces) {
      response.write(piece);
      await new Promise((wake) => setImmediate(wake));
    }
    response.end();
  };
}

export const chatRoute = "POST /v1/chat/completions";
