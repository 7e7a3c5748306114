/** Text to ids and back: mirror of `native/napi/tokenizer.cpp`. */

/** How {@link NativeTokenizer} encodes. */
export interface TextOptions {
  /** Puts the special tokens around the text that its post-processor names. */
  specialTokens: boolean
  offsets: boolean
  /** The text goes on from another one: what begins it takes no dummy prefix. */
  continues: boolean
}

/** Ids of texts, one text after the other. */
export interface TextEncodings {
  ids: Int32Array
  /** By text, where its ids begin; one more at the end. */
  starts: Int32Array
  /** By id, UTF-16 code units of its text; 0, 0 for special tokens around it. Only when asked for. */
  begins?: Int32Array
  ends?: Int32Array
}

export interface NativeTokenizer {
  readonly description: {
    /** BPE, Unigram, WordPiece or WordLevel. */
    model: string
    /** One more than the largest id. */
    vocabularySize: number
    specialTokens: number[]
    prefix: number[]
    suffix: number[]
  }
  encode(text: string, options: TextOptions): TextEncodings
  /** On threads of the addon, `threads` at most; 0: all cores. */
  encodeMany(texts: string[], options: TextOptions & { threads: number }): Promise<TextEncodings>
  decode(ids: Int32Array, skipSpecialTokens: boolean): string
  /** −1 when there is no such token. */
  tokenId(token: string): number
  dispose(): void
}
