// Schemas at the edge: a value comes out typed, or the error says where it is wrong and what was found there.

import * as v from "valibot";
import { EngineError } from "../engine/errors.ts";

/** The parsed body of a request; throws bad_request with the path of the first wrong field in `param`. */
export function check<S extends v.GenericSchema>(schema: S, value: unknown): v.InferOutput<S> {
  const result = v.safeParse(schema, value, { abortEarly: true });
  if (result.success) return result.output;
  const issue = result.issues[0];
  // Both may hold what the caller wrote, which may be long.
  const param = v.getDotPath(issue)?.slice(0, 200);
  const message = issue.message.slice(0, 400);
  throw new EngineError("bad_request", param === undefined ? message : `${param}: ${message}`, { param });
}
