/** The spaces of a federation: the server's, and those of clients with ranks of their own. One value a rank, so that it can be compared. */
import { FedloraError } from '../errors.js'
import { type AdapterConfig, adapterLayers, configOfLayers } from '../model/adapter-options.js'
import type { TensorLayout } from '../native/binding.js'
import type { Chosen } from './algorithms/algorithm.js'
import { type Space, spaceOf } from './protocol/space.js'

/** Rank and scale of a client where they are its own. */
export interface OwnRank {
  readonly rank?: number | undefined
  readonly alpha?: number | undefined
}

/** An adapter as clients of one rank have it. */
export interface Kind {
  readonly config: AdapterConfig
  readonly space: Space
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

/**
 * @throws FedloraError `E_CONFIG` when a client's rank is above the server's, or the algorithm wants them equal.
 */
export function checkRank(
  { rank, alpha }: OwnRank,
  server: AdapterConfig,
  { algorithm }: Chosen,
  client: string,
): void {
  if ((rank === undefined || rank === server.rank) && alpha === undefined) return
  const where = `client ${client}: rank ${rank ?? server.rank}`
  if (algorithm.ranks !== 'any') {
    const message = `${where}: algorithm ${algorithm.name} wants the ranks and scales of all clients equal to the adapter's (${server.rank}); choose one for mixed ranks, such as flexlora`
    throw new FedloraError('E_CONFIG', message, { client, rank })
  }
  if (rank === undefined || rank <= server.rank) return
  const message = `${where} is above that of the federation's adapter, ${server.rank}; raise adapter.rank to the greatest of the clients'`
  throw new FedloraError('E_CONFIG', message, { client, rank })
}

export class Ranks {
  readonly server: Kind
  readonly #targets: readonly string[]
  readonly #layoutOf: (config: AdapterConfig) => readonly TensorLayout[]
  readonly #kinds = new Map<string, Kind>()

  /** @param layoutOf - where the factors of an adapter lie that is configured so. */
  constructor(
    config: AdapterConfig,
    targets: readonly string[],
    layoutOf: (config: AdapterConfig) => readonly TensorLayout[],
  ) {
    this.#targets = targets
    this.#layoutOf = layoutOf
    this.server = this.#kind(config)
  }

  #kind(config: AdapterConfig): Kind {
    return { config, space: spaceOf(this.#layoutOf(config), adapterLayers(config, this.#targets)) }
  }

  #at(rank: number, alpha: number | undefined): Kind {
    const { config } = this.server
    if (rank === config.rank && alpha === undefined) return this.server
    const key = JSON.stringify([rank, alpha ?? null])
    const known = this.#kinds.get(key)
    if (known !== undefined) return known
    const kind = this.#kind(configAt(config, this.#targets, rank, alpha))
    this.#kinds.set(key, kind)
    return kind
  }

  /**
   * What a client has.
   * @param now - its rank from now on, where the algorithm says one: its scale stays as it was.
   */
  of({ rank: own, alpha }: OwnRank, now?: number): Kind {
    const { config } = this.server
    const before = own ?? config.rank
    if (now === undefined || now === before) return this.#at(before, alpha)
    const ratio = config.rsLora ? Math.sqrt(now / before) : now / before
    return this.#at(now, alpha === undefined ? undefined : alpha * ratio)
  }

  /** The kind that has this space. */
  kindOf(space: Space): Kind {
    return [this.server, ...this.#kinds.values()].find((kind) => kind.space === space)!
  }
}
