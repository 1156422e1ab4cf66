// An OpenTelemetry collector for tests: the spans that it was sent, over OTLP's JSON.

import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { onTestFinished } from "vitest";

export interface SentSpan {
  name: string;
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  attributes: Record<string, unknown>;
  events: string[];
  /** 2 is an error. */
  status: number | undefined;
  ms: number;
}

interface Value {
  stringValue?: string;
  intValue?: number | string;
  boolValue?: boolean;
}

interface RawSpan extends Pick<SentSpan, "name" | "traceId" | "spanId" | "parentSpanId"> {
  attributes: { key: string; value: Value }[];
  events?: { name: string }[];
  status?: { code?: number };
  startTimeUnixNano: string;
  endTimeUnixNano: string;
}

export async function openCollector(): Promise<{ url: string; spans: SentSpan[] }> {
  const spans: SentSpan[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    if (request.url === "/v1/traces") spans.push(...read(JSON.parse(Buffer.concat(chunks).toString())));
    response.setHeader("content-type", "application/json").end("{}");
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, spans };
}

function read(body: { resourceSpans: { scopeSpans: { spans: RawSpan[] }[] }[] }): SentSpan[] {
  const raw = body.resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans));
  return raw.map(({ name, traceId, spanId, parentSpanId, attributes, events, status, ...times }) => ({
    ...{ name, traceId, spanId, ...(parentSpanId && { parentSpanId }) },
    attributes: Object.fromEntries(attributes.map(({ key, value }) => [key, plain(value)])),
    events: (events ?? []).map((event) => event.name),
    status: status?.code,
    ms: Number(BigInt(times.endTimeUnixNano) - BigInt(times.startTimeUnixNano)) / 1e6,
  }));
}

function plain({ stringValue, intValue, boolValue }: Value): unknown {
  return stringValue ?? (intValue === undefined ? boolValue : Number(intValue));
}
