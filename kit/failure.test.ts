import { expect, test } from "vitest";
import { retryHeaders } from "./failure.ts";

test.each([
  [undefined, { "x-should-retry": "false" }],
  [1, { "retry-after": "1" }],
  [60, { "retry-after": "60" }],
  [61, { "retry-after": "61", "x-should-retry": "false" }],
])("come again after %s s: %j", (seconds, headers) => {
  expect(retryHeaders(seconds)).toEqual(headers);
});
