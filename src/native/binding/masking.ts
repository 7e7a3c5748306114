/** Masking for secure aggregation: mirror of `native/napi/masking.cpp`. Words are little-endian, of 2 or 4 bytes, and wrap around. */
import type { Vector } from './vectors.js'

/** The grid of the quantisation: 2^bits values from −clip to clip. */
export interface MaskingGrid {
  clip: number
  /** 1 to 24. */
  bits: number
  wordBytes: 2 | 4
}

export interface NativeMasking {
  /** words += Σ stream(added) − Σ stream(subtracted), in place; keys of 32 bytes lie one after the other. */
  addMasks(words: Uint8Array, wordBytes: 2 | 4, added: Uint8Array, subtracted: Uint8Array, threads?: number): void
  /** sums += words, in place. */
  addWords(sums: Uint8Array, wordBytes: 2 | 4, words: Uint8Array): void
  /** words = weight · q(values), rounded by draws of (seed, stream). Throws `E_NONFINITE` for NaN. */
  quantizeWeighted(
    values: Float32Array,
    words: Uint8Array,
    options: MaskingGrid & { weight: number; seed: number; stream: number },
  ): void
  /** mean = what sums of words of a total weight stand for. */
  dequantizeMean(sums: Uint8Array, mean: Vector, options: MaskingGrid & { total: number }): void
  /** The share of a secret at a place from 1 to 255; `coefficients`: threshold − 1 of them, as long as the secret. */
  shamirShare(secret: Uint8Array, coefficients: Uint8Array, place: number): Uint8Array
  /** What the polynomial through the shares, which lie one after the other, is at a place: at 0 the secret. */
  shamirJoin(places: Uint8Array, shares: Uint8Array, place: number): Uint8Array
}
