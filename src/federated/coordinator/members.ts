/** What is asked of a client by its name: its rank, and its local options. */
import { entriesBy, layered } from '../local-options.js'
import { entriesFor } from '../name-patterns.js'
import type { FederationConfig } from '../options.js'
import { checkRank, type Kind, type OwnRank, Ranks } from '../ranks.js'
import type { CoordinatorConfig } from './options.js'
import type { Setup } from './setup.js'

type Local = FederationConfig['local']

export class Members {
  readonly #config: CoordinatorConfig
  readonly #ranks: Ranks
  readonly #locals = new Map<string, { local: Local; differs: boolean }>()

  /** @throws FedloraError `E_CONFIG` for ranks that the algorithm excludes, or local options that exclude each other. */
  constructor(config: CoordinatorConfig, { adapter, chosen }: Setup) {
    this.#config = config
    this.#ranks = new Ranks(adapter.config, adapter.targets, (own) => adapter.configured(own).layout)
    for (const [pattern, own] of Object.entries(config.clients.ranks)) checkRank(own, adapter.config, chosen, pattern)
    for (const pattern of Object.keys(config.federation.overrides ?? {})) this.localOf(pattern)
  }

  /** @param now - rank of the client from now on, where the algorithm says one. */
  kindOf(client: string, now: number | undefined): Kind {
    const own = entriesFor<OwnRank>(this.#config.clients.ranks, client).at(-1)?.[1] ?? {}
    return this.#ranks.of(own, now)
  }

  /** Options of a client's adapter; undefined: the federation's. */
  adapterOf(kind: Kind): Record<string, unknown> | undefined {
    return kind === this.#ranks.server ? undefined : { ...kind.config }
  }

  localOf(client: string): { local: Local; differs: boolean } {
    const known = this.#locals.get(client)
    if (known !== undefined) return known
    const { local, overrides = {} } = this.#config.federation
    const own = layered(local, entriesBy(overrides, client))
    this.#locals.set(client, own)
    return own
  }
}
