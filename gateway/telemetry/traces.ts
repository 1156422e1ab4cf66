// Traces of requests, where a collector is configured: a span for the request, and below it one for each choice of a
// neuron, each cold load and each neuron's answer, with an event at the first token. A caller's `traceparent` is the
// request's parent; a neuron is sent that of its own span. No prompt and no key is in any of them.

import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  trace,
  type Attributes,
  type Context,
  type Span,
  type Tracer,
} from "@opentelemetry/api";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
import {
  BasicTracerProvider,
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
} from "@opentelemetry/sdk-trace-base";
import { performance } from "node:perf_hooks";
import type { IncomingHttpHeaders } from "node:http";
import type { Exchange } from "./exchange.ts";

export interface TraceOptions {
  /** The collector: http://host:4318. */
  endpoint: string;
  /** Of the requests that come without a sampled parent, how many are traced: 0 … 1. */
  ratio: number;
  version: string;
  /** Sent with every export: a collector's key. */
  headers?: Record<string, string>;
}

const propagator = new W3CTraceContextPropagator();

export class Traces {
  private readonly provider: BasicTracerProvider;
  private readonly tracer: Tracer;

  constructor({ endpoint, ratio, version, headers = {} }: TraceOptions) {
    const exporter = new OTLPTraceExporter({
      url: new URL("v1/traces", endpoint.endsWith("/") ? endpoint : `${endpoint}/`).href,
      headers,
    });
    this.provider = new BasicTracerProvider({
      resource: resourceFromAttributes({ "service.name": "cortex", "service.version": version }),
      sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(ratio) }),
      spanProcessors: [new BatchSpanProcessor(exporter, { scheduledDelayMillis: 2000 })],
    });
    this.tracer = this.provider.getTracer("cortex", version);
  }

  /** The span of a request, from its arrival. */
  begin(method: string, path: string, headers: IncomingHttpHeaders): RequestTrace {
    const parent = propagator.extract(ROOT_CONTEXT, headers, headerGetter);
    const attributes = { "http.request.method": method, "http.route": path };
    const span = this.tracer.startSpan(`${method} ${path}`, { kind: SpanKind.SERVER, attributes }, parent);
    return new RequestTrace(this.tracer, span, trace.setSpan(parent, span));
  }

  /** Sends what is left, for a moment at most. */
  async close(): Promise<void> {
    const moment = new Promise((wake) => setTimeout(wake, 2000).unref());
    await Promise.race([this.provider.shutdown().catch(() => undefined), moment]);
  }
}

export class RequestTrace {
  private readonly tracer: Tracer;
  private readonly span: Span;
  private readonly context: Context;

  constructor(tracer: Tracer, span: Span, context: Context) {
    this.tracer = tracer;
    this.span = span;
    this.context = context;
  }

  /** A part of the request's way that takes time of its own. */
  phase(name: "route" | "load" | "neuron", attributes: Attributes = {}): Phase {
    const kind = name === "neuron" ? SpanKind.CLIENT : SpanKind.INTERNAL;
    const span = this.tracer.startSpan(name, { kind, attributes }, this.context);
    return new Phase(span, trace.setSpan(this.context, span));
  }

  /** At the last byte. */
  end(exchange: Exchange): void {
    const { id, model, neuron, stream, attempts, status, errorCode, clientClosed, seen } = exchange;
    this.span.setAttributes({
      "http.response.status_code": status,
      "gen_ai.request.model": model,
      "gen_ai.usage.input_tokens": seen?.usage?.promptTokens,
      "gen_ai.usage.output_tokens": seen?.usage?.completionTokens,
      "cortex.request_id": id,
      "cortex.neuron": neuron,
      "cortex.stream": stream,
      "cortex.attempts": attempts,
      "cortex.cached_tokens": seen?.usage?.cachedTokens,
      "cortex.client_closed": clientClosed,
      "error.type": errorCode,
    });
    if (errorCode !== undefined) this.span.setStatus({ code: SpanStatusCode.ERROR, message: errorCode });
    const first = seen?.firstDeltaAt;
    if (first !== undefined) this.span.addEvent("first_token", performance.timeOrigin + first);
    this.span.end();
  }
}

class Phase {
  private readonly span: Span;
  private readonly context: Context;

  constructor(span: Span, context: Context) {
    this.span = span;
    this.context = context;
  }

  /** What the one who is asked needs to be part of the trace. */
  get headers(): Record<string, string> {
    const carrier: Record<string, string> = {};
    propagator.inject(this.context, carrier, headerSetter);
    return carrier;
  }

  end(failure?: string): void {
    if (failure !== undefined) {
      this.span.setAttribute("error.type", failure);
      this.span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    }
    this.span.end();
  }
}

const headerGetter = {
  keys: (carrier: IncomingHttpHeaders) => Object.keys(carrier),
  get: (carrier: IncomingHttpHeaders, key: string) => carrier[key],
};

const headerSetter = {
  set: (carrier: Record<string, string>, key: string, value: string) => {
    carrier[key] = value;
  },
};
