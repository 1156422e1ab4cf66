import { expect, test } from "vitest";
import { defaultImageLimits } from "./limits.ts";
import { imageBytes } from "./source.ts";

const limits = { ...defaultImageLimits, bytes: 12 };

test.each([
  ["data:image/png;base64,aGVsbG8=", "hello"],
  ["DATA:;BASE64,aGVsbG8", "hello"],
  ["data:text/html;charset=utf-8;base64,aGVs\n bG8=", "hello"],
  ["data:image/png;base64,aGVsbG8%3D", "hello"],
  ["data:image/png;base64,-_-_", "\xfb\xff\xbf"],
  ["data:,h%65llo%FF", "hello\xff"],
])("%s", async (url, text) => {
  expect(Buffer.from(await imageBytes(url, limits)).toString("latin1")).toBe(text);
});

test.each([
  ["data:image/png;base64", "no comma"],
  ["data:image/png;base64,", "is empty"],
  ["data:image/png;base64,aGV*bG8=", 'not base64: "*" at 3'],
  [`data:;base64,${Buffer.alloc(13).toString("base64")}`, "may have 12 bytes, this one has 13"],
  [`data:,${"a".repeat(1000)}`, "may have 12 bytes"],
  ["http://example.com/a.png", "fetches no pictures from the web"],
  ["https://example.com/a.png", "fetches no pictures from the web"],
  ["file:///etc/passwd", "got an address of scheme file:"],
  ["aGVsbG8=", '"aGVsbG8=", which has no scheme'],
  ["", "which has no scheme"],
])("%s is refused", async (url, message) => {
  await expect(imageBytes(url, limits)).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringContaining(message),
  });
});
