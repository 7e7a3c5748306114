/** Text to ids and back, special tokens and the chat template of a Hugging Face folder. */

import { FedloraError } from '../../errors.js'
import { findModel } from '../../files/model-source.js'
import type { NativeTokenizer, TextEncodings } from '../../native/binding.js'
import { native } from '../../native/load.js'
import type { Rendered } from '../../template/template.js'
import { concat } from '../ids/concat.js'
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions, chatTemplateSource } from './chat-template.js'
import { StreamDecoder } from './stream-decoder.js'
import { cleanedUp, cleanUpSpaces, sectionsOfClass } from './tokenizer-class.js'
import {
  declaredTokens,
  idList,
  namedSpecialTokens,
  readTokenizerFiles,
  type TokenizerFiles,
} from './tokenizer-files.js'

export interface EncodeOptions {
  /** Adds the special tokens that the tokenizer puts around a text (BOS for Llama). Default true. */
  addSpecialTokens?: boolean
}

export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean
}

export interface EncodeManyOptions extends EncodeOptions {
  /** Gives offsets, too. Default false. */
  offsets?: boolean
  /** Encodes every text as the continuation of another, as {@link Tokenizer.encodeContinuation} does. Default false. */
  continuation?: boolean
  /** The most threads that work. Default: all cores. */
  threads?: number
  /** Stops the work; the promise rejects with the signal's reason. */
  signal?: AbortSignal
}

/** Ids of one text, and where in the text each comes from. */
export interface EncodedText {
  readonly ids: Int32Array
  /** By id, the first UTF-16 code unit of the text that it stands for; 0 for special tokens around the text. */
  readonly begins: Int32Array
  /** By id, the unit behind the last one; 0 for special tokens around the text. */
  readonly ends: Int32Array
}

/** Ids of several texts, one text after the other. */
export interface EncodedTexts {
  readonly ids: Int32Array
  /** By text, where its ids begin; one more at the end: text i has `ids.subarray(starts[i], starts[i + 1])`. */
  readonly starts: Int32Array
  /** As in {@link EncodedText}, in units of each text; there when `offsets` is set. */
  readonly begins?: Int32Array
  readonly ends?: Int32Array
}

/** Units and texts of one call of the addon: a signal is looked at between two, and memory is bounded. */
const sliceUnits = 1 << 20
const sliceTexts = 1 << 14

/** Rounds that {@link Tokenizer.encodeMany} takes. */
function* slicesOf(texts: readonly string[]): Generator<string[]> {
  for (let begin = 0, end = 0; begin < texts.length; begin = end) {
    for (let units = 0; end < texts.length && end - begin < sliceTexts && units < sliceUnits; ++end) {
      units += (texts[end] as string).length
    }
    yield texts.slice(begin, end)
  }
}

