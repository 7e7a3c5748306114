/** The spaces of a federation in one process, and the adapters that clients borrow. */
import { Adapter } from '../../model/adapter.js'
import type { Model } from '../../model/model.js'
import type { Chosen, Residual } from '../algorithms/algorithm.js'
import type { Space } from '../protocol/space.js'
import { checkRank, type OwnRank, Ranks } from '../ranks.js'
import type { Clients } from './clients.js'

export class Spaces {
  readonly server: Space
  readonly #model: Model
  readonly #adapter: Adapter
  readonly #kinds: Ranks
  readonly #own: OwnRank[]
  /** Rank of a client from now on, where the algorithm says one; undefined: as it was at first. */
  ranks: (index: number) => number | undefined = () => undefined

  /** @throws FedloraError `E_CONFIG` when a client's rank is above the server's, or the algorithm wants them equal. */
  constructor(model: Model, adapter: Adapter, clients: Clients, chosen: Chosen) {
    const { config, targets } = adapter
    this.#model = model
    this.#adapter = adapter
    this.#kinds = new Ranks(config, targets, (own) => {
      if (own === config) return adapter.layout
      using probe = new Adapter(model, own, targets)
      return probe.layout
    })
    this.server = this.#kinds.server.space
    this.#own = Array.from({ length: clients.length }, (_, index) => {
      const own = clients.own(index)
      checkRank(own, config, chosen, clients.name(index))
      return own
    })
  }

  /** The space of a client. One whose rank has changed keeps its scale. */
  of(index: number): Space {
    return this.#kinds.of(this.#own[index]!, this.ranks(index)).space
  }

  /** A new adapter of a space. */
  adapter(space: Space): Adapter {
    return new Adapter(this.#model, this.#kinds.kindOf(space).config, this.#adapter.targets)
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
