/** The trainable part: LoRA factors over a shared, frozen model; one flat float32 vector with PEFT's names as its layout. */
import type { PromptFormat } from '../data/prompt.js'
import { describeValue, listed } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { checkPath } from '../files/path.js'
import type { NativeAdapter, TensorLayout } from '../native/binding.js'
import { Handle } from '../native/handle.js'
import { parseOptions } from '../options/parse.js'
import { type AdapterConfig, adapterLayers } from './adapter-options.js'
import type { Base } from './base.js'
import { flattenBatch, type TokenRows } from './batch.js'
import { type AdapterTensor, checkFinite, flatten, unflatten } from './layout.js'
import { checkMergeOutput, type MergeOptions, type MergeResult, mergeInto, mergeOptionsSchema } from './merge.js'
import { refuseForeignFolder, writeAdapterFolder } from './peft/folder.js'
import { checkResidualRanks, type FrozenResidual, stackResidual } from './residual.js'

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

export class Adapter {
  /** @internal The model below, as far as an adapter knows it. It is `adapter.model`, which `model.ts` types. */
  readonly base: Base
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
  /** Tensors of a loaded folder that adapt other parts of a multimodal model than its text part: they have no place here and are not saved. */
  readonly unusedTensors: readonly string[]
  /** @internal */
  readonly handle: Handle<NativeAdapter>
  readonly #native: NativeAdapter
  readonly #layout: readonly TensorLayout[]
  #residualRanks: readonly number[] | undefined

  /** @internal Use `model.createAdapter` or `model.loadAdapter`. */
  constructor(base: Base, config: AdapterConfig, targets: readonly string[], unusedTensors: readonly string[] = []) {
    const native = base.handle.use('createAdapter').createAdapter(adapterLayers(config, targets), config.seed)
    this.base = base
    Object.defineProperty(this, 'model', { value: base, enumerable: true })
    this.config = config
    this.targets = targets
    this.unusedTensors = unusedTensors
    this.handle = new Handle('the adapter', native)
    this.#native = native
    this.length = native.length
    this.#layout = native.layout()
  }

  /** Where each factor lies in the flat vector: PEFT name, part (`lora_A` or `lora_B`), shape, offset, length. */
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
    checkFinite(this.#layout, values)
    native.write(values)
  }

