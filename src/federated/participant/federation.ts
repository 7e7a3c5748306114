/** A federation as its clients have it: what the server describes, read with care, and set beside the model that lies here. */
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { adapterLayers, parseAdapterOptions } from '../../model/adapter-options.js'
import { configHash } from '../../model/base-identity.js'
import { linearModules, type ModelConfig } from '../../model/config.js'
import { baseFormatShape, checkBaseFormat } from '../../model/model-options.js'
import { UnloadedAdapter } from '../../model/unloaded-adapter.js'
import { parseOptions } from '../../options/parse.js'
import type { Chosen } from '../algorithms/algorithm.js'
import { chooseAlgorithm } from '../algorithms/index.js'
import { checkCombinations } from '../combinations.js'
import { type Description, descriptionSchema } from '../link/messages.js'
import { type FederationConfig, federationSchema } from '../options.js'
import { type Space, spaceOf } from '../protocol/space.js'

const formatSchema = z.strictObject(baseFormatShape)
/** How the base is held. */
export type BaseFormat = z.output<typeof formatSchema>

export interface Federation {
  readonly description: Description
  readonly config: FederationConfig
  readonly chosen: Chosen
  /** How every client holds the base. */
  readonly format: BaseFormat
  /** At the server's ranks. */
  readonly adapter: UnloadedAdapter
  readonly space: Space
}

const refuse = (message: string, details: Record<string, unknown> = {}): never => {
  throw new FedloraError('E_BASE', `the server's federation: ${message}`, details)
}

/** @throws FedloraError `E_PROTOCOL` for a server of another version, or words that are none. */
function checkDescription(description: unknown): Description {
  const { success, data, error } = descriptionSchema.safeParse(description)
  if (success) return data
  const { protocol } = (description ?? {}) as { protocol?: unknown }
  const [issue] = error.issues
  const what =
    protocol === 1 ? `${issue!.path.join('.')}: ${issue!.message}` : `it speaks version ${protocol}, expected 1`
  throw new FedloraError(
    'E_PROTOCOL',
    `the server's federation: ${what}; use the release of fedlora that the server has`,
    {
      protocol,
    },
  )
}

/** Names of layers, a few of them. */
const some = (names: readonly string[]) => names.slice(0, 3).join(', ') + (names.length > 3 ? ', …' : '')

/**
 * Reads a description, and compares it with a model of which only config.json is read.
 * @throws FedloraError `E_PROTOCOL`; `E_CONFIG` for options that this release does not know; `E_BASE` for a model that is not the federation's.
 */
export function readFederation(given: Description, model: ModelConfig): Federation {
  const description = checkDescription(given)
  const config = parseOptions(federationSchema, description.federation, "the server's federation")
  const chosen = chooseAlgorithm(config.algorithm)
  checkCombinations(config, chosen)
  const format = parseOptions(formatSchema, description.model.options, "the server's model options")
  checkBaseFormat(format, "the server's model options")
  const { targets, length, config: options } = description.adapter
  const known = new Set(linearModules(model.description).map(({ module }) => module))
  const unknown = targets.filter((module) => !known.has(module))
  if (unknown.length > 0) refuse(`it adapts ${some(unknown)}, which the model here does not have`, { unknown })
  if (configHash(model) !== description.model.config) {
    const message = `its base is ${description.model.name}, and config.json of the model here says another; give the folder of that model`
    refuse(message, { expected: description.model.config, got: configHash(model) })
  }
  const adapterConfig = parseAdapterOptions({ ...options, targetModules: [...targets] })
  const adapter = new UnloadedAdapter(model, adapterConfig, targets)
  if (adapter.length !== length) refuse(`its adapter has ${length} values, and here ${adapter.length}`, { length })
  const space = spaceOf(adapter.layout, adapterLayers(adapterConfig, targets))
  return { description, config, chosen, format, adapter, space }
}
