/** The tokenizer of a Hugging Face folder as the keys that llama.cpp reads. */
import { join } from 'node:path'
import { loadTokenizer } from '../../data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../../data/tokenizer/tokenizer.js'
import {
  declaredTokens,
  namedSpecialTokens,
  readTokenizerFiles,
  type TokenizerFiles,
} from '../../data/tokenizer/tokenizer-files.js'
import { FedloraError } from '../../errors.js'
import { exists } from '../../files/atomic.js'
import { canonicalJson } from '../../files/canonical-json.js'
import type { Json } from '../../files/json.js'
import { bytePairKinds } from '../../gguf/tokenizer-kinds.js'
import type { GgufField } from '../../native/binding.js'
import { flag, int, number, text, whole } from './keys.js'

const key = (name: string) => `tokenizer.ggml.${name}`

/** Kinds of tokens. */
const kinds = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 }

interface Parts {
  model: Json & { vocab: Record<string, number>; merges: (string | [string, string])[] }
  preTokenizer: unknown
  ignoreMerges: boolean
}

function refuse(folder: string, why: string): never {
  throw new FedloraError(
    'E_UNSUPPORTED',
    `GGUF: the tokenizer of '${folder}' ${why}; merge into a folder, and convert it with llama.cpp's convert_hf_to_gguf.py`,
    { folder },
  )
}

function partsOf(folder: string, { tokenizer }: TokenizerFiles): Parts {
  const file = JSON.parse(Buffer.from(tokenizer.buffer, tokenizer.byteOffset, tokenizer.byteLength).toString()) as Json
  const model = file.model as Parts['model']
  if (model?.type !== 'BPE' && !(model?.type === undefined && Array.isArray(model?.merges))) {
    refuse(folder, `is of the type ${String(model?.type)}, only BPE is written`)
  }
  return { model, preTokenizer: file.pre_tokenizer, ignoreMerges: model.ignore_merges === true }
}

/** A pre-tokenizer by what it does, whatever is left out in writing. */
function essence(value: unknown): unknown {
  const { type, ...rest } = (value ?? {}) as Json
  if (type === 'Sequence') {
    const list = (rest.pretokenizers as unknown[]).map(essence)
    return list.length === 1 ? list[0] : list
  }
  if (type === 'ByteLevel') return ['ByteLevel', rest.add_prefix_space ?? true, rest.use_regex ?? true]
  if (type === 'Digits') return ['Digits', rest.individual_digits ?? false]
  return [type, rest.pattern ?? null, rest.behavior ?? null, rest.invert ?? false]
}

/** The name of the kind that splits texts as the folder's tokenizer does. */
function kindOf(folder: string, { preTokenizer, ignoreMerges }: Parts): string {
  const wanted = canonicalJson(essence(preTokenizer))
  const alike = [...bytePairKinds].filter(([, kind]) => canonicalJson(essence(kind.preTokenizer)) === wanted)
  const found = alike.find(([, kind]) => kind.ignoreMerges === ignoreMerges) ?? alike[0]
  return found?.[0] ?? refuse(folder, 'splits texts in a way that has no name in llama.cpp')
}

/** Kinds of the added tokens, by id. */
function addedKinds(tokenizer: Tokenizer, files: TokenizerFiles): Map<number, number> {
  const file = JSON.parse(Buffer.from(files.tokenizer).toString()) as Json
  const added = [...((file.added_tokens ?? []) as Json[]), ...declaredTokens(files)]
  const types = new Map<number, number>()
  for (const { content, special } of added) {
    const id = tokenizer.tokenId(String(content))
    if (id !== undefined) types.set(id, special === true ? kinds.control : kinds.userDefined)
  }
  return types
}

