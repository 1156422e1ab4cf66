// The pictures of a chat: found among its messages, prepared, and given their places in the prompt.
import { EngineError } from "../errors.ts";
import type { ImagePreparer, PreparedImage } from "../image/prepare.ts";
import type { ChatRequest, RequestImage } from "./types.ts";

interface Place {
  url: string;
  /** Index of the message and of the part in it. */
  message: number;
  part: number;
}

/** Every picture of the request, in order. */
export function picturesOf({ messages }: ChatRequest): Place[] {
  return messages.flatMap(({ content }, message) =>
    typeof content === "string" || !content
      ? []
      : content.flatMap((item, part) =>
          item.type === "image_url" ? [{ url: item.image_url.url, message, part }] : [],
        ),
  );
}

/** Prepares them. Errors: vision_unsupported; bad_request with the part's path, naming the limit where one was met. */
export async function preparePictures(
  preparer: ImagePreparer | undefined,
  request: ChatRequest,
  signal?: AbortSignal,
): Promise<PreparedImage[]> {
  const places = picturesOf(request);
  const [first] = places;
  if (!first) return [];
  if (!preparer)
    throw failed(first, "vision_unsupported", "there is a picture, and this model reads text only");
  const most = preparer.limits.perRequest;
  if (places.length > most) {
    const message = `a request may have ${most} pictures, this one has ${places.length}`;
    throw failed(places[most]!, "bad_request", message);
  }
  const making = places.map(async (place) => {
    try {
      return await preparer.prepare(place.url, signal);
    } catch (error) {
      if (signal?.aborted) throw new EngineError("cancelled", "the request was cancelled");
      if (!(error instanceof EngineError)) throw error;
      throw failed(place, error.code, error.message, error.details);
    }
  });
  return Promise.all(making);
}

/**
 * The template writes one `imageToken` for each picture; here it becomes as many as the picture has tokens.
 * Errors: bad_request where somebody wrote such tokens into the text.
 */
export function placePictures(
  ids: readonly number[],
  imageToken: number,
  pictures: readonly PreparedImage[],
): { ids: number[]; images: RequestImage[] } {
  const written = ids.filter((id) => id === imageToken).length;
  if (written !== pictures.length) {
    const message = `the prompt has ${written} picture tokens for ${pictures.length} pictures`;
    throw new EngineError("bad_request", `messages: ${message}: a text holds the token itself`, {
      param: "messages",
    });
  }
  const expanded: number[] = [];
  const images: RequestImage[] = [];
  for (const id of ids) {
    if (id !== imageToken) {
      expanded.push(id);
      continue;
    }
    const { rgb, height, width, grid, hash, tokens } = pictures[images.length]!;
    images.push({ rgb, height, width, grid, hash, at: expanded.length });
    for (let i = 0; i < tokens; i += 1) expanded.push(imageToken);
  }
  return { ids: expanded, images };
}

function failed(
  { message, part }: Place,
  code: EngineError["code"],
  text: string,
  details: Readonly<Record<string, unknown>> = {},
): EngineError {
  const param = `messages.${message}.content.${part}`;
  return new EngineError(code, `${param}: ${text}`, { ...details, param });
}
