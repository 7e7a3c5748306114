/** The tokenizer of a GGUF file as the files that a Hugging Face folder would have. */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'
import { type GgufMetadata, readGguf } from '../../gguf/metadata.js'
import { bytePairKinds } from '../../gguf/tokenizer-kinds.js'
import { sentencePieceDecoder } from './sentencepiece-decoder.js'
import { mergesByScore } from './sentencepiece-merges.js'
import type { TokenizerFiles } from './tokenizer-files.js'

/** Kinds of tokens: `tokenizer.ggml.token_type`. */
const unknownType = 2
const controlType = 3
const userDefinedType = 4

const key = (name: string) => `tokenizer.ggml.${name}`

function refuse(path: string, message: string): never {
  throw new FedloraError('E_TOKENIZER', `${path}: ${message}`, { folder: path })
}

interface Vocabulary {
  tokens: readonly string[]
  types: readonly number[]
  scores: readonly number[]
}

function readVocabulary(metadata: GgufMetadata): Vocabulary {
  const tokens = metadata.texts(key('tokens'))
  if (tokens === undefined || tokens.length === 0) {
    refuse(
      metadata.path,
      'holds no tokenizer (tokenizer.ggml.tokens); load the tokenizer of the Hugging Face folder that the model was made from',
    )
  }
  const types = metadata.numbers(key('token_type')) ?? tokens.map(() => 1)
  const scores = metadata.numbers(key('scores')) ?? []
  for (const [name, list] of [
    ['token_type', types],
    ['scores', scores],
  ] as const) {
    if (list.length !== 0 && list.length !== tokens.length)
      refuse(metadata.path, `${key(name)} has ${list.length} elements for ${tokens.length} tokens; get the file anew`)
  }
  const vocab = new Map<string, number>()
  tokens.forEach((token, id) => {
    if (vocab.has(token))
      refuse(
        metadata.path,
        `the tokens ${vocab.get(token)} and ${id} are both ${JSON.stringify(token)}; get the file anew`,
      )
    vocab.set(token, id)
  })
  return { tokens, types, scores }
}

/** `added_tokens` of tokenizer.json: what is looked for in a text before anything else. */
function addedTokens({ tokens, types }: Vocabulary): Json[] {
  return tokens.flatMap((content, id) => {
    const special = types[id] === controlType || types[id] === unknownType
    if (!special && types[id] !== userDefinedType) return []
    return [{ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special }]
  })
}

/** The tokens around a text: those that the file asks for. */
function postProcessor(metadata: GgufMetadata, { tokens }: Vocabulary, begins: boolean): Json | null {
  const around = (name: string, wanted: boolean) => {
    const id = metadata.whole(key(`${name}_token_id`))
    return (metadata.flag(key(`add_${name}_token`)) ?? wanted) && id !== undefined && tokens[id] !== undefined
      ? [id]
      : []
  }
  const before = around('bos', begins)
  const after = around('eos', false)
  if (before.length + after.length === 0) return null
  const special = (id: number) => ({ SpecialToken: { id: tokens[id], type_id: 0 } })
  const text = (id: string) => ({ Sequence: { id, type_id: 0 } })
  return {
    type: 'TemplateProcessing',
    single: [...before.map(special), text('A'), ...after.map(special)],
    pair: [
      ...before.map(special),
      text('A'),
      ...after.map(special),
      ...before.map(special),
      text('B'),
      ...after.map(special),
    ],
    special_tokens: Object.fromEntries(
      [...before, ...after].map((id) => [tokens[id], { id: tokens[id], ids: [id], tokens: [tokens[id]] }]),
    ),
  }
}

const bytePairModel = {
  type: 'BPE',
  dropout: null,
  unk_token: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
  fuse_unk: false,
  byte_fallback: false,
}

/** Sections of a byte-level BPE. */
function bytePairSections(metadata: GgufMetadata, vocabulary: Vocabulary): Json {
  const name = metadata.text(key('pre')) ?? 'default'
  const kind = bytePairKinds.get(name)
  if (kind === undefined) {
    refuse(
      metadata.path,
      `its texts are split by '${name}' (tokenizer.ggml.pre), which is not known; known are ${[...bytePairKinds.keys()].join(', ')}. ` +
        'Give the tokenizer of the Hugging Face folder that the model was made from',
    )
  }
  const merges =
    metadata.texts(key('merges')) ?? refuse(metadata.path, 'has no tokenizer.ggml.merges; get the file anew')
  return {
    normalizer: kind.normalizer,
    pre_tokenizer: kind.preTokenizer,
    post_processor: postProcessor(metadata, vocabulary, kind.begins),
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: { ...bytePairModel, ignore_merges: kind.ignoreMerges, merges },
  }
}

