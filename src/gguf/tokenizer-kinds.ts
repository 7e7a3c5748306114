/**
 * How llama.cpp's kinds of byte-level BPE (`tokenizer.ggml.pre`) split a text, as sections of tokenizer.json. Each is what the
 * tokenizer.json of the model has that the kind is named after. Source: github.com/ggml-org/llama.cpp, src/llama-vocab.cpp.
 */
import type { Json } from '../files/json.js'

export interface BytePairKind {
  readonly normalizer: Json | null
  readonly preTokenizer: Json
  /** Whole words of the vocabulary are taken before merges are looked at. */
  readonly ignoreMerges: boolean
  /** The text gets the begin token where the file does not say. */
  readonly begins: boolean
}

const bytes = (useRegex: boolean): Json => ({
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: useRegex,
})
const sequence = (...pretokenizers: Json[]): Json => ({ type: 'Sequence', pretokenizers })
const split = (pattern: string): Json =>
  sequence({ type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false }, bytes(false))

const contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const spaces = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
/** Words, digits in runs of so many, punctuation: the shape that GPT-4's pattern and its descendants share. */
const words = (digits: string) =>
  `${contractions}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${spaces}`
const upper = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const lower = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
/** Words cut where capitals begin, with an ending such as a contraction. */
const cased = (ending: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${ending}|${digits}` +
  `| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${spaces}`

const kind = (preTokenizer: Json, more: Partial<BytePairKind> = {}): BytePairKind => ({
  normalizer: null,
  preTokenizer,
  ignoreMerges: false,
  begins: false,
  ...more,
})

const gpt2 = kind(bytes(true))
const digitByDigit = kind(sequence({ type: 'Digits', individual_digits: true }, bytes(true)))
const llama3 = kind(split(words('\\p{N}{1,3}')), { ignoreMerges: true, begins: true })
const qwen2 = kind(split(words('\\p{N}')), { normalizer: { type: 'NFC' } })

/** By the name in the file. */
export const bytePairKinds: ReadonlyMap<string, BytePairKind> = new Map([
  ['gpt-2', gpt2],
  ['phi-2', gpt2],
  ['olmo', gpt2],
  ['smollm', digitByDigit],
  ['starcoder', digitByDigit],
  ['refact', digitByDigit],
  ['llama-bpe', llama3],
  ['dbrx', kind(split(words('\\p{N}{1,3}')))],
  ['smaug-bpe', kind(split(words('\\p{N}{1,3}')))],
  ['qwen2', qwen2],
  ['tekken', kind(split(cased('', '\\p{N}')), { ignoreMerges: true, begins: true })],
  ['gpt-4o', kind(split(cased(`${contractions}?`, '\\p{N}{1,3}')))],
])
