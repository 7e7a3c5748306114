/** The trainable part: LoRA factors over a shared, frozen model; one flat float32 vector with PEFT's names as its layout. */
import type { PromptFormat } from '../data/prompt.js'
import { describeValue, listed } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { checkPath } from '../files/path.js'
import type { NativeAdapter, TensorLayout } from '../native/binding.js'
import { Handle } from '../native/handle.js'
import { type AdapterConfig, adapterLayers } from './adapter-options.js'
import { flattenBatch, type TokenRows } from './batch.js'
import type { Model } from './model.js'
import type { OutputOptions } from './output-folder.js'

/** One factor: lora_A is [rank, in_features], lora_B [out_features, rank], row-major. */
export interface AdapterTensor {
  shape: [number, number]
  data: Float32Array
}

export interface GradientResult {
  /** Mean cross-entropy over the supervised tokens. */
  loss: number
  /** Tokens processed. */
  tokens: number
  /** Tokens that the loss is the mean of. */
  supervised: number
  /** d(loss)/d(factor), by PEFT name. */
  gradients: Map<string, Float32Array>
}

/** The index and value of the first element that is NaN or infinite, or undefined. */
export function firstNonFinite(values: Float32Array): { index: number; value: number } | undefined {
  for (let i = 0; i < values.length; i++) if (!Number.isFinite(values[i]!)) return { index: i, value: values[i]! }
  return undefined
}

export class Adapter {
  /** The model below. */
  readonly model: Model
  /** Every option, defaults filled in. */
  readonly config: AdapterConfig
  /** The adapted linear layers, in forward order. */
  readonly targets: readonly string[]
  /** Number of trainable values. */
  readonly length: number
  /**
   * The format of the rows that it was trained on: `train` sets it, `save` writes it beside PEFT's files (`fedlora.json`), `loadAdapter` reads
   * it, `model.generate` asks with it. Undefined: plain texts are prompts as they are.
   */
  promptFormat: PromptFormat | undefined
  /** @internal */
  readonly handle: Handle<NativeAdapter>
  readonly #layout: readonly TensorLayout[]

  /** @internal Use `model.createAdapter` or `model.loadAdapter`. */
  constructor(model: Model, config: AdapterConfig, targets: readonly string[]) {
    const native = model.handle.use('createAdapter').createAdapter(adapterLayers(config, targets), config.seed)
    this.model = model
    this.config = config
    this.targets = targets
    this.handle = new Handle('the adapter', native)
    this.length = native.length
    this.#layout = native.layout()
  }

  /** Where each factor lies in the flat vector: PEFT name, shape, offset, length. */
  get layout(): readonly TensorLayout[] {
    return this.#layout
  }

  /** True after `dispose()`. */
  get disposed(): boolean {
    return this.handle.disposed
  }

  /**
   * A copy of the flat vector, factor after factor as `layout` says.
   * @throws FedloraError `E_DISPOSED`, `E_BUSY` while a training run holds the adapter.
   */
  vector(): Float32Array {
    return this.handle.use('vector').read()
  }

  /**
   * Replaces the flat vector.
   * @throws FedloraError `E_SHAPE` for another length, `E_NONFINITE` naming the tensor, `E_DISPOSED`, `E_BUSY`.
   */
  setVector(values: Float32Array): void {
    const native = this.handle.use('setVector')
    if (!(values instanceof Float32Array) || values.length !== this.length) {
      throw new FedloraError(
        'E_SHAPE',
        `setVector: got ${values?.length} values, expected a Float32Array of ${this.length}`,
      )
    }
    const bad = firstNonFinite(values)
    if (bad !== undefined) {
      const entry = this.#layout.find(({ offset, length }) => bad.index >= offset && bad.index < offset + length)!
      throw new FedloraError(
        'E_NONFINITE',
        `adapter tensor '${entry.name}' holds ${bad.value} at element ${bad.index - entry.offset}`,
        {
          tensor: entry.name,
        },
      )
    }
    native.write(values)
  }

