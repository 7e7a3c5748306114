/** The base model of a client: known by its folder first, in memory when the first work comes, the same for all rounds. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { RowTaker } from '../../data/fit.js'
import { loadTokenizer } from '../../data/index.js'
import { FedloraError } from '../../errors.js'
import { readJsonObject, writeJsonFile } from '../../files/json.js'
import { findModel } from '../../files/model-source.js'
import { identifyBase } from '../../model/base-identity.js'
import type { ModelConfig } from '../../model/config.js'
import { loadModel } from '../../model/load.js'
import { Model } from '../../model/model.js'
import { availableCores, type ModelOptions } from '../../model/model-options.js'
import { readModelConfig } from '../../model/read-config.js'
import { identifyTokenizer } from '../../model/tokenizer-identity.js'
import { weightFiles } from '../../model/weight-files.js'
import type { LoadOptions } from '../../native/binding.js'
import { onDevice } from '../../native/device.js'
import type { BaseFormat, Federation } from './federation.js'

/** Where it runs. */
export type BasePlace = Pick<ModelOptions, 'device' | 'threads'>

const hashedSchema = z.strictObject({ files: z.array(z.array(z.union([z.string(), z.number()]))), weights: z.string() })

export class Base {
  readonly #given: string | Model
  readonly #place: BasePlace
  readonly #folder: string
  #config: ModelConfig | undefined
  #model: Model | undefined

  /**
   * @param given - a folder, an id in the Hugging Face cache, or a loaded model.
   * @param folder - of the client: what was hashed once is remembered there.
   */
  constructor(given: string | Model, place: BasePlace, folder: string) {
    this.#given = given
    this.#place = place
    this.#folder = folder
  }

  get #path(): string {
    return this.#given instanceof Model ? this.#given.path : this.#given
  }

  async config(): Promise<ModelConfig> {
    this.#config ??= await readModelConfig(this.#path)
    return this.#config
  }

  /** What rows are made ready for. @throws before `config()`. */
  taker(): RowTaker {
    return { config: this.#config!, tokenizer: () => loadTokenizer(this.#path) }
  }

  /**
   * Compares the tokenizer of the rows with the federation's: with another one they would be other ids.
   * @param own - folder of the tokenizer that a data set brought; undefined: the base's.
   * @throws FedloraError `E_BASE` for another tokenizer; `E_TOKENIZER` when there is none.
   */
  async checkTokenizer({ description }: Federation, own: string | undefined): Promise<void> {
    const { name, tokenizer: expected } = description.model
    if (expected === undefined) return
    const path = own ?? this.#path
    const got = await identifyTokenizer(path)
    if (got === expected) return
    const message = `model: the tokenizer of '${path}' is not that of the federation's base, ${name}, and would make other ids of the same text: SHA-256 ${got}, expected ${expected}; give the folder of that model, with its tokenizer and chat template as they came`
    throw new FedloraError('E_BASE', message, { got, expected })
  }

  /**
   * Compares the weights' hash with the federation's.
   * @throws FedloraError `E_BASE` for other weights, or a loaded model that holds them otherwise.
   */
  async check({ description, format }: Federation, signal: AbortSignal): Promise<void> {
    const { name, weights } = description.model
    if (this.#given instanceof Model) {
      const held = this.#given.options
      for (const key of Object.keys(format) as (keyof BaseFormat)[]) {
        if (held[key] === format[key]) continue
        const message = `model: it is loaded with ${key} ${held[key]}, and the federation's base with ${format[key]}; load it so, or give its folder`
        throw new FedloraError('E_BASE', message, { [key]: held[key], expected: format[key] })
      }
    }
    const got = await this.#hash(signal)
    if (got === weights) return
    const message = `model: the weights of '${this.#path}' are not those of the federation's base, ${name}: SHA-256 ${got}, expected ${weights}; give the folder of that model`
    throw new FedloraError('E_BASE', message, { got, expected: weights })
  }

  /** Of the weights: read once, and again when a file has another size or time. */
  async #hash(signal: AbortSignal): Promise<string> {
    const { folder, file } = await findModel(this.#path)
    const files = await Promise.all(
      (await weightFiles(folder, file)).map(async (path) => {
        const { size, mtimeMs } = await stat(path)
        return [path, size, mtimeMs]
      }),
    )
    const remembered = join(this.#folder, 'base.json')
    const found = hashedSchema.safeParse(await readJsonObject(remembered, 'hash').catch(() => undefined))
    if (found.success && JSON.stringify(found.data.files) === JSON.stringify(files)) return found.data.weights
    const { weights } = await identifyBase(this.#path, signal)
    await writeJsonFile(remembered, { files, weights })
    return weights
  }

  /** How it would be loaded, for plans. */
  async loading(format: BaseFormat): Promise<LoadOptions> {
    const { folder, file } = await findModel(this.#path)
    const { device = 'cpu', threads = availableCores() } = this.#place
    const files = await weightFiles(folder, file)
    return { files, description: (await this.config()).description, ...format, threads, ...onDevice(device) }
  }

  /** The model in memory, loaded the first time. */
  async load(format: BaseFormat): Promise<Model> {
    if (this.#given instanceof Model) return this.#given
    this.#model ??= await loadModel(this.#path, { ...format, ...this.#place })
    return this.#model
  }

  /** Gives back what was loaded here. */
  dispose(): void {
    this.#model?.dispose()
    this.#model = undefined
  }
}
