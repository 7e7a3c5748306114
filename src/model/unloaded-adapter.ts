/** What is known of an adapter before its model is loaded, from config.json alone: where its factors lie, and the values that it begins with. */
import type { TensorLayout } from '../native/binding.js'
import { native } from '../native/load.js'
import { type AdapterConfig, adapterLayers, matchTargets } from './adapter-options.js'
import { linearModules, type ModelConfig } from './config.js'

export class UnloadedAdapter {
  /** Every option, defaults filled in. */
  readonly config: AdapterConfig
  /** The adapted linear layers, in forward order. */
  readonly targets: readonly string[]
  /** Where each factor lies in the flat vector. */
  readonly layout: readonly TensorLayout[]
  /** Number of trainable values. */
  readonly length: number
  readonly #model: ModelConfig

  /** @throws FedloraError `E_MISSING` when `targetModules` matches nothing. */
  constructor(model: ModelConfig, config: AdapterConfig, targets?: readonly string[]) {
    const { description } = model
    const linears = () => linearModules(description).map(({ module }) => module)
    this.#model = model
    this.config = config
    this.targets = targets ?? matchTargets(config.targetModules, linears(), description.names.head)
    this.layout = native().layOutAdapter(description, adapterLayers(config, this.targets), null)
    this.length = this.layout.reduce((sum, { length }) => sum + length, 0)
  }

  /** The same layers, otherwise configured. */
  configured(config: AdapterConfig): UnloadedAdapter {
    return new UnloadedAdapter(this.#model, config, this.targets)
  }

  /** The values of `model.createAdapter` with the same options, bit for bit. */
  initial(): Float32Array {
    const { config, targets } = this
    return native().initialAdapter(this.#model.description, adapterLayers(config, targets), config.seed)
  }

  /** Where each factor of a residual of these ranks lies in its values. */
  residualLayout(ranks: readonly number[]): readonly TensorLayout[] {
    const { config, targets } = this
    return native().layOutAdapter(this.#model.description, adapterLayers(config, targets), ranks)
  }

  /** The base stores its linear weights [in, out]. */
  get transposed(): boolean {
    return this.#model.description.transposedLinears
  }

  /** Multiply-adds of a token in the adapted model without its attention: elements of the linear layers and of the head. */
  get linearElements(): number {
    const { description, hidden, vocabulary } = this.#model
    return linearModules(description).reduce((sum, { shape: [out, inputs] }) => sum + out * inputs, hidden * vocabulary)
  }
}
