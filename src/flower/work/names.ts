/**
 * The names of an adapter's factors as a Flower server sends them: those of PEFT's state dict, without the name of the adapter
 * (`get_peft_model_state_dict`, as FlowerTune does) or with it (`….lora_A.default.weight`, as `state_dict` has them).
 */
import { describeValue } from '../../errors/describe.js'
import { FedloraError, isFedloraError } from '../../errors.js'
import type { Adapter } from '../../model/adapter.js'
import type { AdapterTensor } from '../../model/layout.js'
import type { FlowerArray } from '../objects/npy.js'

/** The name without the adapter's. */
function plainName(name: string): string {
  return name.replace(/\.(lora_[AB])\.default\.weight$/, '.$1.weight')
}

/**
 * Sets an adapter to the server's arrays. Nothing is changed when they are refused.
 * @throws FedloraError `E_DTYPE`, `E_MISSING`, `E_SHAPE`, `E_NONFINITE` naming what does not fit.
 */
export function loadArrays(adapter: Adapter, arrays: ReadonlyMap<string, FlowerArray>): void {
  const tensors = new Map<string, { shape: readonly number[]; data: Float32Array }>()
  for (const [name, { shape, data }] of arrays) {
    if (!(data instanceof Float32Array)) {
      const message = `flower: array '${name}' is ${describeValue(data)}, expected float32; a server averages in the type that it sends`
      throw new FedloraError('E_DTYPE', message, { array: name })
    }
    if (tensors.has(plainName(name))) {
      throw new FedloraError('E_SHAPE', `flower: array '${name}' comes twice, with 'default' and without`, {
        array: name,
      })
    }
    tensors.set(plainName(name), { shape, data })
  }
  try {
    adapter.load(tensors)
  } catch (error) {
    if (!isFedloraError(error) || !['E_MISSING', 'E_SHAPE', 'E_NONFINITE'].includes(error.code)) throw error
    const { rank } = adapter.config
    const cure = `this client's adapter has rank ${rank} on ${adapter.targets.length} layers; model, rank and targetModules must be the server's`
    throw new FedloraError(
      error.code,
      `flower: the server's arrays do not fit: ${error.message}; ${cure}`,
      error.details,
      error,
    )
  }
}

/** An adapter's factors under the names, and in the order, in which the server sent them. */
export function takeArrays(adapter: Adapter, sent: ReadonlyMap<string, FlowerArray>): Map<string, AdapterTensor> {
  const tensors = adapter.tensors()
  return new Map([...sent.keys()].map((name) => [name, tensors.get(plainName(name))!]))
}
