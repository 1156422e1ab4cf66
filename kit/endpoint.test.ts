import { InvalidArgumentError } from "commander";
import { expect, test } from "vitest";
import { endpoint } from "./endpoint.ts";

test.each([
  ["localhost:80", "http://localhost:80"],
  ["https://box/v1/", "https://box/v1"],
] as const)("%s", (text, want) => expect(endpoint(text)).toBe(want));

test.each(["http://", "a b", "ftp://box", "nats://box:1"])("%s is none", (text) => {
  expect(() => endpoint(text)).toThrow(InvalidArgumentError);
});
