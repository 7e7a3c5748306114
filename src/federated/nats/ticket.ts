/**
 * What a client, or a worker, needs to reach its server through NATS, in one file that `fedlora nats init` writes for it: where NATS is, what the federation's
 * names begin with, who it is, and the seed that proves it.
 */
import { readFile } from 'node:fs/promises'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { writeSecret } from '../../files/secret-file.js'
import { natsSpaceSchema, natsUrlSchema } from './options.js'

const ticketSchema = z.strictObject({
  fedlora: z.literal('nats'),
  version: z.literal(1),
  url: natsUrlSchema,
  space: natsSpaceSchema,
  /** Its name; a worker's file has none. */
  client: z.string().min(1).max(64).optional(),
  credentials: z.string().min(1).max(65_536),
  /** PEM of the authority of NATS' certificate; absent: those of the machine. */
  authority: z.string().max(65_536).optional(),
})
type AnyTicket = Omit<z.output<typeof ticketSchema>, 'fedlora' | 'version'>
export type WorkerTicket = Omit<AnyTicket, 'client'>
export type NatsTicket = WorkerTicket & { client: string }

export async function writeTicket(path: string, ticket: NatsTicket | WorkerTicket): Promise<void> {
  await writeSecret(path, `${JSON.stringify({ fedlora: 'nats', version: 1, ...ticket }, undefined, 2)}\n`)
}

/** @throws FedloraError `E_IO`, `E_TOKEN` for a file that is none of a client. */
export async function readTicket(path: string): Promise<NatsTicket> {
  const ticket = await read(path)
  if (ticket.client !== undefined) return { ...ticket, client: ticket.client }
  const message = `'${path}' is the file of workers, expected that of a client: \`fedlora aggregate\` takes it`
  throw new FedloraError('E_TOKEN', message, { path })
}

/** @throws FedloraError `E_IO`, `E_TOKEN` for a file that is none of a worker. */
export async function readWorkerTicket(path: string): Promise<WorkerTicket> {
  const { client, ...ticket } = await read(path)
  if (client === undefined) return ticket
  const message = `'${path}' is the file of client ${client}, expected that of workers: \`fedlora join\` takes it`
  throw new FedloraError('E_TOKEN', message, { path, client })
}

async function read(path: string): Promise<AnyTicket> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw ioError(error, `cannot read '${path}'`)
  })
  const refuse = (why: string, cause?: unknown): never => {
    const message = `'${path}' is no file of \`fedlora nats init\`: ${why}; ask the operator of the federation for it`
    throw new FedloraError('E_TOKEN', message, { path }, cause)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    return refuse('it is no JSON', error)
  }
  const parsed = ticketSchema.safeParse(value)
  if (parsed.success) {
    const { fedlora: _, version: __, ...ticket } = parsed.data
    return ticket
  }
  const issue = parsed.error.issues[0]!
  const where = issue.path.join('.')
  return refuse(`${where === '' ? '' : `${where}: `}${issue.message}`)
}
