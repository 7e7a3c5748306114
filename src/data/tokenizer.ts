/** Text to ids and back, special tokens and the chat template of a Hugging Face folder. */

import * as tokenizers from '@huggingface/tokenizers'
import { FedloraError } from '../errors.js'
import { findModel } from '../files/model-source.js'
import type { Rendered } from '../template/template.js'
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions, chatTemplateSource } from './chat-template.js'
import { StreamDecoder } from './stream-decoder.js'
import {
  idList,
  namedSpecialTokens,
  readTokenizerFiles,
  type TokenizerFiles,
  tokenText,
  withDeclaredTokens,
} from './tokenizer-files.js'
import { type LibraryPart, mendDecoder, mendPreTokenizer } from './unicode-parts.js'

export interface EncodeOptions {
  /** Adds the special tokens that the tokenizer puts around a text (BOS for Llama). Default true. */
  addSpecialTokens?: boolean
}

export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean
}

/** The part of the library's tokenizer that is used; the types it ships do not resolve under Node's module rules. */
interface Library {
  readonly pre_tokenizer: LibraryPart | null
  readonly decoder: LibraryPart | null
  readonly model: { vocab: unknown[] }
  encode(text: string, options: { add_special_tokens: boolean }): { ids: (number | undefined)[] }
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string
  token_to_id(token: string): number | undefined
  id_to_token(id: number): string | undefined
  get_added_tokens_decoder(): Map<number, { special: boolean }>
}
const Library = tokenizers.Tokenizer as new (description: object, config: object) => Library

/** Where `special` holds `plain` as a contiguous part. */
function indexOfPart(special: readonly number[], plain: readonly number[]): number {
  for (let start = 0; start + plain.length <= special.length; ++start) {
    if (plain.every((id, i) => special[start + i] === id)) return start
  }
  return -1
}

export class Tokenizer {
  /** The folder it was read from. */
  readonly folder: string
  readonly bosToken: number | undefined
  /** The end token: what a completion is trained to end with. */
  readonly eosToken: number | undefined
  readonly padToken: number | undefined
  /** Every token that ends a generated text: those of generation_config.json and config.json, and `eosToken`. */
  readonly endTokens: readonly number[]
  /** Ids put before a text by `addSpecialTokens`. */
  readonly specialPrefix: readonly number[]
  /** Ids put after a text by `addSpecialTokens`. */
  readonly specialSuffix: readonly number[]
  /** Ids that `skipSpecialTokens` leaves out. */
  readonly specialTokens: ReadonlySet<number>
  /** One more than the largest id. */
  readonly vocabularySize: number
  readonly #library: Library
  readonly #cleanUp: boolean
  /** The folder's chat template, if it has one. */
  readonly chatTemplate: ChatTemplate | undefined

