/** The arithmetic that the protocol is given: what is said in a federation needs no engine of its own. As `src/native/binding/masking.ts`. */

interface Grid {
  clip: number
  bits: number
  wordBytes: 2 | 4
}

export interface MaskingEngine {
  addMasks(words: Uint8Array, wordBytes: 2 | 4, added: Uint8Array, subtracted: Uint8Array): void
  addWords(sums: Uint8Array, wordBytes: 2 | 4, words: Uint8Array): void
  quantizeWeighted(
    values: Float32Array,
    words: Uint8Array,
    options: Grid & { weight: number; seed: number; stream: number },
  ): void
  dequantizeMean(sums: Uint8Array, mean: Float32Array | Float64Array, options: Grid & { total: number }): void
  shamirShare(secret: Uint8Array, coefficients: Uint8Array, place: number): Uint8Array
  shamirJoin(places: Uint8Array, shares: Uint8Array, place: number): Uint8Array
}
