/** Rows of tokens, as the engine takes them. */

/** Rows concatenated without padding. `labels[i]` belongs to `ids[i]` as in Hugging Face (−100: not supervised); the engine shifts within each row. */
export interface TokenBatch {
  ids: Int32Array
  labels: Int32Array
  lengths: Int32Array
}
