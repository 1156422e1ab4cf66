export { defaultImageLimits, type ImageLimits, type RemoteLimits } from "./limits.ts";
export { LruCache } from "./lru.ts";
export { gridOf, patchOrder, patchRows, tokensOf, type Grid } from "./patches.ts";
export { ImagePreparer, type PreparedImage } from "./prepare.ts";
export { parseImageSettings, readImageSettings, type ImageSettings } from "./settings.ts";
