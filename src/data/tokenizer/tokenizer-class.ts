/** What transformers does with a tokenizer beside its tokenizer.json: by the class that a folder names, and after decoding. */
import type { Json } from '../../files/json.js'
import { sentencePieceDecoder } from './sentencepiece-decoder.js'
import type { TokenizerFiles } from './tokenizer-files.js'

/** Whether decoded text is cleaned up. Made for WordPiece; transformers ignores the setting for BPE, which it would damage. */
export function cleanUpSpaces(config: Json, model: string): boolean {
  const forced = config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output === true
  return config.clean_up_tokenization_spaces === true && (model !== 'BPE' || forced)
}

const rules: readonly (readonly [string, string])[] = [
  [' .', '.'],
  [' ?', '?'],
  [' !', '!'],
  [' ,', ','],
  [" ' ", "'"],
  [" n't", "n't"],
  [" 'm", "'m"],
  [" 's", "'s"],
  [" 've", "'ve"],
  [" 're", "'re"],
]

/** English punctuation and contractions joined to the words before them. */
export function cleanedUp(text: string): string {
  return rules.reduce((cleaned, [from, to]) => cleaned.replaceAll(from, to), text)
}

/** Model types whose tokenizers transformers reads as tokenizer.json says, even when a folder names LlamaTokenizer. */
const readAsWritten = new Set(
  (
    'glm glm4 granite granitemoe internlm2 jamba ministral ministral3 mistral mistral3 mixtral nemotron olmo2 olmo3 persimmon ' +
    'phi3 stablelm ernie4_5'
  ).split(' '),
)

/**
 * Sections of tokenizer.json that a tokenizer's class writes itself, whatever the file says. LlamaTokenizer does, in transformers 5: one
 * dummy prefix at the beginning of a text, where files of its older versions put one behind every special token, too; `legacy` and
 * `add_prefix_space` of tokenizer_config.json choose. Other classes are left to their files.
 */
export function sectionsOfClass(files: TokenizerFiles): { sections?: Json; model?: Json } {
  const { config, model, tokenizer } = files
  const named = config.tokenizer_class ?? model.tokenizer_class
  if (named !== 'LlamaTokenizer' && named !== 'LlamaTokenizerFast') return {}
  if (readAsWritten.has(String(model.model_type))) return {}
  const bytes = Buffer.from(tokenizer.buffer, tokenizer.byteOffset, tokenizer.byteLength)
  if (bytes.includes('"ByteLevel"') || !bytes.includes('"merges"')) return {}
  const prefixed = (config.add_prefix_space ?? true) !== false
  const scheme = prefixed ? (config.legacy === true ? 'always' : 'first') : 'never'
  return {
    sections: {
      normalizer: null,
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: scheme, split: false },
      decoder: sentencePieceDecoder(prefixed),
    },
    model: {
      unk_token: null,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
    },
  }
}
