/** The server of a federation between machines: its folder, its ports, and what its operator may do. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Coordinator } from '../federated/coordinator/coordinator.js'
import type { CoordinatorEvent } from '../federated/coordinator/events.js'
import { type Host, openHost } from '../federated/https/operator/host.js'
import type { Door, Registry } from '../federated/link/link.js'
import type { Standing } from '../federated/link/standing.js'
import { type Opened, openFolder } from './folder.js'
import { Lives } from './lives.js'
import { type Standby, ticketOf } from './nats.js'
import { parseServerOptions, type ServerOptions } from './options.js'

export class FederationServer {
  /** Resolves when the last round is done and the adapter lies in FOLDER/adapter. Rejects with what ended the server before. */
  readonly over: Promise<void>
  readonly #opened: Opened
  readonly #coordinator: Coordinator
  readonly #lives: Lives
  readonly #host: Host
  /** Where clients reach it. */
  readonly address: string

  /** The page for people, with the token of those who only look. */
  readonly pageUrl: string

  /** @internal */
  constructor(opened: Opened, lives: Lives, host: Host, { address, observer }: { address: string; observer: string }) {
    const { coordinator } = opened
    this.#opened = opened
    this.#coordinator = coordinator
    this.#lives = lives
    this.#host = host
    this.address = address
    this.over = coordinator.over
    this.pageUrl = `${host.operatorUrl}/#token=${observer}`
  }

  /** The operator's side: the page for people, metrics, health. */
  get operatorUrl(): string {
    return this.#host.operatorUrl
  }

  /** What a carrier beside HTTPS answers with, such as `NatsServer.open` of `fedlora/nats`. */
  get door(): Door & Registry {
    return this.#lives
  }

  /** How the federation stands. */
  standing(): Standing {
    return this.#lives.standing()
  }

  /**
   * A join token for one client, one word that is used once. Where clients come through NATS alone: the name of the file that `initNats` wrote for
   * this client, which opens the door anyway, and again after `revoke`.
   * @param hours - in which it must be used. Default 24.
   * @throws FedloraError `E_ARGUMENT`.
   */
  async invite(name: string, { hours = 24 }: { hours?: number } = {}): Promise<string> {
    return await this.#host.invite(name, 3600 * hours)
  }

  /** Shuts a client out; what it has answered counts as before. @throws FedloraError `E_ARGUMENT` for nobody's name. */
  async revoke(name: string): Promise<void> {
    await this.#lives.revoke(name)
  }

  /** No further round begins; the one under way goes on. */
  async pause(): Promise<void> {
    await this.#coordinator.pause()
  }

  async resume(): Promise<void> {
    await this.#coordinator.resume()
  }

  /** The round under way ends, and nothing of it counts. @throws FedloraError `E_ROUND_CLOSED` when there is none. */
  async abandonRound(): Promise<void> {
    await this.#coordinator.abandonRound()
  }

  /** The federation is over with what it has. */
  async stop(): Promise<void> {
    await this.#coordinator.stop()
  }

  /** Reads the operator's certificate again, or renews the server's own where that is due. */
  async renewCertificate(): Promise<void> {
    await this.#host.renew()
  }

  /** Names of clients that are at work or may come back, and have not heard that the federation is over; who was silent for two minutes is gone. */
  get unaware(): readonly string[] {
    return this.#lives.unaware
  }

  /** Resolves when every client of `unaware` has heard that the federation is over; at `signal` in any case. */
  async everyoneKnows(signal: AbortSignal): Promise<void> {
    await this.#lives.everyoneKnows(signal)
  }

  /** Lets requests under way end (`limits.drainSeconds`), and closes. The federation goes on where its folder is opened again. */
  async close(): Promise<void> {
    await Promise.all([this.#host.close(), this.#opened.nats?.rest()])
    await this.#opened.close()
  }
}

/**
 * Opens the server of a federation: begins it in an empty folder, and goes on with it in any other, whatever had stopped it.
 * It holds no model in memory, unless `evaluate` asks it to measure. @param onEvent - hears every event, from the first on. @param standby - with
 * `nats`: what is told, and what ends the waiting, while another server leads the federation; this one takes over when that one has ended, or fallen
 * silent.
 * @throws FedloraError `E_CONFIG`, `E_UNSUPPORTED`, `E_MISSING`, `E_LOCKED` (another process has the folder), `E_CHECKPOINT` (it is of another
 * federation), `E_JOURNAL_CORRUPT`, `E_IO` (a port, a file).
 * @example
 * ```ts
 * const server = await createServer({
 *   folder: 'server',
 *   listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
 *   model: { path: 'SmolLM2-135M-Instruct', quantization: 'nf4' },
 *   data: { format: 'alpaca' },
 *   federation: { rounds: 2, local: { steps: 1 } },
 * })
 * console.log(server.address, await server.invite('hospital-a'))
 * await server.close()
 * ```
 */
export async function createServer(
  options: ServerOptions,
  onEvent: (event: CoordinatorEvent) => void = () => {},
  standby: Standby = {},
): Promise<FederationServer> {
  const config = parseServerOptions(options)
  const { folder, listen, tls, nats, limits, log, https } = config
  let torn: (CoordinatorEvent & { type: 'torn' }) | undefined
  const opened = await openFolder(config, standby, (event) => {
    if (event.type === 'torn') torn = event
    onEvent(event)
  })
  const { coordinator } = opened
  try {
    const lives = new Lives(coordinator)
    const { run } = await coordinator.describe()
    const invite = async (name: string, seconds: number) => {
      await coordinator.invite(name, seconds)
      return ticketOf(name)
    }
    const host = await openHost({
      federation: lives,
      run,
      folder,
      listen,
      tls,
      limits,
      log,
      invite: https ? undefined : invite,
    })
    if (torn !== undefined) host.log.warn(torn, 'the journal ended within an append, which was cut off')
    try {
      await opened.nats?.serve(lives, ({ code, message, cause }) =>
        host.log.warn({ code, message, ...(cause instanceof Error && { stack: cause.stack }) }, 'serving through NATS'),
      )
      const observer = (await readFile(join(folder, 'observer.token'), 'utf8')).trim()
      return new FederationServer(opened, lives, host, { address: host.address ?? nats!.url, observer })
    } catch (error) {
      await host.close()
      throw error
    }
  } catch (error) {
    await opened.close()
    throw error
  }
}
