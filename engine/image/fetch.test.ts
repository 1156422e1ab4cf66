// A server on this host plays the web: 127.0.0.1 counts as public, every other address is judged as it is.
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { isPublicAddress } from "./address.ts";
import { fetchImage, type Net } from "./fetch.ts";

describe("addresses", () => {
  test.each(["8.8.8.8", "172.15.0.1", "172.32.0.1", "100.63.0.1", "2606:4700::1111", "2a00:1450::1"])(
    "%s is public",
    (a) => {
      expect(isPublicAddress(a)).toBe(true);
    },
  );
  test.each([
    ...[
      "127.0.0.1",
      "127.8.9.1",
      "0.0.0.0",
      "10.1.2.3",
      "172.16.0.1",
      "172.31.255.255",
      "192.168.1.1",
      "169.254.169.254",
    ],
    ...[
      "100.64.0.1",
      "192.0.0.8",
      "192.0.2.7",
      "198.18.0.1",
      "198.51.100.1",
      "203.0.113.9",
      "224.0.0.1",
      "255.255.255.255",
    ],
    ...[
      "::",
      "::1",
      "::ffff:127.0.0.1",
      "::ffff:8.8.8.8",
      "::8.8.8.8",
      "64:ff9b::808:808",
      "fe80::1",
      "fe80::1%eth0",
    ],
    ...[
      "fc00::1",
      "fd12:3456::1",
      "ff02::1",
      "2001:db8::1",
      "2001::1",
      "2002:7f00:1::",
      "3fff::1",
      "not an address",
      "",
    ],
  ])("%s is not", (a) => {
    expect(isPublicAddress(a)).toBe(false);
  });
});

let server: Server;
let base: string;
const hosts: string[] = [];
beforeAll(async () => {
  server = createServer((request, reply) => {
    hosts.push(request.headers.host ?? "");
    const path = request.url ?? "";
    if (path === "/ok") reply.end("picture");
    else if (path === "/chain") reply.writeHead(302, { location: "/ok" }).end();
    else if (path === "/loop") reply.writeHead(302, { location: "/loop" }).end();
    else if (path === "/inside") reply.writeHead(302, { location: "http://inside.test/secret" }).end();
    else if (path === "/metadata") reply.writeHead(302, { location: "http://169.254.169.254/latest" }).end();
    else if (path === "/file") reply.writeHead(302, { location: "file:///etc/passwd" }).end();
    else if (path === "/declared") reply.writeHead(200, { "content-length": "5000" }).write("x");
    else if (path === "/endless") setInterval(() => reply.write("x".repeat(64)), 2).unref();
    else if (path === "/silent") reply.flushHeaders();
    else reply.writeHead(404).end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  base = `http://pictures.test:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});

const names: Record<string, string> = {
  "pictures.test": "127.0.0.1",
  "inside.test": "127.0.0.2",
  "169.254.169.254": "169.254.169.254",
};
const asked: string[] = [];
const net: Net = {
  resolve: async (host) => {
    asked.push(host);
    return names[host] ? [{ address: names[host], family: 4 }] : [];
  },
  isPublic: (address) => address === "127.0.0.1" || isPublicAddress(address),
};
const limits = { bytes: 1000, timeoutMs: 400, redirects: 2 };
const get = (path: string) => fetchImage(path.startsWith("/") ? base + path : path, limits, net);

test("a picture, through a redirect, by the name's own Host header", async () => {
  asked.length = 0;
  expect(Buffer.from(await get("/chain")).toString()).toBe("picture");
  expect(asked).toEqual(["pictures.test", "pictures.test"]); // looked up once a hop, and checked each time
  expect(hosts.at(-1)).toBe(base.slice("http://".length));
});

test.each([
  ["/loop", "more than 2 redirects"],
  ["/inside", "127.0.0.2 is not a public address"],
  ["/metadata", "169.254.169.254 is not a public address"],
  ["/file", "the scheme file: is not http"],
  ["/declared", "more than 1000 bytes"],
  ["/endless", "more than 1000 bytes"],
  ["/silent", "it took more than 400 ms"],
  ["/missing", "the server answered 404"],
  ["http://nowhere.test/a", "its host has no address"],
  ["http://user:word@pictures.test/", "a user name in it"],
  ["http://", "is no address"],
])("%s is refused", async (path, message) => {
  await expect(get(path)).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringContaining(message),
  });
});

test("the real net closes this host in every spelling", async () => {
  const port = (server.address() as AddressInfo).port;
  for (const host of ["127.0.0.1", "localhost", "2130706433", "0x7f.1", "[::1]", "[::ffff:127.0.0.1]", "0"]) {
    await expect(fetchImage(`http://${host}:${port}/ok`, limits), host).rejects.toThrow(
      "is not a public address",
    );
  }
});