/**
 * Sections of sentencepiece's BPE: `▁` before every text, one that begins with a space too, as sentencepiece and llama.cpp have it; merges by
 * the scores of the pieces; characters that are no piece as bytes.
 */
function sentencePieceSections(metadata: GgufMetadata, vocabulary: Vocabulary): Json {
  const { tokens, scores } = vocabulary
  if (scores.length === 0) refuse(metadata.path, 'has no tokenizer.ggml.scores; get the file anew')
  const charsmap = metadata.numbers(key('precompiled_charsmap'))
  if (charsmap !== undefined && charsmap.length > 0) {
    refuse(
      metadata.path,
      'its texts are normalised by a table (tokenizer.ggml.precompiled_charsmap), which is not applied; give the tokenizer of the Hugging Face folder',
    )
  }
  const prefixed = metadata.flag(key('add_space_prefix')) ?? true
  const unknown = tokens[metadata.whole(key('unknown_token_id')) ?? 0] ?? null
  const spaces = { type: 'Replace', pattern: { String: ' ' }, content: '▁' }
  return {
    normalizer: { type: 'Sequence', normalizers: [...(prefixed ? [{ type: 'Prepend', prepend: '▁' }] : []), spaces] },
    pre_tokenizer: null,
    post_processor: postProcessor(metadata, vocabulary, true),
    decoder: sentencePieceDecoder(prefixed),
    model: {
      ...bytePairModel,
      unk_token: unknown,
      fuse_unk: true,
      byte_fallback: true,
      ignore_merges: false,
      merges: mergesByScore(tokens, scores, vocabulary.types),
    },
  }
}

const models: Readonly<Record<string, (metadata: GgufMetadata, vocabulary: Vocabulary) => Json>> = {
  gpt2: bytePairSections,
  llama: sentencePieceSections,
}

/** `chat_template` of tokenizer_config.json: one text, or several by name. */
function chatTemplates(metadata: GgufMetadata): unknown {
  const prefix = 'tokenizer.chat_template'
  const main = metadata.text(prefix)
  const named = metadata.names.filter((name) => name.startsWith(`${prefix}.`))
  if (named.length === 0) return main
  const others = named.map((name) => ({ name: name.slice(prefix.length + 1), template: metadata.text(name)! }))
  return main === undefined ? others : [{ name: 'default', template: main }, ...others]
}

/** Names of special tokens: the file's and transformers'. */
const named = {
  bos: 'bos',
  eos: 'eos',
  unknown: 'unk',
  seperator: 'sep',
  separator: 'sep',
  padding: 'pad',
  cls: 'cls',
  mask: 'mask',
} as const

/**
 * Reads the tokenizer of a file, with or without tensors.
 * @throws FedloraError `E_TOKENIZER` for a kind that is not known, by name, and for lists that do not fit one another; as `readGguf`.
 */
export function readGgufTokenizer(path: string): TokenizerFiles {
  const metadata = readGguf(path, true)
  const name =
    metadata.text(key('model')) ??
    refuse(path, 'holds no tokenizer (tokenizer.ggml.model); load the tokenizer of a Hugging Face folder')
  const sections = Object.hasOwn(models, name) ? models[name] : undefined
  if (sections === undefined) {
    refuse(
      path,
      `its tokenizer is of the kind '${name}' (tokenizer.ggml.model), which is not read; read are gpt2 (byte-level BPE) and llama (sentencepiece BPE)`,
    )
  }
  const vocabulary = readVocabulary(metadata)
  const { tokens } = vocabulary
  const { model, ...others } = sections(metadata, vocabulary)
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]))
  const tokenizer = Buffer.from(
    JSON.stringify({
      version: '1.0',
      truncation: null,
      padding: null,
      added_tokens: addedTokens(vocabulary),
      ...others,
      model: { ...(model as Json), vocab },
    }),
  )
  const config: Json = { added_tokens_decoder: {}, chat_template: chatTemplates(metadata) }
  for (const [own, theirs] of Object.entries(named)) {
    const id = metadata.whole(key(`${own}_token_id`))
    if (id !== undefined && tokens[id] !== undefined) config[`${theirs}_token`] = tokens[id]
  }
  const ends = metadata.endTokenIds()
  return {
    tokenizer,
    config,
    specialTokensMap: {},
    addedTokens: {},
    model: {},
    generation: { eos_token_id: ends },
    chatTemplate: null,
    namedChatTemplates: new Map(),
    digest: createHash('sha256')
      .update(tokenizer)
      .update(JSON.stringify([config, ends]))
      .digest('hex'),
  }
}
