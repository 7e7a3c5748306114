/** Joining a federation by its token, or over a link of one's own. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import { joinServer } from '../federated/https/client/join.js'
import type { ClientLink } from '../federated/link/link.js'
import type { ParticipantEvent, ParticipantResult } from '../federated/participant/events.js'
import { type Connect, type ParticipantOptions, takePart } from '../federated/participant/join.js'
import type { Run } from '../run/run.js'
import { joinNats } from './join-nats.js'

export interface JoinFederationOptions extends ParticipantOptions {
  /** What the operator has given: one line, for one client. The folder remembers whom it has joined: the same token goes on. */
  token?: string
  /** In place of a token: a way to the server of one's own. */
  link?: ClientLink
  /** In place of a token: the file that `fedlora nats init` wrote for this client, where NATS carries the federation. */
  nats?: string
  /** PEM file of the authority to believe, for a server whose token pins none; default: those of this machine. */
  authority?: string
  /** PEM file of this client's own certificate, for servers that ask for one. */
  certificate?: string
  /** PEM file of the certificate's key. */
  key?: string
}

/** @throws FedloraError `E_ARGUMENT` unless there is exactly one way to the server. */
function wayTo({ token, link, nats, authority, certificate, key, folder }: JoinFederationOptions): Connect {
  const refuse = (message: string): never => {
    throw new FedloraError('E_ARGUMENT', `joinFederation: ${message}`)
  }
  if ([token, link, nats].filter((way) => way !== undefined).length !== 1)
    refuse('expected a token, a link or nats, and one of them')
  if (nats !== undefined) {
    if (typeof nats !== 'string' || nats === '') return refuse(`nats: got ${describeValue(nats)}, expected a file`)
    return (signal) => joinNats(nats, folder, signal)
  }
  if (link !== undefined) {
    const isLink = typeof link === 'object' && link !== null && typeof link.describe === 'function'
    return isLink ? async () => ({ link }) : refuse(`link: got ${describeValue(link)}, expected a link`)
  }
  if (typeof token !== 'string') return refuse(`token: got ${describeValue(token)}, expected a text`)
  const files = { authority, certificate, key }
  for (const [name, file] of Object.entries(files)) {
    if (file !== undefined && typeof file !== 'string') refuse(`${name}: got ${describeValue(file)}, expected a file`)
  }
  const given = Object.fromEntries(Object.entries(files).filter(([, file]) => file !== undefined))
  return (signal) => joinServer(token, folder, { signal, ...given })
}

/**
 * Takes part in a federation until it ends. The run starts at once; iterate it for its events, await it for its result. `break`, `stop()` and the
 * signal end it at once, and nothing is lost: the same call with the same folder goes on, also after a crash or a loss of power, and also when
 * the server was away.
 *
 * The rows never leave this machine. What is sent are the encoded vectors of an answer, how many rows, steps and tokens they are of, and their
 * mean loss; `approve` sees each answer before its first byte leaves. Only connections to the server are made, through the proxy of the
 * environment (`HTTPS_PROXY`, `NO_PROXY`) where there is one.
 * @throws FedloraError `E_CONFIG`, `E_ARGUMENT` at once; the run rejects with `E_TOKEN`, `E_TOKEN_USED`, `E_AUTH`, `E_REVOKED`, `E_LOCKED` (another
 * process has the folder), `E_BASE` (the model is not the federation's), `E_DATA`, `E_CHECKPOINT` (the folder is damaged), `E_PROTOCOL`,
 * `E_UNSUPPORTED`, `E_IO`, `E_DISK_FULL`, or the signal's reason.
 * @example
 * ```ts
 * const server = await createServer({
 *   folder: 'server-of-one',
 *   listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
 *   model: { path: 'SmolLM2-135M-Instruct' },
 *   adapter: { rank: 2 },
 *   data: { format: 'alpaca' },
 *   federation: { rounds: 1, local: { steps: 1, batchSize: 2 } },
 * })
 * const run = joinFederation({
 *   token: await server.invite('hospital-a'),
 *   data: 'notes.jsonl',
 *   model: 'SmolLM2-135M-Instruct',
 *   folder: 'federation',
 *   limits: { memory: '4 GiB', steps: 200, bytesUp: '8 MiB' },
 *   approve: ({ round, bytes, norm }) => bytes < 1e6 && Number.isFinite(norm) && round > 0,
 * })
 * for await (const event of run) if (event.type === 'outcome') console.log(event.round, event.counted)
 * const { counted } = await run
 * await server.close()
 * ```
 */
export function joinFederation(options: JoinFederationOptions): Run<ParticipantEvent, ParticipantResult> {
  const given: Partial<JoinFederationOptions> = { ...options }
  const connect = wayTo(options ?? {})
  for (const name of ['token', 'link', 'nats', 'authority', 'certificate', 'key'] as const) delete given[name]
  return takePart(connect, given as ParticipantOptions)
}
