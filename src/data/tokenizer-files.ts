/** Reads the files that describe a tokenizer in a Hugging Face folder, and settles which special tokens it has. */

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../errors.js'

type Json = Record<string, unknown>

/** What a folder says about its tokenizer, before the library sees it. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer: Json
  /** tokenizer_config.json, or {} */
  readonly config: Json
  /** special_tokens_map.json, or {} */
  readonly specialTokensMap: Json
  /** config.json, or {} */
  readonly model: Json
  /** generation_config.json, or {} */
  readonly generation: Json
  /** chat_template.jinja, or null */
  readonly chatTemplate: string | null
  /** additional_chat_templates/<name>.jinja by name */
  readonly namedChatTemplates: ReadonlyMap<string, string>
}

function isMissing(error: unknown): boolean {
  const code = (error as { code?: unknown }).code
  return code === 'ENOENT' || code === 'ENOTDIR'
}

async function readText(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isMissing(error)) return null
    throw new FedloraError('E_IO', `${path}: could not be read: ${(error as Error).message}`, { file: path }, error)
  }
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
  const tokenizer = await readJson(join(folder, 'tokenizer.json'))
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
    model: await optional('config.json'),
    generation: await optional('generation_config.json'),
    chatTemplate: await readText(join(folder, 'chat_template.jinja')),
    namedChatTemplates: await readNamedTemplates(join(folder, 'additional_chat_templates')),
  }
}

/** A token's text: files write either the text or an object with `content`. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  if (typeof value === 'object' && value !== null && typeof (value as Json).content === 'string') {
    return (value as Json).content as string
  }
  return undefined
}

/** Texts of the named special tokens (`bos_token`, `eos_token`, …): tokenizer_config.json first, then special_tokens_map.json. */
export function namedSpecialTokens(files: TokenizerFiles): Map<string, string> {
  const named = new Map<string, string>()
  for (const source of [files.specialTokensMap, files.config]) {
    for (const name of ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token']) {
      const text = tokenText(source[name])
      if (text !== undefined) named.set(name, text)
    }
  }
  return named
}

/** Ids that a field such as `eos_token_id` gives: a number, a list of numbers, or nothing. */
export function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id))
}

interface AddedToken {
  id: number
  content: string
  special?: boolean
  [key: string]: unknown
}

/**
 * tokenizer.json with every token that must never be split among its `added_tokens`: as transformers does, the ones that
 * tokenizer_config.json declares (`added_tokens_decoder`, `bos_token`, …) join those of tokenizer.json if the vocabulary has them.
 */
export function withDeclaredTokens(files: TokenizerFiles): Json {
  const added = [...((files.tokenizer.added_tokens as AddedToken[] | undefined) ?? [])]
  const known = new Set(added.map((token) => token.content))
  const add = (token: AddedToken) => {
    if (known.has(token.content)) return
    known.add(token.content)
    added.push(token)
  }
  const declared = (files.config.added_tokens_decoder ?? {}) as Record<string, Json>
  for (const [id, token] of Object.entries(declared)) {
    const content = tokenText(token)
    if (content !== undefined && /^\d+$/.test(id)) add({ ...token, content, id: Number(id) })
  }
  const vocabulary = (files.tokenizer.model as Json | undefined)?.vocab
  if (typeof vocabulary === 'object' && vocabulary !== null && !Array.isArray(vocabulary)) {
    const extra = [files.config.extra_special_tokens, files.config.additional_special_tokens].flatMap((list) =>
      Array.isArray(list) ? list.map(tokenText) : [],
    )
    for (const content of [...namedSpecialTokens(files).values(), ...extra]) {
      const id = content === undefined ? undefined : (vocabulary as Json)[content]
      if (typeof id === 'number') add({ id, content: content as string, special: true, normalized: false })
    }
  }
  return { ...files.tokenizer, added_tokens: added }
}
