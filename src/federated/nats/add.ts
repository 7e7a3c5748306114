/** Further clients of a NATS server that `fedlora nats init` configured: who is in already stays as it is. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { ioError, writeTextFile } from '../../files/atomic.js'
import { parseOptions } from '../../options/parse.js'
import { keys } from './connect.js'
import { seedOf } from './init.js'
import { checkNames, tokenOf } from './names.js'
import { clientLines, endOfUsers } from './rights.js'
import { readWorkerTicket, writeTicket } from './ticket.js'

export const natsAddSchema = z.strictObject({
  folder: z.string().min(1).describe('what fedlora nats init wrote'),
  clients: z.array(z.string().min(1).max(64)).min(1).describe('names of the clients that are new'),
})

/** Options of `addNatsClients`. */
export type NatsAddOptions = z.input<typeof natsAddSchema>

/** Files that were written. */
export interface NatsAdd {
  /** For `nats-server`, which reads it again at `nats-server --signal reload`: connections that stand stay. */
  config: string
  /** What each of the new clients joins with, for it alone. */
  clients: Record<string, string>
}

/** Names of the clients in a configuration. */
const namesIn = (text: string): string[] =>
  text.split('\n').flatMap((line) => {
    const quoted = /^ {6}# (".*")$/.exec(line)?.[1]
    return quoted === undefined ? [] : [JSON.parse(quoted) as string]
  })

/**
 * Gives further clients a user in the configuration, and the file that each joins with.
 * @throws FedloraError `E_ARGUMENT` for one that is there, `E_CONFIG`, also for a configuration whose list of users is not found, `E_MISSING` for NATS'
 * packages, `E_IO`.
 */
export async function addNatsClients(options: NatsAddOptions): Promise<NatsAdd> {
  const { folder, clients } = parseOptions(natsAddSchema, options, 'nats add')
  const config = join(folder, 'nats.conf')
  const text = await readFile(config, 'utf8').catch((error: unknown) => {
    throw ioError(error, `cannot read '${config}', which fedlora nats init writes`)
  })
  const place = await readWorkerTicket(join(folder, 'worker.json'))
  const known = namesIn(text)
  const again = clients.find((name) => known.includes(name))
  if (again !== undefined) {
    const path = join(folder, 'clients', `${tokenOf(again)}.json`)
    const message = `nats add: client ${JSON.stringify(again)} is there already; it joins with '${path}'`
    throw new FedloraError('E_ARGUMENT', message, { client: again, path })
  }
  checkNames([...known, ...clients])
  const end = text.lastIndexOf(endOfUsers)
  if (end < 0) {
    const message = `nats add: '${config}' has been changed: its list of users does not end as nats init wrote it; put the line of the end, "    ]", back`
    throw new FedloraError('E_CONFIG', message, { path: config })
  }
  const { createUser } = await keys()
  const made: Record<string, string> = {}
  const lines: string[] = []
  for (const name of clients) {
    const user = createUser()
    made[name] = join(folder, 'clients', `${tokenOf(name)}.json`)
    await writeTicket(made[name], { ...place, client: name, credentials: seedOf(user) })
    lines.push(`\n${clientLines(place.space, { name, key: user.getPublicKey() })}`)
  }
  // What they join with is there before anybody is let in by it.
  await writeTextFile(config, text.slice(0, end) + lines.join('') + text.slice(end))
  return { config, clients: made }
}