/** Tokens by id with their kinds; ids of the embedding that have no token get a name that no text has. */
function vocabularyFields(
  parts: Parts,
  tokenizer: Tokenizer,
  files: TokenizerFiles,
  size: number,
  pieces: boolean,
): GgufField[] {
  const added = addedKinds(tokenizer, files)
  const tokens = Array.from({ length: size }, (_, id) => `[PAD${id}]`)
  const types = new Array<number>(size).fill(kinds.unused)
  for (const [token, id] of Object.entries(parts.model.vocab)) {
    if (id >= size) continue
    tokens[id] = token
    types[id] = pieces && /^<0x[0-9A-F]{2}>$/.test(token) ? kinds.byte : kinds.normal
  }
  const contents = new Map([...added.keys()].map((id) => [id, tokenizer.decode([id])]))
  for (const [id, type] of added) {
    if (id >= size) continue
    if (types[id] === kinds.unused) tokens[id] = contents.get(id)!
    types[id] = type
  }
  const unknown = parts.model.unk_token
  const unknownId = typeof unknown === 'string' ? tokenizer.tokenId(unknown) : undefined
  if (pieces && unknownId !== undefined && unknownId < size) types[unknownId] = kinds.unknown
  return [text(key('tokens'), tokens), int(key('token_type'), types)]
}

const pairOf = (merge: string | [string, string]): [string, string] =>
  typeof merge === 'string' ? (merge.split(' ') as [string, string]) : merge

/** Scores that merge in the order of the merges: the n-th merge makes a piece of the score −n. */
function scoresOf({ model: { merges, vocab } }: Parts, size: number): number[] {
  const scores = new Array<number>(size).fill(0)
  merges.forEach((merge, rank) => {
    const id = vocab[pairOf(merge).join('')]
    if (id !== undefined && id < size && scores[id] === 0) scores[id] = -(rank + 1)
  })
  return scores
}

function templateFields(files: TokenizerFiles): GgufField[] {
  const prefix = 'tokenizer.chat_template'
  const named = files.config.chat_template
  if (files.chatTemplate !== null) return [text(prefix, files.chatTemplate)]
  if (typeof named === 'string') return [text(prefix, named)]
  if (!Array.isArray(named)) return []
  return named.map(({ name, template }) => text(name === 'default' ? prefix : `${prefix}.${name}`, String(template)))
}

/** Ids of the named tokens, and whether a text gets some around it. */
function specialFields(tokenizer: Tokenizer, files: TokenizerFiles): GgufField[] {
  const { bosToken, eosToken, padToken, endTokens, specialPrefix, specialSuffix } = tokenizer
  const unknown = namedSpecialTokens(files).get('unk_token')
  const turn = endTokens.find((id) => id !== eosToken)
  const ids = {
    bos: bosToken,
    eos: eosToken,
    eot: turn,
    unknown: unknown === undefined ? undefined : tokenizer.tokenId(unknown),
    padding: padToken,
  }
  return [
    ...Object.entries(ids).flatMap(([name, id]) => (id === undefined ? [] : [whole(key(`${name}_token_id`), id)])),
    flag(key('add_bos_token'), bosToken !== undefined && specialPrefix[0] === bosToken),
    flag(key('add_eos_token'), eosToken !== undefined && specialSuffix[0] === eosToken),
  ]
}

/**
 * The keys of a folder's tokenizer; undefined when it has none.
 * @param size - rows of the model's embedding.
 * @throws FedloraError `E_UNSUPPORTED` for a kind that llama.cpp has no name for, `E_TOKENIZER`.
 */
export async function tokenizerFields(folder: string, size: number): Promise<GgufField[] | undefined> {
  if (!(await exists(join(folder, 'tokenizer.json')))) return undefined
  const files = await readTokenizerFiles(folder)
  const tokenizer = await loadTokenizer(folder)
  const parts = partsOf(folder, files)
  const pieces = parts.model.byte_fallback === true
  const common = [
    ...vocabularyFields(parts, tokenizer, files, size, pieces),
    ...specialFields(tokenizer, files),
    ...templateFields(files),
  ]
  if (!pieces) {
    const merges = parts.model.merges.map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')))
    return [text(key('model'), 'gpt2'), text(key('pre'), kindOf(folder, parts)), ...common, text(key('merges'), merges)]
  }
  const prefixed =
    String(tokenizer.encode('a', { addSpecialTokens: false })) !== String(tokenizer.encodeContinuation('a'))
  return [
    text(key('model'), 'llama'),
    text(key('pre'), 'default'),
    ...common,
    number(key('scores'), scoresOf(parts, size)),
    flag(key('add_space_prefix'), prefixed),
  ]
}
