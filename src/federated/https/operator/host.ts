/**
 * A federation's server, whole: the port of the clients, the operator's side, figures, the log and the audit log. In its folder:
 *
 *   tls/              keys and certificates (tls-folder.ts)
 *   operator.token    and observer.token: who may act, who may look
 *   operator.json     where the operator's side listens, while the server runs
 *   audit.ndjson      who did what
 */
import { rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import type { Logger } from 'pino'
import { makeFolder } from '../../../files/atomic.js'
import { writeJsonFile } from '../../../files/json.js'
import type { Door, Registry } from '../../link/link.js'
import type { LimitsConfig, ListenConfig, TlsConfig } from '../options.js'
import { type Served, serveHttps } from '../server/serve.js'
import { listenForOperator } from './listener.js'
import { Audit, type LogLevel, logAnswered, openLog } from './log.js'
import { Metrics } from './metrics.js'
import { type Operations, operatorRoutes } from './routes.js'
import { Roles } from './tokens.js'

/** A federation as a host needs it. */
export type Hosted = Door & Registry & Omit<Operations, 'invite' | 'trouble'>

export interface HostOptions {
  federation: Hosted
  run: string
  folder: string
  listen: ListenConfig
  tls: TlsConfig
  limits: LimitsConfig
  /** How invitations are made where no client comes by HTTPS; absent: by join tokens, and there is a port for clients. */
  invite?: ((name: string, seconds: number) => Promise<string>) | undefined
  /** Least severe lines of the log, which goes to the standard error stream. */
  log?: LogLevel
  /** Milliseconds since 1970. */
  now?: () => number
}

export interface Host {
  /** Where clients reach it; undefined: not by HTTPS. */
  address: string | undefined
  operatorUrl: string
  log: Logger
  /** A join token for one client, as it is pasted. */
  invite(name: string, seconds: number): Promise<string>
  /** Renews certificates where that is due, or reads the operator's again. */
  renew(): Promise<void>
  /** Refuses new work, lets requests under way end, and closes both ports. The federation stays open. */
  close(): Promise<void>
}

/** Bytes that must be free for a server to be called ready. */
const leastFree = 256 * 2 ** 20

async function diskTrouble(folder: string): Promise<string | undefined> {
  const { bavail, bsize } = await statfs(folder)
  return bavail * bsize >= leastFree ? undefined : `'${folder}' has less than ${leastFree} bytes left; free some space`
}

/** @throws FedloraError `E_IO`, `E_MISSING`, `E_FORMAT` for ports or files that cannot be had. */
export async function openHost(options: HostOptions): Promise<Host> {
  const { federation, run, folder, listen, tls, limits, now } = options
  await makeFolder(folder)
  const log = openLog(options.log ?? 'silent', run)
  const audit = new Audit(folder)
  let served: Served | undefined
  const metrics = new Metrics({
    standing: () => federation.standing(),
    waiting: () => served?.waiting() ?? 0,
    connections: async () => (await served?.connections()) ?? 0,
  })
  const closers: (() => Promise<void> | void)[] = [() => audit.close(), () => metrics.close()]
  const close = async () => {
    for (const end of closers.splice(0).reverse()) await end()
  }
  try {
    const openClients = () =>
      serveHttps({
        door: federation,
        registry: federation,
        run,
        folder,
        listen,
        tls,
        limits,
        now,
        answered(record) {
          metrics.answered(record)
          logAnswered(log, record)
        },
        enrolled(client, address) {
          metrics.enrolled()
          audit.note(client, 'enroll', { address })
          log.info({ client, address }, 'enrolled')
        },
        refused(reason) {
          metrics.refused(reason)
          log.debug({ reason }, 'a connection came to nothing')
        },
      })
    if (options.invite === undefined) {
      served = await openClients()
      closers.push(() => served!.close())
    }
    const address = served?.address
    const invite = options.invite ?? served!.invite
    const renew = served?.renew ?? (async () => {})
    const roles = await Roles.open(folder)
    const operations: Operations = {
      standing: () => federation.standing(),
      invite,
      revoke: (name) => federation.revoke(name),
      pause: (who) => federation.pause(who),
      resume: (who) => federation.resume(who),
      abandonRound: (who) => federation.abandonRound(who),
      stop: (who, why) => federation.stop(who, why),
      exportAdapter: () => federation.exportAdapter(),
      trouble: () => diskTrouble(folder),
    }
    const operator = await listenForOperator(listen.admin, roles, operatorRoutes(operations, metrics, audit))
    closers.push(() => operator.close())
    const place = join(folder, 'operator.json')
    await writeJsonFile(place, { url: operator.url, pid: process.pid })
    closers.push(() => rm(place, { force: true }))
    log.info({ address, operator: operator.url }, 'listening')
    return { address, operatorUrl: operator.url, log, invite, renew, close }
  } catch (error) {
    await close()
    throw error
  }
}