  /** @internal Use {@link loadTokenizer}. */
  constructor(folder: string, files: TokenizerFiles) {
    this.folder = folder
    const description = withDeclaredTokens(files)
    try {
      this.#library = new Library(description, files.config)
      mendPreTokenizer(this.#library.pre_tokenizer)
      mendDecoder(this.#library.decoder)
    } catch (error) {
      const message = `${folder}/tokenizer.json: not understood: ${(error as Error).message}`
      throw new FedloraError('E_TOKENIZER', message, { folder, file: 'tokenizer.json' }, error)
    }
    // Cleaning up spaces is made for WordPiece; transformers ignores the setting for BPE.
    const isBpe = (files.tokenizer.model as { type?: unknown } | undefined)?.type === 'BPE'
    this.#cleanUp = files.config.clean_up_tokenization_spaces === true && !isBpe

    const named = namedSpecialTokens(files)
    const idOf = (name: string) => {
      const text = named.get(`${name}_token`)
      const id = text === undefined ? undefined : this.#library.token_to_id(text)
      const field = `${name}_token_id`
      return id ?? idList(files.generation[field])[0] ?? idList(files.model[field])[0]
    }
    this.bosToken = idOf('bos')
    this.eosToken = idOf('eos')
    this.padToken = idOf('pad')
    const generation = idList(files.generation.eos_token_id)
    const ends = [...idList(this.eosToken), ...(generation.length > 0 ? generation : idList(files.model.eos_token_id))]
    this.endTokens = [...new Set(ends)]

    const special = new Set<number>()
    for (const [id, token] of this.#library.get_added_tokens_decoder()) if (token.special) special.add(id)
    const extra = [files.config.extra_special_tokens, files.config.additional_special_tokens]
    for (const text of [
      ...named.values(),
      ...extra.flatMap((list) => (Array.isArray(list) ? list : [])).map(tokenText),
    ]) {
      const id = text === undefined ? undefined : this.#library.token_to_id(text)
      if (id !== undefined) special.add(id)
    }
    this.specialTokens = special
    this.vocabularySize = this.#library.model.vocab.length

    const plain = this.encode('a', { addSpecialTokens: false })
    const around = this.encode('a')
    const start = indexOfPart(around, plain)
    this.specialPrefix = around.slice(0, Math.max(start, 0))
    this.specialSuffix = start < 0 ? [] : around.slice(start + plain.length)

    const source = chatTemplateSource(files.chatTemplate, files.config.chat_template, files.namedChatTemplates)
    this.chatTemplate = source === null ? undefined : new ChatTemplate(source, Object.fromEntries(named))
  }

  /** Ids of `text`. */
  encode(text: string, options: EncodeOptions = {}): number[] {
    if (text === '' && options.addSpecialTokens === false) return []
    const { ids } = this.#library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true })
    // A vocabulary without an unknown token has no id for what it cannot spell; the Rust library drops it, too.
    return ids.filter((id): id is number => id !== undefined)
  }

  /** Text of `ids`. Ids outside the vocabulary (a model's head may be padded) have no text. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const skip = options.skipSpecialTokens === true
    const known = Array.from(ids).filter(
      (id) => this.#library.id_to_token(id) !== undefined && !(skip && this.specialTokens.has(id)),
    )
    if (known.length === 0) return ''
    return this.#library.decode(known, { skip_special_tokens: false, clean_up_tokenization_spaces: this.#cleanUp })
  }

  /** A decoder for ids that arrive one by one. */
  stream(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder((ids) => this.decode(ids, options))
  }

  /** The id of a token given by its exact text, such as '<|im_end|>'. */
  tokenId(token: string): number | undefined {
    return this.#library.token_to_id(token)
  }

  /** Whether the folder has a chat template. */
  get hasChatTemplate(): boolean {
    return this.chatTemplate !== undefined
  }

  /**
   * The conversation as the text that the model was made for; encode it without special tokens, it holds its own.
   *
   * @throws E_TOKENIZER without a template, or with one that cannot be used; E_DATA when the template refuses the conversation
   */
  applyChatTemplate(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): string {
    return this.renderChat(messages, options).text
  }

  /**
   * {@link applyChatTemplate}, and where the template marks what the assistant says (`{% generation %}`): positions in the text, in
   * UTF-16 units, the end exclusive; none when it marks nothing.
   */
  renderChat(messages: readonly ChatMessage[], options: ChatTemplateOptions = {}): Rendered {
    if (this.chatTemplate === undefined) {
      throw new FedloraError(
        'E_TOKENIZER',
        `${this.folder}: has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); ` +
          "use an instruct model's folder, add a template, or choose a format that needs none, such as 'alpaca'",
        { folder: this.folder },
      )
    }
    return this.chatTemplate.renderWithSpans(messages, options)
  }
}

/**
 * Reads a tokenizer from a Hugging Face folder, or by its id in the local cache: tokenizer.json, and where present tokenizer_config.json,
 * special_tokens_map.json, chat_template.jinja, config.json and generation_config.json.
 *
 * @throws E_TOKENIZER when tokenizer.json is missing or not understood; E_IO when a file cannot be read
 */
export async function loadTokenizer(folder: string): Promise<Tokenizer> {
  const found = await findModel(folder, 'tokenizer').catch((error) => {
    throw new FedloraError('E_TOKENIZER', error.message, error.details, error)
  })
  return new Tokenizer(found.folder, await readTokenizerFiles(found.folder))
}

/** Something that has a tokenizer, at once or when asked, such as a loaded model. */
export interface TokenizerOwner {
  readonly tokenizer: Tokenizer | (() => Tokenizer | Promise<Tokenizer>)
}

/** What may stand where a tokenizer is wanted: one, a folder, a loaded model, or an object with the path of a folder. */
export type TokenizerLike = Tokenizer | string | TokenizerOwner | { readonly path: string }

/** Whether {@link resolveTokenizer} can make something of `value`. */
export function isTokenizerLike(value: unknown): value is TokenizerLike {
  if (typeof value === 'string') return value !== ''
  if (typeof value !== 'object' || value === null) return false
  const { tokenizer, path } = value as { tokenizer?: unknown; path?: unknown }
  const owner = tokenizer instanceof Tokenizer || typeof tokenizer === 'function'
  return value instanceof Tokenizer || owner || typeof path === 'string'
}

/** The tokenizer of any {@link TokenizerLike}. */
export async function resolveTokenizer(source: TokenizerLike): Promise<Tokenizer> {
  if (!isTokenizerLike(source)) {
    const message = 'tokenizer: expected a Tokenizer, the folder of one, or a loaded model'
    throw new FedloraError('E_ARGUMENT', message, { field: 'tokenizer' })
  }
  if (source instanceof Tokenizer) return source
  if (typeof source === 'string') return loadTokenizer(source)
  const { tokenizer, path } = source as Partial<TokenizerOwner & { path: string }>
  if (typeof tokenizer === 'function') return tokenizer.call(source)
  return tokenizer ?? loadTokenizer(path as string)
}
