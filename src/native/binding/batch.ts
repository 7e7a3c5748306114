/** Rows of tokens, as the engine takes them. */

/** Rows concatenated without padding. `labels[i]` belongs to `ids[i]` as in Hugging Face (−100: not supervised); the engine shifts within each row. */
export interface TokenBatch {
  ids: Int32Array
  labels: Int32Array
  lengths: Int32Array
  /** Of each row's losses, from 0 on; default 1 each. Nothing of a row of weight 0 is supervised. Sums and means of losses are weighted. */
  weights?: Float64Array
}
