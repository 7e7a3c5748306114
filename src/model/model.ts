/** A frozen base model: shared by any number of adapters, runs and simulated clients; nothing that trains can write to it. */
import { basename } from 'node:path'
import { z } from 'zod'
import { loadTokenizer } from '../data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../data/tokenizer/tokenizer.js'
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { ModelSource } from '../files/model-source.js'
import { checkPath } from '../files/path.js'
import { isGgufPath } from '../gguf/metadata.js'
import type { LoadOptions, ModelMemory, NativeAdapter, NativeModel, ProfileEntry } from '../native/binding.js'
import { Handle } from '../native/handle.js'
import { parseOptions } from '../options/parse.js'
import { Adapter } from './adapter.js'
import { type AdapterOptions, matchTargets, parseAdapterOptions } from './adapter-options.js'
import type { Base } from './base.js'
import { flattenIds, type TokenRows } from './batch.js'
import type { ModelConfig } from './config.js'
import { type Decoder, generateText, generateTokens } from './generate.js'
import { type GenerateOptions, generateOptionsSchema } from './generate-options.js'
import { Generation, type Progress } from './generation.js'
import { readAdapterFolder } from './peft/folder.js'
import type { Prompt } from './prompt.js'

/** Logits of every token of every row, one row after another. */
export interface Logits {
  data: Float32Array
  /** `offset`: index in `data` of the row's first logit; `length`: its tokens. */
  rows: { offset: number; length: number }[]
  /** Logits of one token. */
  vocab: number
}

// An adapter knows its model as a `Base`, so that nothing below this file knows a `Model`; who uses one sees the whole of it.
declare module './adapter.js' {
  interface Adapter {
    /** The model below. */
    readonly model: Model
  }
}

const logitsOptionsSchema = z.strictObject({ adapter: z.instanceof(Adapter).optional() })

export class Model implements Base {
  /** The folder, or the GGUF file, that it was loaded from. */
  readonly path: string
  /** What adapters saved over it call their base: `baseModelName`, its Hugging Face id, or './' and the name of its folder or file. */
  readonly name: string
  /** The revision it was asked for by (`org/name@revision`). */
  readonly revision: string | null
  readonly config: ModelConfig
  /** How the weights are held, and where. */
  readonly options: Readonly<
    Pick<LoadOptions, 'quantization' | 'doubleQuantization' | 'blockSize' | 'compute' | 'threads' | 'device'>
  >
  /** Bytes of the packed weights by kind. */
  readonly memory: Readonly<ModelMemory>
  /** Names of the linear layers that an adapter may sit on, in forward order. */
  readonly linears: readonly string[]
  /** Tensors of the checkpoint that the model has no use for, such as another task's head; they change nothing. */
  readonly unusedTensors: readonly string[]
  /** @internal The weight files, for `merge`. */
  readonly files: readonly string[]
  /** @internal */
  readonly handle: Handle<NativeModel>
  #tokenizer: Promise<Tokenizer> | undefined

  /** @internal Use `loadModel`. */
  constructor(source: ModelSource, config: ModelConfig, options: LoadOptions, native: NativeModel, name?: string) {
    this.path = source.file !== undefined && isGgufPath(source.file) ? source.file : source.folder
    this.name = name ?? source.id ?? `./${basename(this.path)}`
    this.revision = name === undefined ? (source.revision ?? null) : null
    this.config = config
    const { files, quantization, doubleQuantization, blockSize, compute, threads, device } = options
    this.files = files
    this.options = { quantization, doubleQuantization, blockSize, compute, threads, ...(device && { device }) }
    this.memory = native.memory
    this.linears = native.linears().map(({ module }) => module)
    this.unusedTensors = native.unused()
    this.handle = new Handle('the model', native)
  }

  /** True after `dispose()`. */
  get disposed(): boolean {
    return this.handle.disposed
  }

  /**
   * A fresh adapter, initialised as PEFT does: A uniform in ±1/√in_features by the seed, B zero.
   * @throws FedloraError `E_CONFIG` for bad options, `E_MISSING` when `targetModules` matches nothing, `E_DISPOSED`.
   */
  createAdapter(options: AdapterOptions = {}): Adapter {
    const config = parseAdapterOptions(options)
    return new Adapter(
      this,
      config,
      matchTargets(config.targetModules, this.linears, this.config.description.names.head),
    )
  }

  /**
   * Loads an adapter folder written by PEFT or by `adapter.save`. One that was trained over a whole multimodal model gives its factors of the text
   * part; the names of the others are `adapter.unusedTensors`.
   * @throws FedloraError `E_UNSUPPORTED` naming what the folder uses that is not supported, `E_MISSING`, `E_SHAPE`, `E_CONFIG`, `E_FORMAT`, `E_NONFINITE`, `E_DISPOSED`.
   */
  async loadAdapter(folder: string): Promise<Adapter> {
    this.handle.use('loadAdapter')
    checkPath(folder, 'loadAdapter')
    const { description, textOf } = this.config
    const modules = { linears: this.linears, ...description.names, ...(textOf !== undefined && { textOf }) }
    const { config, targets, tensors, unused, promptFormat } = await readAdapterFolder(folder, modules)
    const adapter = new Adapter(this, config, targets, unused)
    try {
      adapter.load(tensors)
    } catch (error) {
      adapter.dispose()
      throw error
    }
    adapter.promptFormat = promptFormat
    return adapter
  }

