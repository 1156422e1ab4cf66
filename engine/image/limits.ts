// What a request may make us hold and do on account of its pictures. Operators change these; one place has defaults.

export interface ImageLimits {
  /** Bytes of one encoded picture. */
  bytes: number;
  /** Width × height of one picture as it is stored, checked before it is decoded. */
  pixels: number;
  /** Pictures of one request. */
  perRequest: number;
  /** Most pixels after the resize; the checkpoint's own budget where it is smaller or this is absent. */
  budget: number | undefined;
  /** http(s) addresses; undefined: refused. */
  remote: RemoteLimits | undefined;
  /** Bytes of embeddings that stay on the device, for each model. */
  cacheBytes: number;
}

export interface RemoteLimits {
  /** From the first byte sent to the last byte read, redirects included. */
  timeoutMs: number;
  redirects: number;
}

export const defaultImageLimits: ImageLimits = {
  bytes: 20 * 2 ** 20,
  pixels: 50_000_000,
  perRequest: 32,
  budget: undefined,
  remote: undefined,
  cacheBytes: 128 * 2 ** 20,
};
