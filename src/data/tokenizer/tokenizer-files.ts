/** Reads the files that describe a tokenizer in a Hugging Face folder, and settles which special tokens it has. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import type { Json } from '../../files/json.js'

/** What a folder says about its tokenizer. */
export interface TokenizerFiles {
  /** The bytes of tokenizer.json: the addon reads them. */
  readonly tokenizer: Uint8Array
  /** tokenizer_config.json, or {} */
  readonly config: Json
  /** special_tokens_map.json, or {} */
  readonly specialTokensMap: Json
  /** added_tokens.json, or {} */
  readonly addedTokens: Json
  /** config.json, or {} */
  readonly model: Json
  /** generation_config.json, or {} */
  readonly generation: Json
  /** chat_template.jinja, or null */
  readonly chatTemplate: string | null
  /** additional_chat_templates/<name>.jinja by name */
  readonly namedChatTemplates: ReadonlyMap<string, string>
  /** SHA-256 of all this, where it does not lie in files of a folder. */
  readonly digest?: string
}

function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

async function readBytes(path: string): Promise<Buffer | null> {
  try {
    return await readFile(path)
  } catch (error) {
    if (isMissing(error)) return null
    throw new FedloraError('E_IO', `${path}: could not be read: ${(error as Error).message}`, { file: path }, error)
  }
}

async function readText(path: string): Promise<string | null> {
  return (await readBytes(path))?.toString('utf8') ?? null
}

async function readJson(path: string): Promise<Json | null> {
  const text = await readText(path)
  if (text === null) return null
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new FedloraError('E_TOKENIZER', `${path}: is not JSON: ${(error as Error).message}`, { file: path }, error)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new FedloraError('E_TOKENIZER', `${path}: expected a JSON object`, { file: path })
  }
  return value as Json
}

async function readNamedTemplates(folder: string): Promise<Map<string, string>> {
  let files: string[]
  try {
    files = (await readdir(folder)).filter((file) => file.endsWith('.jinja')).sort()
  } catch (error) {
    if (isMissing(error)) return new Map()
    throw new FedloraError('E_IO', `${folder}: could not be read: ${(error as Error).message}`, { file: folder }, error)
  }
  const texts = await Promise.all(files.map((file) => readText(join(folder, file))))
  return new Map(files.map((file, i) => [file.slice(0, -'.jinja'.length), texts[i] ?? '']))
}

/** All files of `folder`. Only tokenizer.json must be there. */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  const tokenizer = await readBytes(join(folder, 'tokenizer.json'))
  if (tokenizer === null) {
    throw new FedloraError(
      'E_TOKENIZER',
      `${folder}: holds no tokenizer.json; write one with transformers: AutoTokenizer.from_pretrained(folder).save_pretrained(folder)` +
        ' (it also converts tokenizer.model), or copy it from the checkpoint this one was made from',
      { folder, file: 'tokenizer.json' },
    )
  }
  const optional = async (name: string) => (await readJson(join(folder, name))) ?? {}
  return {
    tokenizer,
    config: await optional('tokenizer_config.json'),
    specialTokensMap: await optional('special_tokens_map.json'),
    addedTokens: await optional('added_tokens.json'),
    model: await optional('config.json'),
    generation: await optional('generation_config.json'),
    chatTemplate: await readText(join(folder, 'chat_template.jinja')),
    namedChatTemplates: await readNamedTemplates(join(folder, 'additional_chat_templates')),
  }
}

/** A token's text: files write either the text or an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && typeof (value as Json).content === 'string') {
    return (value as Json).content as string
  }
  return undefined
}

/**
 * The files' special tokens by name (`bos_token`, `eos_token`, …, and a model's own, such as `image_token`): those of
 * tokenizer_config.json; those of special_tokens_map.json come before them in folders of older versions, which have no
 * `added_tokens_decoder`, as in transformers.
 */
export function namedSpecialTokens(files: TokenizerFiles): Map<string, string> {
  const named = new Map<string, string>()
  const older = files.config.added_tokens_decoder === undefined
  for (const source of older ? [files.config, files.specialTokensMap] : [files.config]) {
    for (const [name, value] of Object.entries(source)) {
      const text = name.endsWith('_token') ? tokenText(value) : undefined
      if (text !== undefined) named.set(name, text)
    }
  }
  return named
}

/** Ids that a field such as `eos_token_id` gives: a number, a list of numbers, or nothing. */
export function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id))
}

/** Id of `bos`, `eos` or `pad` where no file says its text. */
export const fallbackId = ({ generation, model }: TokenizerFiles, name: string): number | undefined =>
  idList(generation[`${name}_token_id`])[0] ?? idList(model[`${name}_token_id`])[0]

/** A token as `added_tokens` of tokenizer.json writes it. */
interface AddedToken {
  content: string
  /** Left alone when the tokenizer has a token of this text added already. */
  unless_added?: boolean
  [property: string]: unknown
}

/**
 * The tokens that the folder's other files declare, in the order in which transformers adds them to those of tokenizer.json: by id those
 * of `added_tokens_decoder` (or added_tokens.json), then the named ones and the extra ones that are no added tokens yet. What the
 * vocabulary lacks gets the next free id.
 */
export function declaredTokens(files: TokenizerFiles): AddedToken[] {
  const named = namedSpecialTokens(files)
  const older = files.config.added_tokens_decoder === undefined
  const lists = [
    files.config.extra_special_tokens ?? files.config.additional_special_tokens,
    older ? files.specialTokensMap.extra_special_tokens : undefined,
  ]
  const extra = lists.flatMap((list) =>
    typeof list === 'object' && list !== null
      ? Object.values(list).map((value) => [tokenText(value), value] as const)
      : [],
  )
  const special = new Set([...named.values(), ...extra.map(([text]) => text)])

  const tokens = new Map<string, AddedToken>()
  const declared = (files.config.added_tokens_decoder ?? {}) as Record<string, unknown>
  for (const [, token] of Object.entries(declared).sort(([a], [b]) => Number(a) - Number(b))) {
    const content = tokenText(token)
    if (content === undefined) continue
    const properties = typeof token === 'object' ? (token as Json) : {}
    tokens.set(content, {
      ...properties,
      content,
      special: properties.special === true || [...named.values()].includes(content),
    })
  }
  if (older) {
    const legacy = Object.entries(files.addedTokens).sort(([, a], [, b]) => Number(a) - Number(b))
    for (const [content] of legacy)
      tokens.set(content, {
        content,
        special: special.has(content),
        normalized: !special.has(content),
        unless_added: true,
      })
  }
  const sources = [
    ...[...named].map(([name, text]) => [text, files.config[name] ?? files.specialTokensMap[name]] as const),
    ...extra,
  ]
  for (const [content, value] of sources) {
    if (content === undefined || tokens.has(content)) continue
    const properties = typeof value === 'object' ? (value as Json) : {}
    tokens.set(content, { normalized: false, ...properties, content, special: true, unless_added: true })
  }
  return [...tokens.values()]
}
