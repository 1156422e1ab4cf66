// The page at /: a handful of built files, read once, each with a route of its own, so that no path leads elsewhere.

import { readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { gzipSync } from "node:zlib";
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";

export interface PageFile {
  type: string;
  body: Buffer;
  zipped: Buffer;
}

export interface Page {
  index: PageFile;
  /** By path: "/assets/…" and the few others. */
  files: ReadonlyMap<string, PageFile>;
}

const types: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".txt": "text/plain; charset=utf-8",
};

/** The page talks to its own gateway and to nobody else; pictures may come from what the user attached. */
const policy = [
  "default-src 'none'",
  ...["script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'"],
  ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
  ...["require-trusted-types-for 'script'", "trusted-types 'none'"],
].join("; ");

/** Undefined when nothing has been built there. */
export function readPage(folder: string): Page | undefined {
  const names = filesIn(folder).filter((name) => extname(name) in types);
  const files = new Map(names.map((name) => [`/${name}`, readFile(folder, name)]));
  const index = files.get("/index.html");
  files.delete("/index.html");
  return index && { index, files };
}

/** Browsers ask for HTML by name; scripts and curl, which take anything, get the fleet's health as JSON. */
export function wantsPage({ headers }: FastifyRequest): boolean {
  return (headers.accept ?? "")
    .split(",")
    .some((range) => /^\s*text\/html\s*(;(?!\s*q=0(\.0*)?\s*$)|$)/i.test(range));
}

export function sendPage({ index }: Page, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.header("content-security-policy", policy);
  reply.header("referrer-policy", "no-referrer");
  reply.header("cross-origin-opener-policy", "same-origin");
  reply.header("cache-control", "no-cache");
  return send(index, request, reply);
}

export async function pageRoutes(app: FastifyInstance, { page }: { page: Page }): Promise<void> {
  for (const [path, file] of page.files)
    app.get(path, { config: { access: "open" } }, async (request, reply) => {
      // The build names what is in assets/ by its contents.
      const lasting = path.startsWith("/assets/");
      reply.header("cache-control", lasting ? "public, max-age=31536000, immutable" : "no-cache");
      return send(file, request, reply);
    });
}

function send(file: PageFile, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply.type(file.type).header("x-content-type-options", "nosniff").header("vary", "accept, accept-encoding");
  if (!/\bgzip\b/.test(request.headers["accept-encoding"] ?? "")) return reply.send(file.body);
  return reply.header("content-encoding", "gzip").send(file.zipped);
}

function readFile(folder: string, name: string): PageFile {
  const body = readFileSync(join(folder, name));
  return { type: types[extname(name)]!, body, zipped: gzipSync(body, { level: 9 }) };
}

/** Paths with "/" in them, relative to the folder; none where there is no folder. */
function filesIn(folder: string): string[] {
  try {
    const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
    return names.map((name) => name.replaceAll("\\", "/"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
