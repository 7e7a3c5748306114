/** A federation's server on the network: its port, what it proves itself with, and the join tokens that lead to it. */
import { join } from 'node:path'
import { makeFolder } from '../../../files/atomic.js'
import type { Door, Registry } from '../../link/link.js'
import { certificateNames, publicAddress } from '../addresses.js'
import { formatJoinToken } from '../join-token.js'
import { openSigningKey } from '../keys.js'
import type { LimitsConfig, ListenConfig, TlsConfig } from '../options.js'
import { openIdentity } from '../tls-folder.js'
import { type Answered, Carrier } from './carrier.js'
import { type Listener, listen } from './listener.js'

/** Milliseconds between two looks at whether a certificate must be renewed. */
const certificateCheck = 6 * 3_600_000

export interface Served {
  /** Where clients reach it. */
  address: string
  port: number
  /** Clients that wait for news, and open connections. */
  waiting(): number
  connections(): Promise<number>
  /** A join token for one client, as it is pasted. */
  invite(name: string, seconds: number): Promise<string>
  /** Reads the operator's files again, or renews the certificate where that is due. */
  renew(): Promise<void>
  /** Refuses new work, lets requests under way end, and closes. */
  close(): Promise<void>
}

export interface ServeOptions {
  door: Door
  registry: Registry
  run: string
  folder: string
  listen: ListenConfig
  tls: TlsConfig
  limits: LimitsConfig
  answered?(record: Answered): void
  enrolled?(client: string, address: string): void
  /** A connection that came to nothing, with the reason's code. */
  refused?(code: string): void
  /** Milliseconds since 1970. */
  now?: () => number
}

/** @throws FedloraError `E_IO`, `E_MISSING`, `E_FORMAT` for a port or for files that cannot be had. */
export async function serveHttps(options: ServeOptions): Promise<Served> {
  const { door, registry, run, folder, tls, limits } = options
  const names = tls === false ? [] : tls.names
  const place = join(folder, 'tls')
  await makeFolder(place)
  const key = await openSigningKey(join(place, 'run.key'))
  const identify = async () =>
    tls === false ? undefined : await openIdentity(folder, tls, certificateNames(options.listen, names), run)
  const identity = await identify()
  const carrier = new Carrier({
    door,
    registry,
    key,
    limits,
    publicUrl: options.listen.publicUrl,
    scheme: tls === false ? 'http' : 'https',
    answered: options.answered ?? (() => {}),
    enrolled: options.enrolled ?? (() => {}),
    now: options.now,
  })
  const listener: Listener = await listen(
    options.listen,
    identity,
    limits,
    (request, response) => void carrier.handle(request, response),
    options.refused ?? (() => {}),
  )
  const address = publicAddress(options.listen, names, listener.port)
  async function renew(): Promise<void> {
    const renewed = await identify()
    if (renewed !== undefined) listener.renew(renewed)
  }
  const timer = setInterval(() => void renew().catch(() => {}), certificateCheck)
  timer.unref()
  return {
    address,
    port: listener.port,
    waiting: () => carrier.waiting.size,
    connections: () => listener.connections(),
    async invite(name, seconds) {
      const { token } = await registry.invite(name, seconds)
      return formatJoinToken({ address, run, key: key.name, secret: token, pin: identity?.pin })
    },
    renew,
    async close() {
      clearInterval(timer)
      carrier.stop()
      await listener.close(limits.drainSeconds)
    },
  }
}