  /**
   * Copies of all factors, by PEFT name (`base_model.model.<module>.lora_A.weight`).
   * @throws FedloraError `E_DISPOSED`, `E_BUSY`.
   */
  tensors(): Map<string, AdapterTensor> {
    const flat = this.vector()
    return new Map(
      this.#layout.map(({ name, shape, offset, length }) => [
        name,
        { shape: [shape[0], shape[1]], data: flat.slice(offset, offset + length) },
      ]),
    )
  }

  /**
   * Sets all factors from a map as `tensors()` gives; nothing is changed when it is refused.
   * @throws FedloraError `E_MISSING` listing missing names, `E_SHAPE` for unknown names or wrong shapes, `E_NONFINITE`, `E_DISPOSED`, `E_BUSY`.
   */
  load(tensors: ReadonlyMap<string, { shape?: readonly number[]; data: Float32Array }>): void {
    this.handle.use('load')
    if (!(tensors instanceof Map)) {
      throw new FedloraError('E_ARGUMENT', `load: got ${describeValue(tensors)}, expected a Map as tensors() gives it`)
    }
    const missing = this.#layout.filter(({ name }) => !tensors.has(name)).map(({ name }) => name)
    if (missing.length > 0) {
      throw new FedloraError(
        'E_MISSING',
        `adapter: ${missing.length} of ${this.#layout.length} tensors are missing: ${listed(missing)}`,
        {
          missing,
        },
      )
    }
    const known = new Set(this.#layout.map(({ name }) => name))
    const extra = [...tensors.keys()].filter((name) => !known.has(name))
    if (extra.length > 0) {
      throw new FedloraError(
        'E_SHAPE',
        `adapter: ${extra.length} tensors have no place in this adapter: ${listed(extra)}`,
        { extra },
      )
    }
    const flat = new Float32Array(this.length)
    for (const { name, shape, offset, length } of this.#layout) {
      const given = tensors.get(name)!
      if (!(given?.data instanceof Float32Array)) {
        throw new FedloraError(
          'E_ARGUMENT',
          `adapter tensor '${name}': got ${describeValue(given?.data ?? given)}, expected { data: Float32Array }`,
          { tensor: name },
        )
      }
      const got = given.shape ?? shape
      if (got.length !== 2 || got[0] !== shape[0] || got[1] !== shape[1] || given.data.length !== length) {
        throw new FedloraError(
          'E_SHAPE',
          `adapter tensor '${name}' has shape [${got.join(', ')}] and ${given.data.length} values, expected [${shape.join(', ')}]`,
          { tensor: name, got: [...got], expected: [...shape] },
        )
      }
      flat.set(given.data, offset)
    }
    this.setVector(flat)
  }

  /**
   * An independent adapter of the same configuration and values over the same model.
   * @throws FedloraError `E_DISPOSED`, `E_BUSY`.
   */
  clone(): Adapter {
    const values = this.vector()
    const copy = new Adapter(this.model, this.config, this.targets)
    copy.handle.use('clone').write(values)
    copy.promptFormat = this.promptFormat
    return copy
  }

  /**
   * Loss of a batch and its gradient, without changing anything. Dropout is off.
   * @throws FedloraError `E_ARGUMENT`, `E_SHAPE`, `E_NONFINITE`, `E_DISPOSED`, `E_BUSY`.
   */
  async gradients(batch: { inputIds: TokenRows; labels: TokenRows }): Promise<GradientResult> {
    if (typeof batch !== 'object' || batch === null) {
      throw new FedloraError('E_ARGUMENT', `gradients: got ${describeValue(batch)}, expected { inputIds, labels }`)
    }
    const flat = flattenBatch(batch.inputIds, batch.labels, this.model.config.vocabulary)
    return await this.model.handle.share('gradients', () =>
      this.handle.share('gradients', async (native) => {
        const { gradients, ...rest } = await native.gradients(flat)
        const named = this.#layout.map(({ name, offset, length }): [string, Float32Array] => [
          name,
          gradients.slice(offset, offset + length),
        ])
        return { ...rest, gradients: new Map(named) }
      }),
    )
  }

  /**
   * Writes a PEFT folder: `adapter_config.json` and `adapter_model.safetensors` (float32), and `fedlora.json` when the format of its rows is
   * known, each atomically. An earlier LoRA adapter in the folder is replaced; other files stay.
   * @throws FedloraError `E_ARGUMENT` when the folder holds an adapter of another method, `E_IO`, `E_DISPOSED`, `E_BUSY`.
   */
  async save(folder: string): Promise<void> {
    checkPath(folder, 'save')
    const { saveAdapter } = await import('./peft.js')
    await saveAdapter(this, folder)
  }

  /**
   * Writes a model folder with the adapter merged in: the stored weights are read again, W + s·B·A is computed in float32 and rounded
   * once to the stored type (from a bitsandbytes folder: to bfloat16). Tokenizer files are copied.
   * @param folder - a new or empty folder; with `overwrite: true` also one that a model was written to before, whose files are replaced.
   * @throws FedloraError `E_ARGUMENT` for a folder with other files in it, `E_NONFINITE` naming tensor and value when a sum is beyond
   * the stored type (nothing is left then), `E_CONFIG`, `E_IO`, `E_DISPOSED`, `E_BUSY`.
   */
  async merge(folder: string, options: OutputOptions = {}): Promise<void> {
    checkPath(folder, 'merge')
    const { mergeAdapter } = await import('./merge.js')
    await mergeAdapter(this, folder, options)
  }

  /** Frees the native memory. Idempotent; a run on this adapter is cancelled and ends with `E_DISPOSED`. */
  dispose(): void {
    this.handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
