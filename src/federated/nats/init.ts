/** What an operator of NATS begins with: a configuration for NATS, the seed of the federation's server, and a file for every client. */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../errors.js'
import { exists, ioError, makeFolder, writeTextFile } from '../../files/atomic.js'
import { writeSecret } from '../../files/secret-file.js'
import { parseOptions } from '../../options/parse.js'
import { keys } from './connect.js'
import { checkNames, tokenOf } from './names.js'
import { natsSpaceSchema, natsUrlSchema } from './options.js'
import { natsConfig } from './rights.js'
import { writeTicket } from './ticket.js'

/** Port -1: NATS chooses one. */
const place = z.string().regex(/^(\[[0-9a-f:.%]+\]|[\w.-]+):(-1|\d{1,5})$/i, 'expected host:port')

export const natsInitSchema = z.strictObject({
  folder: z.string().min(1).describe('where the files are written; it must not hold a configuration yet'),
  space: natsSpaceSchema.describe('what names in NATS begin with: one for each federation that a NATS server carries'),
  clients: z.array(z.string().min(1).max(64)).min(1).describe('names of the clients'),
  listen: place.default('0.0.0.0:4222').describe('host:port that clients reach'),
  monitor: place.default('127.0.0.1:8222').describe('host:port of the page that tells how NATS writes to disk'),
  url: natsUrlSchema
    .optional()
    .describe('where clients reach NATS; default: the host of listen, or the name of this machine, with its port'),
  cert: z.string().optional().describe('PEM file of the certificate of NATS; without it nothing is encrypted'),
  key: z.string().optional().describe('PEM file of its key'),
  authority: z
    .string()
    .optional()
    .describe(
      'PEM file of the authority of that certificate, which clients are told; default: those of their machines',
    ),
})

/** Options of `initNats`. */
export type NatsInitOptions = z.input<typeof natsInitSchema>

/** Files that were written. */
export interface NatsInit {
  /** For `nats-server -c`. */
  config: string
  /** Seed of the federation's server. */
  server: string
  /** What workers come with, all the same. */
  worker: string
  /** What each client joins with, for it alone. */
  clients: Record<string, string>
}

/** The private key of a user. */
export const seedOf = (user: { getSeed(): Uint8Array }) => new TextDecoder().decode(user.getSeed())

/** Where clients reach a NATS that listens at `host:port`. */
function urlOf(listen: string, encrypted: boolean): string {
  const colon = listen.lastIndexOf(':')
  const host = listen.slice(0, Math.max(0, colon))
  const everywhere = host === '' || host === '0.0.0.0' || host === '[::]'
  return `${encrypted ? 'tls' : 'nats'}://${everywhere ? hostname() : host}:${listen.slice(colon + 1)}`
}

const texts = async (path: string | undefined): Promise<string | undefined> =>
  path === undefined
    ? undefined
    : await readFile(path, 'utf8').catch((error: unknown) => {
        throw ioError(error, `cannot read '${path}'`)
      })

/**
 * Writes a configuration of nats-server whose users are the federation's server and its clients, each with the rights that it needs; the seed
 * (private key) of the server; and for each client the file that it joins with, its seed in it. Only their owner may read them.
 * @throws FedloraError `E_CONFIG`, `E_ARGUMENT` when the folder holds a configuration, `E_MISSING` for NATS' packages, `E_IO`.
 */
export async function initNats(options: NatsInitOptions): Promise<NatsInit> {
  const given = parseOptions(natsInitSchema, options, 'nats init')
  const { folder, space, clients, listen, monitor, cert, key } = given
  if ((cert === undefined) !== (key === undefined)) {
    throw new FedloraError(
      'E_CONFIG',
      `nats init: got ${cert === undefined ? 'key' : 'cert'} alone, expected cert and key together`,
    )
  }
  checkNames(clients)
  const config = join(folder, 'nats.conf')
  if (await exists(config)) {
    const message = `nats init: '${config}' is there already, and its users' seeds with it: \`fedlora nats add\` lets another client in; else give another folder, or remove it`
    throw new FedloraError('E_ARGUMENT', message, { path: config })
  }
  const authority = await texts(given.authority)
  const { createUser } = await keys()
  const [server, worker] = [createUser(), createUser()]
  const users = clients.map((name) => ({
    name,
    user: createUser(),
    path: join(folder, 'clients', `${tokenOf(name)}.json`),
  }))
  const text = natsConfig({
    space,
    server: { key: server.getPublicKey() },
    worker: { key: worker.getPublicKey() },
    clients: users.map(({ name, user }) => ({ name, key: user.getPublicKey() })),
    store: join(folder, 'store'),
    listen,
    monitor,
    ...(cert !== undefined && { tls: { cert, key: key! } }),
  })
  await makeFolder(join(folder, 'clients'))
  const serverPath = join(folder, 'server.seed')
  await writeSecret(serverPath, `${seedOf(server)}\n`)
  const url = given.url ?? urlOf(listen, cert !== undefined)
  const place = { url, space, ...(authority !== undefined && { authority }) }
  const workerPath = join(folder, 'worker.json')
  await writeTicket(workerPath, { ...place, credentials: seedOf(worker) })
  for (const { name, user, path } of users)
    await writeTicket(path, { ...place, client: name, credentials: seedOf(user) })
  await writeTextFile(config, text)
  return {
    config,
    server: serverPath,
    worker: workerPath,
    clients: Object.fromEntries(users.map(({ name, path }) => [name, path])),
  }
}
