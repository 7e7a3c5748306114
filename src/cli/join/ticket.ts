/** Joining through NATS: the file of `fedlora nats init` in the place of a join token. */
import { readFile } from 'node:fs/promises'
import { readTicket } from '../../federated/nats/ticket.js'
import type { FlagValues } from '../arguments.js'
import { text, usage } from '../command.js'
import { UsageError } from '../usage.js'

/** What belongs to HTTPS says nothing of NATS. */
const foreign = ['proxy', 'authority', 'certificate', 'key'] as const

/** Whether a path is that of a JSON file, which no join token is. */
async function isJson(path: string): Promise<boolean> {
  const text = await readFile(path, 'utf8').catch(() => '')
  return text.trimStart().startsWith('{')
}

/**
 * The file that TOKEN, or --token-file, names; undefined: it is a join token.
 * @throws UsageError for a file that is none, or with flags that belong to a join token.
 */
export async function ticketOf(flags: FlagValues): Promise<string | undefined> {
  const [word, file] = [text(flags, 'token'), text(flags, 'token-file')]
  const path = word ?? file
  if (path === undefined || (word !== undefined && file !== undefined) || !(await isJson(path))) return undefined
  for (const flag of foreign) {
    if (flags[flag] === undefined) continue
    const message = `--${flag}: belongs to a join token; where NATS is, and whom to believe, is said by '${path}'`
    throw new UsageError(message, { flag })
  }
  await usage(() => readTicket(path))
  return path
}
