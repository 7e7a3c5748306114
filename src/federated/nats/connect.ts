/** A connection to a NATS server. Its packages are optional peers: they are looked for when somebody asks for NATS, and named when they are missing. */
import type { NatsConnection } from '@nats-io/transport-node'
import { FedloraError } from '../../errors.js'

export type { NatsConnection }

/** Where the server is, and as whom. */
export interface NatsPlace {
  /** `nats://host:4222`, or `tls://…`; several of one cluster, comma-separated. */
  servers: string
  /** Seed of the user's nkey, as `fedlora nats init` writes it. */
  seed?: string | undefined
  /** PEM of the authority that signed the server's certificate; absent: the system's. */
  ca?: string | undefined
  /** Where answers to this connection arrive: private, because permissions can name it. Default: `_INBOX`. */
  inbox?: string | undefined
}

const packages = '@nats-io/transport-node @nats-io/jetstream @nats-io/kv @nats-io/obj @nats-io/nkeys'

async function needed<T>(load: () => Promise<T>): Promise<T> {
  try {
    return await load()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error
    const message = `NATS needs packages that fedlora does not bring along: npm install ${packages}`
    throw new FedloraError('E_MISSING', message, { packages: packages.split(' ') }, error)
  }
}

export const transport = () => needed(() => import('@nats-io/transport-node'))
export const jetstreams = () => needed(() => import('@nats-io/jetstream'))
export const keyValues = () => needed(() => import('@nats-io/kv'))
export const keys = () => needed(() => import('@nats-io/nkeys'))
export const objects = () => needed(() => import('@nats-io/obj'))

/** A failure of NATS as a coded error; others pass through. `doing` says what was tried. */
export function natsError(error: unknown, doing: string): unknown {
  if (error instanceof FedloraError || !(error instanceof Error)) return error
  const { name, message } = error
  const coded = (code: 'E_AUTH' | 'E_UNREACHABLE', why: string) =>
    new FedloraError(code, `${doing}: ${why} (${message})`, { nats: name }, error)
  if (/Authorization|PermissionViolation|Authentication/i.test(name) || /permissions violation/i.test(message))
    return coded('E_AUTH', 'NATS refuses this user; give the seed and the rights that `fedlora nats init` made for it')
  if (
    /Timeout|NoResponders|Connection|Request|Draining/i.test(name) ||
    /timeout|no responders|closed|ECONN/i.test(message)
  )
    return coded('E_UNREACHABLE', 'NATS did not answer')
  return error
}

/** Opens a connection that is kept up for ever. @throws FedloraError `E_MISSING`, `E_UNREACHABLE`, `E_AUTH`. */
export async function connectNats({ servers, seed, ca, inbox }: NatsPlace): Promise<NatsConnection> {
  const { connect, nkeyAuthenticator } = await transport()
  try {
    return await connect({
      servers: servers.split(',').map((server) => server.trim()),
      name: 'fedlora',
      maxReconnectAttempts: -1,
      ...(seed !== undefined && { authenticator: nkeyAuthenticator(new TextEncoder().encode(seed.trim())) }),
      ...(ca !== undefined && { tls: { ca } }),
      ...(inbox !== undefined && { inboxPrefix: inbox }),
    })
  } catch (error) {
    throw natsError(error, `cannot connect to ${servers}`)
  }
}
