// What OpenAI and Anthropic publish of their answers' shapes: the types of their SDKs, which are generated from their
// API documents. schemas.ts makes JSON schemas of these.

import type Anthropic from "@anthropic-ai/sdk";
import type OpenAI from "openai";

export interface OfOpenAi {
  chatCompletion: OpenAI.ChatCompletion;
  chatChunk: OpenAI.ChatCompletionChunk;
  completion: OpenAI.Completion;
  model: OpenAI.Models.Model;
  response: OpenAI.Responses.Response;
  responseEvent: OpenAI.Responses.ResponseStreamEvent;
  error: OpenAI.ErrorObject;
}

export interface OfAnthropic {
  message: Anthropic.Message;
  messageEvent: Anthropic.RawMessageStreamEvent;
  tokensCount: Anthropic.MessageTokensCount;
  modelInfo: Anthropic.ModelInfo;
  error: Anthropic.ErrorResponse;
}