  /**
   * Logits of rows of any lengths.
   * @throws FedloraError `E_ARGUMENT`, `E_DISPOSED`, `E_BUSY`.
   */
  async logits(input: { inputIds: TokenRows }, options: { adapter?: Adapter } = {}): Promise<Logits> {
    const { adapter } = parseOptions(logitsOptionsSchema, options, 'logits options')
    const vocab = this.config.vocabulary
    if (typeof input !== 'object' || input === null) {
      throw new FedloraError('E_ARGUMENT', `logits: got ${describeValue(input)}, expected { inputIds }`)
    }
    const { ids, lengths } = flattenIds(input.inputIds, vocab)
    const data = await this.withAdapter('logits', adapter, (model, values) => model.logits(values, ids, lengths))
    let offset = 0
    const rows = Array.from(lengths, (length) => {
      const row = { offset, length }
      offset += length * vocab
      return row
    })
    return { data, rows, vocab }
  }

  /**
   * Continues a prompt, as a stream of text pieces; `result` of what is returned has the whole text, why it ended and its tokens.
   *
   * A text gets the special tokens that its tokenizer adds; messages go through the chat template; a row such as { instruction, input } is
   * put into the template of its format, as in training; token ids and what `data.prompt(row)` gives are taken as they are. With an adapter
   * that knows the format of its training (`adapter.promptFormat`), a plain text stands for the format's question, unless it is in the
   * format's template already or `raw` is true. Greedy unless `temperature` is above 0. Leaving the loop stops the work.
   * @throws FedloraError `E_TOKENIZER`, `E_ARGUMENT`, `E_DATA`, `E_CONFIG`, `E_DISPOSED`; `E_BUSY` also when the adapter's values change between two
   * tokens; `E_NONFINITE` when a logit is NaN or infinite; the signal's reason when aborted.
   */
  generate(prompt: Prompt, options: GenerateOptions = {}): Generation {
    return new Generation((progress) => this.#text(prompt, options, progress))
  }

  /** As `generate`, but yields token ids (the end token included) and needs no tokenizer for a prompt of ids. */
  async *generateTokens(
    prompt: Prompt,
    options: Omit<GenerateOptions, 'stop'> = {},
  ): AsyncGenerator<number, void, undefined> {
    const schema = generateOptionsSchema.omit({ stop: true })
    const { adapter, ...decoding } = parseOptions(schema, options, 'generate options')
    yield* generateTokens(this.#decoder(adapter), prompt, decoding)
  }

  async *#text(prompt: Prompt, options: GenerateOptions, progress: Progress): AsyncGenerator<string, void, undefined> {
    const { adapter, ...decoding } = parseOptions(generateOptionsSchema, options, 'generate options')
    yield* generateText(this.#decoder(adapter), prompt, decoding, progress)
  }

  #decoder(adapter: Adapter | undefined): Decoder {
    return {
      vocabulary: this.config.vocabulary,
      endTokenIds: this.config.endTokenIds,
      promptFormat: adapter?.promptFormat,
      tokenizer: () => this.tokenizer(),
      begin: async (request) => {
        const generation = await this.withAdapter('generate', adapter, async (model, values) =>
          model.generate(values, request),
        )
        return {
          next: (count) => this.withAdapter('generate', adapter, () => generation.next(count)),
          cancel: () => generation.cancel(),
          dispose: () => generation.dispose(),
        }
      },
    }
  }

  /**
   * The folder's tokenizer, read on first use.
   * @throws FedloraError `E_TOKENIZER` when the folder has none.
   */
  async tokenizer(): Promise<Tokenizer> {
    this.#tokenizer ??= loadTokenizer(this.path)
    return await this.#tokenizer
  }

  /** @internal Runs a native call with this model and, when given, an adapter of it; both stay alive until it ends. */
  async withAdapter<R>(
    doing: string,
    adapter: Adapter | undefined,
    work: (model: NativeModel, adapter: NativeAdapter | null) => Promise<R>,
  ): Promise<R> {
    if (adapter === undefined) return await this.handle.share(doing, (model) => work(model, null))
    if (adapter.model !== this) {
      throw new FedloraError('E_ARGUMENT', `${doing}: the adapter belongs to another model ('${adapter.model.path}')`)
    }
    return await this.handle.share(doing, (model) => adapter.handle.share(doing, (values) => work(model, values)))
  }

  /**
   * Calls and seconds of each operator since the model was loaded, in order of first use; empty unless the environment variable
   * `FEDLORA_PROFILE` was set to something but 0 then.
   * @throws FedloraError `E_DISPOSED`.
   */
  profile(): ProfileEntry[] {
    return this.handle.use('profile').profile()
  }

  /** Frees the weights. Idempotent; adapters keep their values but can no longer compute. */
  dispose(): void {
    this.handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
