/**
 * Character classes of the pre-tokenizers. The Rust tokenizers split by Unicode: a digit is any `\p{N}`, white space is
 * `\p{White_Space}`. JavaScript's `\d` is ASCII, and its `\s` holds U+FEFF and lacks U+0085; the two patterns that the
 * JavaScript library writes with them are replaced here, so that ids agree on every text.
 */

/** The library's pre-tokenizer objects, as far as they are touched here. */
export interface PreTokenizerPart {
  config?: { type?: string; individual_digits?: boolean }
  pattern?: RegExp | null
  /** The members of a sequence. */
  tokenizers?: (PreTokenizerPart | null)[]
}

/** GPT-2's word pattern with Unicode's white space. */
const byteLevelPattern =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu

/** Mends `part` and everything below it in place. */
export function useUnicodeClasses(part: PreTokenizerPart | null): void {
  if (part === null) return
  for (const inner of part.tokenizers ?? []) useUnicodeClasses(inner)
  if (part.config?.type === 'ByteLevel') part.pattern = byteLevelPattern
  if (part.config?.type === 'Digits')
    part.pattern = part.config.individual_digits ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu
}
