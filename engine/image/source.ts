// Where a picture's bytes come from: the address itself, or, where the operator allows it, the web.
import { EngineError } from "../errors.ts";
import { fetchImage } from "./fetch.ts";
import type { ImageLimits } from "./limits.ts";

/** The bytes that an `image_url` names. Errors: bad_request, naming the limit where one was met. */
export async function imageBytes(url: string, limits: ImageLimits): Promise<Uint8Array> {
  if (/^data:/i.test(url)) return dataUri(url, limits.bytes);
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0].toLowerCase();
  if (scheme !== "http:" && scheme !== "https:") {
    const got = scheme ? `an address of scheme ${scheme}` : `"${url.slice(0, 40)}", which has no scheme`;
    throw new EngineError("bad_request", `expected a data: URI of a picture, got ${got}`);
  }
  if (!limits.remote) {
    throw new EngineError("bad_request", "this server fetches no pictures from the web: send a data: URI");
  }
  return fetchImage(url, { ...limits.remote, bytes: limits.bytes });
}

/** data:[type][;parameters][;base64],payload   The type is not believed, so it is not read. */
function dataUri(url: string, most: number): Uint8Array {
  const comma = url.indexOf(",");
  if (comma < 0) throw new EngineError("bad_request", "the data: URI has no comma");
  const base64 = /;\s*base64\s*$/i.test(url.slice(0, comma));
  if ((url.length - comma) * (base64 ? 0.75 : 1) > 3 * most) throw tooLarge(most); // even if all were %xx
  const payload = url.slice(comma + 1);
  const text = payload.includes("%") ? unescaped(payload) : Buffer.from(payload, "latin1");
  const bytes = base64 ? fromBase64(text.toString("latin1")) : text;
  if (bytes.byteLength > most) throw tooLarge(most, bytes.byteLength);
  if (bytes.byteLength === 0) throw new EngineError("bad_request", "the data: URI is empty");
  return bytes;
}

function fromBase64(text: string): Buffer {
  const compact = /\s/.test(text) ? text.replace(/\s+/g, "") : text;
  const wrong = compact.search(/[^A-Za-z0-9+/_=-]/);
  if (wrong >= 0) {
    throw new EngineError("bad_request", `the data: URI is not base64: "${compact[wrong]}" at ${wrong}`);
  }
  return Buffer.from(compact, "base64");
}

/** %xx as bytes; unlike decodeURIComponent these need not be UTF-8. */
function unescaped(text: string): Buffer {
  const latin1 = text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
  return Buffer.from(latin1, "latin1");
}

function tooLarge(most: number, bytes?: number): EngineError {
  const got = bytes === undefined ? "more" : `${bytes}`;
  return new EngineError("bad_request", `a picture may have ${most} bytes, this one has ${got}`, {
    limit: most,
  });
}
