// How the page is served; what it does is in *.browser.test.ts.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { request } from "undici";
import { expect, onTestFinished, test } from "vitest";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";

const html = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";

async function openWithPage() {
  const pageFolder = mkdtempSync(join(tmpdir(), "cortex-page-"));
  onTestFinished(() => rmSync(pageFolder, { recursive: true }));
  mkdirSync(join(pageFolder, "assets"));
  writeFileSync(join(pageFolder, "index.html"), "<!doctype html><title>cortex</title>");
  writeFileSync(join(pageFolder, "icon.svg"), "<svg/>");
  writeFileSync(join(pageFolder, "assets/main-1.js"), "hello();");
  writeFileSync(join(pageFolder, "secret.env"), "no");
  return openGateway({ neurons: { a: await openNeuron("demo") }, pageFolder });
}

test.each([
  ["a browser", html, "text/html"],
  ["one that prefers it less", "application/json, text/html;q=0.5", "text/html"],
  ["curl", "*/*", "application/json"],
  ["a script", "application/json", "application/json"],
  ["one that refuses it", "text/html;q=0, */*", "application/json"],
  ["one that says nothing", undefined, "application/json"],
])("/ for %s", async (_, accept, type) => {
  const { url } = await openWithPage();
  const { headers, body } = await request(url, { headers: accept === undefined ? {} : { accept } });
  expect(headers["content-type"]).toMatch(type);
  expect(headers.vary).toContain("accept");
  if (type === "application/json") expect(await body.json()).toMatchObject({ status: "ok" });
  else expect(await body.text()).toContain("<title>cortex</title>");
});

test("the page may talk to its own gateway and to nobody else", async () => {
  const { url } = await openWithPage();
  const { headers } = await fetch(url, { headers: { accept: html } });
  const policy = Object.fromEntries(
    headers
      .get("content-security-policy")!
      .split("; ")
      .map((rule) => [rule.split(" ")[0], rule.split(" ").slice(1).join(" ")]),
  );
  expect(policy).toMatchObject({
    ...{ "default-src": "'none'", "script-src": "'self'", "style-src": "'self'", "connect-src": "'self'" },
    ...{ "img-src": "'self' data:", "frame-ancestors": "'none'", "base-uri": "'none'" },
    "require-trusted-types-for": "'script'",
  });
  expect(JSON.stringify(policy)).not.toMatch(/unsafe|https?:|\*/);
  expect(headers.get("x-content-type-options")).toBe("nosniff");
  expect(headers.get("referrer-policy")).toBe("no-referrer");
  expect(headers.get("cache-control")).toBe("no-cache");
});

test("files: typed, zipped where that is wanted, kept for good where their name tells their contents", async () => {
  const { url } = await openWithPage();
  const plain = await request(`${url}/assets/main-1.js`);
  expect(await plain.body.text()).toBe("hello();");
  expect(plain.headers).toMatchObject({
    ...{ "content-type": "text/javascript; charset=utf-8", "x-content-type-options": "nosniff" },
    "cache-control": "public, max-age=31536000, immutable",
  });
  const zipped = await request(`${url}/assets/main-1.js`, { headers: { "accept-encoding": "br, gzip" } });
  expect(zipped.headers["content-encoding"]).toBe("gzip");
  expect(gunzipSync(Buffer.from(await zipped.body.arrayBuffer())).toString()).toBe("hello();");
  const icon = await fetch(`${url}/icon.svg`);
  expect([icon.headers.get("content-type"), icon.headers.get("cache-control")]).toEqual([
    ...["image/svg+xml", "no-cache"],
  ]);
});

test.each(["/secret.env", "/assets/../secret.env", "/assets/%2e%2e/secret.env", "/assets/", "/index.html"])(
  "%s is not there",
  async (path) => {
    const { url } = await openWithPage();
    const { origin } = new URL(url);
    const { statusCode, body } = await request({ origin, path, method: "GET" } as never);
    expect([statusCode, await body.json()]).toMatchObject([404, { error: { code: "not_found" } }]);
  },
);

test("where no page was built, a browser gets the fleet's health", async () => {
  const gateway = await openGateway({
    ...{ neurons: { a: await openNeuron("demo") }, pageFolder: "/does/not/exist" },
  });
  const response = await fetch(gateway.url, { headers: { accept: html } });
  expect(await response.json()).toMatchObject({ status: "ok" });
});
