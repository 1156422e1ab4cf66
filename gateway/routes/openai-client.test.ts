import OpenAI, { APIError, NotFoundError } from "openai";
import { expect, test } from "vitest";
import { openGateway, openNeuron } from "../fixtures/gateway.fixture.ts";
import { delta, done, finish, json, openStream, role, usageChunk } from "../fixtures/mock-neuron.fixture.ts";

const messages = [{ role: "user" as const, content: "Hello" }];

async function client() {
  const neuron = await openNeuron("org/demo");
  neuron.answer = (request, response) => {
    const { stream } = JSON.parse(request.body) as { stream?: boolean };
    const message = { role: "assistant", content: "Hello you" };
    if (request.path === "/v1/completions")
      return json(response, 200, { choices: [{ index: 0, text: " there" }] });
    if (!stream) return json(response, 200, { choices: [{ index: 0, message, finish_reason: "stop" }] });
    openStream(response);
    response.end(role + delta("Hello") + delta(" you") + finish + usageChunk(4, 2, 0) + done);
  };
  const gateway = await openGateway({ neurons: { a: neuron } });
  return { neuron, openai: new OpenAI({ baseURL: `${gateway.url}/v1`, apiKey: "none", maxRetries: 0 }) };
}

test("chat, text completion and models, through the openai client", async () => {
  const { openai } = await client();
  const answer = await openai.chat.completions.create({ model: "org/demo", messages });
  expect(answer.choices[0]!.message.content).toBe("Hello you");
  expect(answer._request_id).toMatch(/^[0-9a-f-]{36}$/);
  const text = await openai.completions.create({ model: "org/demo", prompt: "Hello" });
  expect(text.choices[0]!.text).toBe(" there");
  expect((await openai.models.list()).data.map(({ id }) => id)).toEqual(["org/demo"]);
  expect((await openai.models.retrieve("org/demo")).owned_by).toBe("cortex");
});

test.each([true, false])("a stream, usage asked for: %s", async (include_usage) => {
  const { openai } = await client();
  const stream = await openai.chat.completions.create({
    ...{ model: "org/demo", messages, stream: true as const },
    ...(include_usage && { stream_options: { include_usage } }),
  });
  let text = "";
  const usages: unknown[] = [];
  for await (const chunk of stream) {
    text += chunk.choices[0]?.delta.content ?? "";
    if (chunk.usage) usages.push(chunk.usage.completion_tokens);
  }
  expect([text, usages]).toEqual(["Hello you", include_usage ? [2] : []]);
});

test("the helper that insists on a whole stream is content", async () => {
  const { openai } = await client();
  const stream = openai.chat.completions.stream({ model: "org/demo", messages });
  expect((await stream.finalChatCompletion()).choices[0]!.message.content).toBe("Hello you");
});

test("errors are what the client expects: before the stream, and within it", async () => {
  const { openai, neuron } = await client();
  await expect(openai.chat.completions.create({ model: "no", messages })).rejects.toThrow(NotFoundError);
  neuron.answer = async (_, response) => {
    openStream(response);
    response.write(role + delta("Hel"));
    await new Promise((resolve) => setTimeout(resolve, 30));
    response.destroy();
  };
  const stream = await openai.chat.completions.create({ model: "org/demo", messages, stream: true });
  const read = async () => {
    for await (const chunk of stream) expect(chunk.choices).toHaveLength(1);
  };
  const error = await read().catch((e: unknown) => e);
  expect(error).toBeInstanceOf(APIError);
  expect((error as APIError).code).toBe("upstream_interrupted");
});

test("breaking off a stream ends the neuron's work", async () => {
  const { openai, neuron } = await client();
  neuron.answer = (_, response) => {
    openStream(response);
    response.write(role + delta("Hel"));
  };
  const stream = await openai.chat.completions.create({ model: "org/demo", messages, stream: true });
  for await (const chunk of stream) if (chunk.choices[0]?.delta.content) break;
  await neuron.requests[0]!.aborted;
});
