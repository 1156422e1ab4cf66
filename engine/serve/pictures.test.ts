// Chats with pictures up to the token ids, against the demo model's goldens; and what is refused, by its path.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { demoModel } from "../../test-fixtures/golden.ts";
import { defaultImageLimits, ImagePreparer, readImageSettings } from "../image/index.ts";
import { picturesOf, placePictures, preparePictures } from "./pictures.ts";
import { loadText, renderChat } from "./text.ts";
import type { ChatMessage, ChatRequest } from "./types.ts";

interface DemoCase {
  id: string;
  messages: ChatMessage[];
  enable_thinking: boolean;
  image_grid_thw: number[][];
  prompt_ids: number[];
}

const imageToken = 1522;
const { cases } = JSON.parse(readFileSync(join(demoModel, "../golden/cases.json"), "utf8")) as {
  cases: DemoCase[];
};
const shown = cases.filter(({ messages }) => picturesOf({ messages, options: {} }).length > 0);
const text = await loadText(demoModel);
const preparer = new ImagePreparer((await readImageSettings(demoModel))!, defaultImageLimits);

test.each(shown.map((one) => [one.id, one] as const))(
  "%s: the reference's prompt, id by id",
  async (_, one) => {
    const request = {
      messages: one.messages,
      templateArguments: { enable_thinking: one.enable_thinking },
      options: {},
    };
    const pictures = await preparePictures(preparer, request);
    const { ids, images } = renderChat(text, request, { imageToken, pictures });
    expect(ids).toEqual(one.prompt_ids);
    expect(images.map(({ grid }) => grid)).toEqual(one.image_grid_thw);
    for (const { at, grid } of images) {
      expect(ids[at - 1]).not.toBe(imageToken);
      expect(ids.slice(at, at + (grid[1] * grid[2]) / 4).every((id) => id === imageToken)).toBe(true);
    }
  },
);

test("there are cases with two pictures, and with text between them", () => {
  expect(shown.length).toBeGreaterThan(10);
  expect(shown.filter(({ image_grid_thw: grids }) => grids.length === 2).length).toBeGreaterThan(2);
});

const picture = picturesOf({ messages: shown[0]!.messages, options: {} })[0]!.url;
const ask = (...urls: string[]): ChatRequest => ({
  messages: [
    { role: "system", content: "Look." },
    {
      role: "user",
      content: [
        { type: "text", text: "Well?" },
        ...urls.map((url) => ({ type: "image_url" as const, image_url: { url } })),
      ],
    },
  ],
  options: {},
});

test.each([
  [
    "a broken picture",
    ask(picture, "data:image/png;base64,iVBORw0KGgo="),
    "messages.1.content.2",
    "cannot be decoded",
  ],
  ["an address", ask("https://example.com/a.png"), "messages.1.content.1", "fetches no pictures"],
  [
    "too many",
    ask(...Array<string>(33).fill(picture)),
    "messages.1.content.33",
    "may have 32 pictures, this one has 33",
  ],
])("%s: 400 with its path", async (_, request, param, message) => {
  await expect(preparePictures(preparer, request)).rejects.toMatchObject({
    code: "bad_request",
    message: expect.stringMatching(`^${param}: .*${message}`),
    details: { param },
  });
});

test("a model that reads text only", async () => {
  await expect(preparePictures(undefined, ask(picture))).rejects.toMatchObject({
    code: "vision_unsupported",
  });
  expect(await preparePictures(undefined, ask())).toEqual([]);
});

test("a request that is cancelled meanwhile", async () => {
  const other = new ImagePreparer(preparer.settings, defaultImageLimits);
  await expect(preparePictures(other, ask(picture), AbortSignal.abort())).rejects.toMatchObject({
    code: "cancelled",
  });
});

test("picture tokens that somebody wrote are no pictures", async () => {
  const pictures = await preparePictures(preparer, ask(picture));
  expect(() => placePictures([1, imageToken, 2, imageToken], imageToken, pictures)).toThrow(
    "messages: the prompt has 2 picture tokens for 1 pictures",
  );
  const written = { messages: [{ role: "user", content: "<|image_pad|>" }], options: {} };
  expect(
    renderChat(text, written, { imageToken, pictures: [] }).ids.filter((id) => id === imageToken),
  ).toHaveLength(1);
});
