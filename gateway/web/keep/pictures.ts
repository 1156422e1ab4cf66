// A file that the user attached, as a picture that models read: PNG, JPEG, WebP or GIF, no larger than they can use.

import { newId } from "./id.ts";
import type { Picture } from "./database.ts";

/** Pixels of the longer side; towers scale larger ones down anyway. */
const longest = 2048;
const readable = ["image/png", "image/jpeg", "image/webp", "image/gif"];

/** Throws an Error that names the file. */
export async function toPicture(file: File): Promise<Picture> {
  const name = file.name || "picture";
  let bitmap: ImageBitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch (error) {
    throw new Error(`${name} is not a picture that this browser can read.`, { cause: error });
  }
  const scale = Math.min(1, longest / Math.max(bitmap.width, bitmap.height));
  const width = Math.max(1, Math.round(bitmap.width * scale));
  const height = Math.max(1, Math.round(bitmap.height * scale));
  const asItIs = scale === 1 && readable.includes(file.type);
  const url = asItIs ? await dataUrl(file) : redrawn(bitmap, { width, height, type: file.type });
  bitmap.close();
  return { id: newId(), name, url, width, height };
}

function redrawn(
  bitmap: ImageBitmap,
  { width, height, type }: { width: number; height: number; type: string },
): string {
  const canvas = document.createElement("canvas");
  Object.assign(canvas, { width, height });
  canvas.getContext("2d")!.drawImage(bitmap, 0, 0, width, height);
  // Photographs stay photographs; all else may have letters and edges.
  return type === "image/jpeg" ? canvas.toDataURL("image/jpeg", 0.92) : canvas.toDataURL("image/png");
}

function dataUrl(file: File): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(new Error(`${file.name} cannot be read.`));
    reader.readAsDataURL(file);
  });
}
