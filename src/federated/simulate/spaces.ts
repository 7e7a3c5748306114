/** The spaces of a federation: the server's, and those of clients with ranks of their own. One value a rank, so that it can be compared. */
import { FedloraError } from '../../errors.js'
import { Adapter } from '../../model/adapter.js'
import { type AdapterConfig, adapterLayers, configOfLayers } from '../../model/adapter-options.js'
import type { Model } from '../../model/model.js'
import type { Chosen, Residual } from '../algorithms/algorithm.js'
import { type Space, spaceOf } from '../protocol/space.js'
import type { Clients } from './clients.js'

interface Kind {
  config: AdapterConfig
  space: Space
}

/** `config` with ranks of at most `rank`. The scale of each layer stays as it is, unless `alpha` is given. */
function configAt(
  config: AdapterConfig,
  targets: readonly string[],
  rank: number,
  alpha: number | undefined,
): AdapterConfig {
  const layers = adapterLayers(config, targets).map(({ module, rank: most, scaling }) => {
    const own = Math.min(most, rank)
    const given = alpha === undefined ? scaling : alpha / (config.rsLora ? Math.sqrt(own) : own)
    return { module, rank: own, scaling: given }
  })
  return configOfLayers(config, layers)
}

export class Spaces {
  readonly server: Space
  readonly #model: Model
  readonly #adapter: Adapter
  readonly #kinds = new Map<string, Kind>()
  readonly #keys: string[]
  /** Rank of a client from now on, where the algorithm says one; undefined: as it was at first. */
  ranks: (index: number) => number | undefined = () => undefined

  /** @throws FedloraError `E_CONFIG` when a client's rank is above the server's, or the algorithm wants them equal. */
  constructor(model: Model, adapter: Adapter, clients: Clients, { algorithm }: Chosen) {
    this.#model = model
    this.#adapter = adapter
    const { config, targets, layout } = adapter
    this.server = spaceOf(layout, adapterLayers(config, targets))
    this.#kinds.set('', { config, space: this.server })
    this.#keys = Array.from({ length: clients.length }, (_, index) => {
      const { rank, alpha } = clients.own(index)
      if ((rank === undefined || rank === config.rank) && alpha === undefined) return ''
      const where = `client ${clients.name(index)}: rank ${rank ?? config.rank}`
      if (algorithm.ranks !== 'any') {
        const message = `${where}: algorithm ${algorithm.name} wants the ranks and scales of all clients equal to the adapter's (${config.rank}); choose one for mixed ranks, such as flexlora`
        throw new FedloraError('E_CONFIG', message, { client: clients.name(index), rank })
      }
      if (rank !== undefined && rank > config.rank) {
        const message = `${where} is above that of the federation's adapter, ${config.rank}; raise adapter.rank to the greatest of the clients'`
        throw new FedloraError('E_CONFIG', message, { client: clients.name(index), rank })
      }
      return JSON.stringify([rank ?? config.rank, alpha ?? null])
    })
  }

  #kind(key: string): Kind {
    let kind = this.#kinds.get(key)
    if (kind === undefined) {
      const { config, targets } = this.#adapter
      const [rank, alpha] = JSON.parse(key) as [number, number | null]
      const own = configAt(config, targets, rank, alpha ?? undefined)
      using probe = new Adapter(this.#model, own, targets)
      kind = { config: own, space: spaceOf(probe.layout, adapterLayers(own, targets)) }
      this.#kinds.set(key, kind)
    }
    return kind
  }

  /** The space of a client. One whose rank has changed keeps its scale. */
  of(index: number): Space {
    const key = this.#keys[index]!
    const rank = this.ranks(index)
    if (rank === undefined) return this.#kind(key).space
    const { config } = this.#adapter
    const [before, alpha] = key === '' ? [config.rank, null] : (JSON.parse(key) as [number, number | null])
    if (rank === before) return this.#kind(key).space
    const ratio = config.rsLora ? Math.sqrt(rank / before) : rank / before
    return this.#kind(JSON.stringify([rank, alpha === null ? null : alpha * ratio])).space
  }

  /** A new adapter of a space. */
  adapter(space: Space): Adapter {
    const kind = [...this.#kinds.values()].find((one) => one.space === space)!
    return new Adapter(this.#model, kind.config, this.#adapter.targets)
  }
}

/** Puts an adapter and what is frozen beside it into one of its space. */
export function wear(adapter: Adapter, values: Float32Array, residual: Residual | undefined): void {
  adapter.setResidual(residual ?? null)
  adapter.setVector(values)
}

/** What a client works in: an adapter for each space, made when it is first asked for. */
export class Slot {
  readonly #spaces: Spaces
  readonly #adapters = new Map<Space, Adapter>()

  constructor(spaces: Spaces) {
    this.#spaces = spaces
    this.in(spaces.server)
  }

  in(space: Space): Adapter {
    let adapter = this.#adapters.get(space)
    if (adapter === undefined) {
      adapter = this.#spaces.adapter(space)
      this.#adapters.set(space, adapter)
    }
    return adapter
  }

  dispose(): void {
    for (const adapter of this.#adapters.values()) adapter.dispose()
  }
}
