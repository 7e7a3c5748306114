/** A connection to a NATS server. Its packages are optional peers: they are looked for when somebody asks for NATS, and named when they are missing. */
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import type { Authenticator, NatsConnection } from '@nats-io/transport-node'
import { FedloraError } from '../../errors.js'

export type { NatsConnection }

export interface NatsTls {
  /** Of the authority that signed the server's certificate; absent: the system's. */
  authority?: string | undefined
  /** Of this side's own certificate, and its key. */
  certificate?: string | undefined
  key?: string | undefined
}

/** Where the server is, and as whom. */
export interface NatsPlace {
  /** `nats://host:4222`, or `tls://…`; several of one cluster, comma-separated. */
  servers: string
  /** What proves who asks: the seed of a user's nkey (`SU…`), the text of a `.creds` file, or a token. */
  credentials?: string | undefined
  /** PEM texts. */
  tls?: NatsTls | undefined
  /** Where answers to this connection arrive: private, because permissions can name it. Default: `_INBOX`. */
  inbox?: string | undefined
  /** Milliseconds between two questions whether the server is there: a line that is dead and does not say so is left after three. Default 10,000. */
  pings?: number | undefined
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

/** JetStream's codes for a disk, or an account, that is full. */
const full: ReadonlySet<unknown> = new Set([10023, 10028, 10047, 10077])

/** A failure of NATS as a coded error; others pass through. `doing` says what was tried. */
export function natsError(error: unknown, doing: string): unknown {
  if (error instanceof FedloraError || !(error instanceof Error)) return error
  const { name, message } = error
  const coded = (code: 'E_AUTH' | 'E_UNREACHABLE' | 'E_DISK_FULL' | 'E_CONFIG', why: string) =>
    new FedloraError(code, `${doing}: ${why} (${message})`, { nats: name }, error)
  if (name === 'JetStreamApiError') {
    if (full.has((error as { code?: unknown }).code)) return coded('E_DISK_FULL', 'JetStream has no room left')
    return coded('E_CONFIG', 'JetStream refuses it')
  }
  if (/CERT|ERR_TLS|SIGNATURE/.test(String((error as NodeJS.ErrnoException).code)))
    return coded('E_AUTH', 'the certificate of NATS is not believed: it is of another authority, or of another name')
  if (/Authorization|PermissionViolation|Authentication/i.test(name) || /permissions violation/i.test(message))
    return coded('E_AUTH', 'NATS refuses this user; give the seed and the rights that `fedlora nats init` made for it')
  if (
    /Timeout|NoResponders|Connection|Request|Draining/i.test(name) ||
    /timeout|no responders|closed|ECONN/i.test(message)
  )
    return coded('E_UNREACHABLE', 'NATS did not answer')
  return error
}

async function authenticatorOf(credentials: string): Promise<Authenticator> {
  const { credsAuthenticator, nkeyAuthenticator, tokenAuthenticator } = await transport()
  const text = credentials.trim()
  if (text.includes('BEGIN NATS USER JWT')) return credsAuthenticator(new TextEncoder().encode(text))
  return /^SU[A-Z2-7]{56}$/.test(text) ? nkeyAuthenticator(new TextEncoder().encode(text)) : tokenAuthenticator(text)
}

/** The transport tells TLS no address: the certificate must be of one of the servers that were named. */
const identityOf = (servers: readonly string[]) => (_: string, certificate: PeerCertificate) => {
  const failures = servers.map((server) => {
    const { hostname } = new URL(server.includes('://') ? server : `nats://${server}`)
    return checkServerIdentity(hostname.replace(/^\[|\]$/g, ''), certificate)
  })
  return failures.includes(undefined) ? undefined : failures[0]
}

const tlsOf = ({ authority, certificate, key }: NatsTls, servers: readonly string[]) => ({
  checkServerIdentity: identityOf(servers),
  ...(authority !== undefined && { ca: authority }),
  ...(certificate !== undefined && { cert: certificate }),
  ...(key !== undefined && { key }),
})

/** Opens a connection that is kept up for ever. @throws FedloraError `E_MISSING`, `E_UNREACHABLE`, `E_AUTH`. */
export async function connectNats({
  servers,
  credentials,
  tls,
  inbox,
  pings = 10_000,
}: NatsPlace): Promise<NatsConnection> {
  const { connect } = await transport()
  const all = servers.split(',').map((server) => server.trim())
  const encrypted = tls ?? (all.some((server) => server.startsWith('tls:')) ? {} : undefined)
  try {
    return await connect({
      servers: all,
      name: 'fedlora',
      maxReconnectAttempts: -1,
      pingInterval: pings,
      ...(credentials !== undefined && { authenticator: await authenticatorOf(credentials) }),
      ...(encrypted !== undefined && { tls: tlsOf(encrypted, all) }),
      ...(inbox !== undefined && { inboxPrefix: inbox }),
    })
  } catch (error) {
    throw natsError(error, `cannot connect to ${servers}`)
  }
}

/** Of each connection, as long as it is not cut. */
const lives = new WeakMap<NatsConnection, AbortController>()

/**
 * Aborts, with `E_UNREACHABLE`, when the connection has been cut and stands again. What streams sent meanwhile is lost, and nats.js sees the gap with their
 * next message only: who waits for the last one would wait for ever.
 */
export function cutOf(connection: NatsConnection): AbortSignal {
  if (!lives.has(connection)) void follow(connection)
  return lives.get(connection)!.signal
}

async function follow(connection: NatsConnection): Promise<void> {
  const begin = () => lives.set(connection, new AbortController())
  begin()
  for await (const { type } of connection.status()) {
    if (type !== 'reconnect') continue
    const cut = lives.get(connection)!
    begin()
    cut.abort(new FedloraError('E_UNREACHABLE', 'the connection to NATS was cut: what was on its way is lost'))
  }
}
