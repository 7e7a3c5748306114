/** Which clients of a federation lie, and how: a table by name or pattern becomes an attacker a client. */
import type { Model } from '../../../model/model.js'
import type { AttackName, AttackOptions } from '../../attacker-options.js'
import type { Outgoing } from '../../client/work.js'
import { checkPatterns, entriesFor } from '../../name-patterns.js'
import type { Answer } from '../../protocol/messages.js'
import { type Clients, namesOf } from '../clients.js'
import type { Attack } from './attack.js'
import { attacks } from './index.js'

export interface Attacker {
  attack: AttackName
  /** What it does to what it is about to send, behind whatever honest clients do; none: nothing. */
  outgoing: readonly Outgoing[]
  /** The answer that it gives in the place of an honest one. */
  forged(answer: Answer): Answer
}

export interface Attackers {
  /** The clients with the rows that they learn. */
  clients: Clients
  /** By index; undefined for an honest client. */
  of(index: number): Attacker | undefined
}

const attackOf = ({ attack }: AttackOptions) => attacks[attack] as Attack

function attackerOf(options: AttackOptions): Attacker {
  const { sends, forges } = attackOf(options)
  const send: Outgoing = async (vectors, about) => {
    const sent = Object.entries(vectors).map(async ([name, update]) => [
      name,
      await sends!(update, options, { ...about, name }),
    ])
    return Object.fromEntries(await Promise.all(sent))
  }
  return {
    attack: options.attack,
    outgoing: sends === undefined ? [] : [send],
    forged(answer) {
      if (forges === undefined) return answer
      const vectors = Object.entries(answer.vectors).map(([name, message]) => [name, forges(message)])
      return { ...answer, vectors: Object.fromEntries(vectors) }
    },
  }
}

/**
 * @param table - as given to `simulate`; later entries win.
 * @throws FedloraError `E_CONFIG` for a pattern that no client's name matches, and for an attack that finds nothing to change.
 */
export async function openAttackers(
  table: Readonly<Record<string, AttackOptions>> | undefined,
  clients: Clients,
  { model, seed }: { model: Model; seed: number },
): Promise<Attackers> {
  if (table === undefined) return { clients, of: () => undefined }
  checkPatterns(table, namesOf(clients), 'attackers')
  const attackers = new Map<number, Attacker>()
  const poisoned = new Map<number, ReturnType<Clients['data']>>()
  for (let index = 0; index < clients.length; index++) {
    const client = clients.name(index)
    const options = entriesFor(table, client).at(-1)?.[1]
    if (options === undefined) continue
    attackers.set(index, attackerOf(options))
    const { rows } = attackOf(options)
    if (rows !== undefined) poisoned.set(index, await rows(clients.data(index), options, { client, seed, model }))
  }
  return {
    clients: { ...clients, data: (index) => poisoned.get(index) ?? clients.data(index) },
    of: (index) => attackers.get(index),
  }
}
