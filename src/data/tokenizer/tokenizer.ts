/** Text to ids and back, special tokens and the chat template of a Hugging Face folder. */

import { FedloraError } from '../../errors.js'
import type { NativeTokenizer, TextEncodings } from '../../native/binding.js'
import type { Rendered } from '../../template/template.js'
import { type ChatMessage, ChatTemplate, type ChatTemplateOptions, chatTemplateSource } from './chat-template.js'
import {
  type EncodedText,
  type EncodedTexts,
  type EncodeManyOptions,
  type EncodeOptions,
  encodeSlices,
  located,
} from './encoding.js'
import { StreamDecoder } from './stream-decoder.js'
import { cleanedUp, cleanUpSpaces } from './tokenizer-class.js'
import { fallbackId, idList, namedSpecialTokens, type TokenizerFiles } from './tokenizer-files.js'

export interface DecodeOptions {
  /** Leaves special tokens out of the text. Default false. */
  skipSpecialTokens?: boolean
}

export class Tokenizer {
  /** The folder, or the GGUF file, that it was read from. */
  readonly folder: string
  /** @internal SHA-256 of what it was made of, when that was no folder. */
  readonly digest: string | undefined
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

  /** @internal Use `loadTokenizer`. */
  constructor(folder: string, files: TokenizerFiles, handle: NativeTokenizer) {
    this.folder = folder
    this.digest = files.digest
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
      return (text === undefined ? undefined : this.tokenId(text)) ?? fallbackId(files, name)
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
    return await encodeSlices(this.#native, this.folder, texts, options)
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
