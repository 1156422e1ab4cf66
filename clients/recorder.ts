// Between a client and the gateway: every request as the client sent it and the status it got, the bytes passed on as
// they come. And a trap for whatever would leave this machine: a proxy that lets nothing through and takes notes.

import type { IncomingHttpHeaders, Server } from "node:http";
import { createServer, request } from "node:http";
import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";

export interface Recorded {
  method: string;
  path: string;
  headers: IncomingHttpHeaders;
  body: string;
  status: number;
  /** Of the answer, once it is whole. */
  answer: string;
}

export interface Recorder {
  url: string;
  requests: Recorded[];
  close(): Promise<void>;
}

export async function openRecorder(target: string): Promise<Recorder> {
  const requests: Recorded[] = [];
  const server = createServer(async (incoming, outgoing) => {
    const { method = "", url: path = "", headers } = incoming;
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    const recorded: Recorded = { method, path, headers, body: body.toString(), status: 0, answer: "" };
    requests.push(recorded);
    const upstream = request(target + path, { method, headers }, (answer) => {
      recorded.status = answer.statusCode ?? 0;
      outgoing.writeHead(recorded.status, answer.headers);
      answer.on("data", (chunk) => (recorded.answer += String(chunk)));
      answer.pipe(outgoing);
    });
    upstream.on("error", () => outgoing.destroy());
    outgoing.on("close", () => upstream.destroy());
    upstream.end(body);
  });
  return { requests, ...(await listening(server)) };
}

export interface Trap {
  url: string;
  /** What was asked for, as "host:port" or an address. */
  caught: string[];
  close(): Promise<void>;
}

export async function openTrap(): Promise<Trap> {
  const caught: string[] = [];
  const server = createServer((incoming, outgoing) => {
    caught.push(incoming.url ?? "");
    outgoing.writeHead(502).end();
  });
  server.on("connect", ({ url }, socket: Socket) => {
    caught.push(url ?? "");
    socket.on("error", () => {});
    socket.end("HTTP/1.1 502 Bad Gateway\r\n\r\n");
  });
  return { caught, ...(await listening(server)) };
}

async function listening(server: Server): Promise<{ url: string; close(): Promise<void> }> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const close = async () => {
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  };
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, close };
}
