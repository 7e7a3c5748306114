/** Joining through NATS: the file of `fedlora nats init` in the place of a join token. */
import { readTicket } from '../../federated/nats/ticket.js'
import { exists } from '../../files/atomic.js'
import type { FlagValues } from '../arguments.js'
import { text, usage } from '../command.js'
import { UsageError } from '../usage.js'

/** What belongs to HTTPS says nothing of NATS. */
const foreign = ['token-file', 'proxy', 'authority', 'certificate', 'key'] as const

/**
 * The file that TOKEN names; undefined: it is a join token.
 * @throws UsageError for a file that is none, or with flags that belong to a join token.
 */
export async function ticketOf(flags: FlagValues): Promise<string | undefined> {
  const word = text(flags, 'token')
  if (word === undefined || word === '-' || word.startsWith('fedlora_') || !(await exists(word))) return undefined
  for (const flag of foreign) {
    if (flags[flag] === undefined) continue
    const message = `--${flag}: belongs to a join token; where NATS is, and whom to believe, is said by '${word}'`
    throw new UsageError(message, { flag })
  }
  await usage(() => readTicket(word))
  return word
}