  /**
   * Copies of all factors, by PEFT name (`base_model.model.<module>.lora_A.weight`).
   * @throws FedloraError `E_DISPOSED`, `E_BUSY`.
   */
  tensors(): Map<string, AdapterTensor> {
    return unflatten(this.#layout, this.vector())
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
    this.setVector(flatten(this.#layout, this.length, tensors))
  }

  /** Ranks of the residual, one for each of `targets`; undefined without one. */
  get residualRanks(): readonly number[] | undefined {
    return this.#residualRanks
  }

  /**
   * A copy of the frozen low-rank factors that the adapter carries beside its trained ones, or null. Can be read while a run holds the adapter.
   * @throws FedloraError `E_DISPOSED`.
   */
  residual(): FrozenResidual | null {
    return this.#residualRanks === undefined ? null : this.#native.residual()
  }

  /**
   * Where each factor lies in the values of a residual of these ranks: name, shape, offset, length.
   * @param ranks - one for each of `targets`, 0: none there.
   * @throws FedloraError `E_SHAPE`, `E_ARGUMENT`, `E_DISPOSED`.
   */
  residualLayout(ranks: readonly number[]): readonly TensorLayout[] {
    return this.#native.residualLayout(checkResidualRanks(ranks, this.config, this.targets))
  }

  /**
   * Gives the adapter frozen low-rank factors beside its trained ones, in place of those that it had; null: none. They count as part of the
   * base: used in training, evaluation, generation and `merge`, but without gradient and dropout, and no part of `vector()`. `save` writes
   * one adapter of the summed rank. For federations whose exact mean has a higher rank than the adapter (Singhal et al. 2024, FedEx-LoRA).
   * A generation under way ends with `E_BUSY`.
   * @throws FedloraError `E_SHAPE` for another number of ranks or values, `E_ARGUMENT` for a rank that exceeds 4,096 together with the
   * trained one, `E_NONFINITE` naming the tensor, `E_DISPOSED`, `E_BUSY`; nothing is changed then.
   */
  setResidual(residual: FrozenResidual | null): void {
    const native = this.handle.use('setResidual')
    if (residual === null) {
      native.clearResidual()
      this.#residualRanks = undefined
      return
    }
    if (typeof residual !== 'object') {
      throw new FedloraError(
        'E_ARGUMENT',
        `setResidual: got ${describeValue(residual)}, expected { ranks, values } or null`,
      )
    }
    const ranks = checkResidualRanks(residual.ranks, this.config, this.targets)
    const layout = native.residualLayout(ranks)
    const length = layout.reduce((sum, entry) => sum + entry.length, 0)
    const { values } = residual
    if (!(values instanceof Float32Array) || values.length !== length) {
      throw new FedloraError(
        'E_SHAPE',
        `setResidual: got ${values?.length} values, expected a Float32Array of ${length}, as residualLayout(ranks) says`,
      )
    }
    checkFinite(layout, values)
    native.setResidual(ranks, values)
    this.#residualRanks = ranks
  }

  /**
   * Takes the residual of another adapter of this model, or its absence, without a copy: they never change, so that adapters may share one.
   * @throws FedloraError `E_SHAPE` when the other adapter sits on other layers, `E_ARGUMENT` as `setResidual`, `E_DISPOSED`, `E_BUSY`.
   */
  shareResidual(from: Adapter): void {
    const native = this.handle.use('shareResidual')
    if (!(from instanceof Adapter)) {
      throw new FedloraError('E_ARGUMENT', `shareResidual: got ${describeValue(from)}, expected an adapter`)
    }
    native.shareResidual(from.#native)
    this.#residualRanks = from.#residualRanks
  }

  /**
   * An independent adapter of the same configuration and values over the same model.
   * @throws FedloraError `E_DISPOSED`, `E_BUSY`.
   */
  clone(): Adapter {
    const values = this.vector()
    const copy = new Adapter(this.base, this.config, this.targets)
    copy.handle.use('clone').write(values)
    copy.shareResidual(this)
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
    const flat = flattenBatch(batch.inputIds, batch.labels, this.base.config.vocabulary)
    return await this.base.handle.share('gradients', () =>
      this.handle.share('gradients', async (native) => {
        const { gradients, ...rest } = await native.gradients(flat)
        const named = [...unflatten(this.#layout, gradients)].map(([name, { data }]) => [name, data] as const)
        return { ...rest, gradients: new Map(named) }
      }),
    )
  }

  /**
   * Writes a PEFT folder: `adapter_config.json` and `adapter_model.safetensors` (float32), and `fedlora.json` when the format of its rows is
   * known, each atomically. An earlier LoRA adapter in the folder is replaced; other files stay. An adapter with a residual is written as one
   * of the summed rank, which computes the same.
   * @throws FedloraError `E_ARGUMENT` when the folder holds an adapter of another method, `E_IO`, `E_DISPOSED`, `E_BUSY`.
   */
  async save(folder: string): Promise<void> {
    checkPath(folder, 'save')
    await refuseForeignFolder(folder, this.config.method)
    await this.write(folder, this.vector())
  }

  /** @internal Writes the folder with these values: what a run does that holds the adapter itself. */
  async write(folder: string, values: Float32Array): Promise<void> {
    const { config, targets, promptFormat, layout, base } = this
    const own = { config, targets, layout, values }
    const residual = this.residual()
    const written = residual === null ? own : stackResidual(own, residual)
    const { name, revision } = base
    const transposed = base.config.description.transposedLinears
    await writeAdapterFolder(folder, { ...written, promptFormat }, { name, revision, transposed })
  }

  /**
   * Writes a model folder with the adapter merged in: the stored weights are read again, W + s·(B·A + B_res·A_res) is computed in float32 and
   * rounded once to the stored type (from a bitsandbytes folder: to bfloat16). Tokenizer files are copied.
   *
   * With `format: 'gguf'` it is one file for llama.cpp, under its names and with its metadata and the tokenizer; matrices are of `type`
   * ('f16' by default), rounded once, vectors float32. Of a model that was loaded from GGUF, everything else in the file is kept.
   * @param folder - a new or empty folder, or the .gguf file; with `overwrite: true` also one that a model was written to before, whose files are replaced.
   * @throws FedloraError `E_ARGUMENT` for a folder with other files in it or a file that is there, `E_UNSUPPORTED` for what llama.cpp
   * cannot say and for a folder that would lack some of the adapter's tensors, `E_NONFINITE` naming tensor and value when a sum is beyond
   * the stored type (nothing is left then), `E_CONFIG`, `E_IO`, `E_DISPOSED`, `E_BUSY`.
   */
  async merge(folder: string, options: MergeOptions = {}): Promise<MergeResult> {
    checkPath(folder, 'merge')
    const parsed = parseOptions(mergeOptionsSchema, options, 'merge options')
    if (parsed.format === 'safetensors') this.#refusePartialMerge()
    const target = await checkMergeOutput(folder, parsed, this.base.path)
    return await this.handle.share('merge', (values) => mergeInto(target, this.base, values, parsed))
  }

  /** The whole of a multimodal model is written, in which the factors that have no place here would be missing. */
  #refusePartialMerge(): void {
    const { textOf } = this.base.config
    if (textOf === undefined || this.unusedTensors.length === 0) return
    throw new FedloraError(
      'E_UNSUPPORTED',
      `merge: the adapter has ${this.unusedTensors.length} tensors outside the text part of ${textOf}, which the merged folder would lack: ${listed(this.unusedTensors)}. ` +
        "Merge it with PEFT, or its text part alone into a GGUF file (format: 'gguf')",
      { unusedTensors: [...this.unusedTensors] },
    )
  }

  /** Frees the native memory. Idempotent; a run on this adapter is cancelled and ends with `E_DISPOSED`. */
  dispose(): void {
    this.handle.dispose()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }
}