/** A failure of the addon with the file that it is about; `text` is the index of the first text of the call that failed. */
function located(folder: string, error: unknown, text = 0, doing = ''): unknown {
  if (!(error instanceof FedloraError) || error.code !== 'E_TOKENIZER' || error.details.folder !== undefined)
    return error
  const message = error.message.replace(/^text (\d+)/, (_, index) => `text ${text + Number(index)}`)
  return new FedloraError(
    'E_TOKENIZER',
    `${folder}/tokenizer.json: ${doing}${message}`,
    { folder, file: 'tokenizer.json' },
    error,
  )
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
  readonly #native: NativeTokenizer
  readonly #cleanUp: boolean
  /** The folder's chat template, if it has one. */
  readonly chatTemplate: ChatTemplate | undefined

  /** @internal Use {@link loadTokenizer}. */
  constructor(folder: string, files: TokenizerFiles, handle: NativeTokenizer) {
    this.folder = folder
    this.#native = handle
    const { model, vocabularySize, specialTokens, prefix, suffix } = handle.description
    this.#cleanUp = cleanUpSpaces(files.config, model)
    this.vocabularySize = vocabularySize
    this.specialTokens = new Set(specialTokens)
    this.specialPrefix = prefix
    this.specialSuffix = suffix

    const named = namedSpecialTokens(files)
    const idOf = (name: string) => {
      const text = named.get(`${name}_token`)
      const id = text === undefined ? undefined : this.tokenId(text)
      const field = `${name}_token_id`
      return id ?? idList(files.generation[field])[0] ?? idList(files.model[field])[0]
    }
    this.bosToken = idOf('bos')
    this.eosToken = idOf('eos')
    this.padToken = idOf('pad')
    const generation = idList(files.generation.eos_token_id)
    const ends = [...idList(this.eosToken), ...(generation.length > 0 ? generation : idList(files.model.eos_token_id))]
    this.endTokens = [...new Set(ends)]

    const source = chatTemplateSource(files.chatTemplate, files.config.chat_template, files.namedChatTemplates)
    this.chatTemplate = source === null ? undefined : new ChatTemplate(source, Object.fromEntries(named))
  }

  #encode(text: string, specialTokens: boolean, offsets: boolean, continues: boolean): TextEncodings {
    try {
      return this.#native.encode(text, { specialTokens, offsets, continues })
    } catch (error) {
      throw located(this.folder, error)
    }
  }

  /**
   * Ids of `text`. A lone surrogate counts as U+FFFD.
   *
   * @throws E_TOKENIZER when the text holds what the vocabulary cannot spell, and it has no token for the unknown
   */
  encode(text: string, options: EncodeOptions = {}): number[] {
    return Array.from(this.#encode(text, options.addSpecialTokens ?? true, false, false).ids)
  }

  /**
   * Ids of `text`, and the part of it that each stands for. A token that is a part of a character has the whole character; one that
   * stands for no text of its own (a dummy prefix) has that of its neighbour.
   *
   * @throws E_TOKENIZER as {@link encode}
   */
  encodeWithOffsets(text: string, options: EncodeOptions = {}): EncodedText {
    const { ids, begins, ends } = this.#encode(text, options.addSpecialTokens ?? true, true, false)
    return { ids, begins: begins as Int32Array, ends: ends as Int32Array }
  }

  /**
   * Ids of `text` where it goes on from other text: without special tokens around it, and without the dummy prefix (`▁`, a space) that
   * many tokenizers put before a text, so that decoding the ids of a prompt and then these gives prompt and `text` exactly. A tokenizer
   * that knows no dummy prefix gives the ids of `encode(text, { addSpecialTokens: false })`.
   *
   * @throws E_TOKENIZER as {@link encode}
   */
  encodeContinuation(text: string): number[] {
    return Array.from(this.#encode(text, false, false, true).ids)
  }

  /**
   * Ids of many texts, worked out on threads of the addon: the event loop stays free.
   *
   * @throws E_TOKENIZER as {@link encode}, naming the first text that fails; the signal's reason when it fires
   */
  async encodeMany(texts: readonly string[], options: EncodeManyOptions = {}): Promise<EncodedTexts> {
    const { offsets = false, continuation = false, threads = 0, signal } = options
    const specialTokens = (options.addSpecialTokens ?? true) && !continuation
    const parts: TextEncodings[] = []
    const starts = new Int32Array(texts.length + 1)
    let text = 0
    for (const slice of slicesOf(texts)) {
      signal?.throwIfAborted()
      let part: TextEncodings
      try {
        part = await this.#native.encodeMany(slice, { specialTokens, offsets, continues: continuation, threads })
      } catch (error) {
        throw located(this.folder, error, text)
      }
      const before = starts[text] as number
      for (let i = 1; i <= slice.length; ++i) starts[text + i] = before + (part.starts[i] as number)
      text += slice.length
      parts.push(part)
    }
    signal?.throwIfAborted()
    const ids = concat(parts.map((part) => part.ids))
    if (!offsets) return { ids, starts }
    const column = (of: 'begins' | 'ends') => concat(parts.map((part) => part[of] as Int32Array))
    return { ids, starts, begins: column('begins'), ends: column('ends') }
  }

  /** Text of `ids`. Ids outside the vocabulary (a model's head may be padded) have no text. */
  decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const whole =
      ids instanceof Int32Array ? ids : Int32Array.from(ids, (id) => (Number.isInteger(id) && id < 2 ** 31 ? id : -1))
    const text = this.#native.decode(whole, options.skipSpecialTokens === true)
    return this.#cleanUp ? cleanedUp(text) : text
  }

  /** A decoder for ids that arrive one by one. */
  stream(options: DecodeOptions = {}): StreamDecoder {
    return new StreamDecoder((ids) => this.decode(ids, options))
  }

  /** The id of a token given by its exact text, such as '<|im_end|>'. */
  tokenId(token: string): number | undefined {
    const id = this.#native.tokenId(token)
    return id < 0 ? undefined : id
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
  const files = await readTokenizerFiles(found.folder)
  const changes = { ...sectionsOfClass(files), added_tokens: [declaredTokens(files)] }
  try {
    const handle = await native().openTokenizer(files.tokenizer, JSON.stringify(changes))
    return new Tokenizer(found.folder, files, handle)
  } catch (error) {
    throw located(found.folder, error, 0, 'not understood: ')
  }
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
