/**
 * The configuration of a NATS server that carries one federation: an account whose users are the federation's server, its workers and its clients, each with
 * the rights that it needs and no others. A client's user may speak as that client only, because its name is part of the subjects.
 */
import { FedloraError } from '../../errors.js'
import { namesOf, tokenOf, workersConsumer } from './names.js'

export interface NatsUser {
  /** Public nkey (`U…`). */
  key: string
}

export interface NatsConfigInput {
  /** Of the federation's names: letters, digits, `_` and `-`. */
  space: string
  server: NatsUser
  /** All workers. */
  worker: NatsUser
  clients: readonly (NatsUser & { name: string })[]
  /** Folder of the server's files. */
  store: string
  /** `host:port` that clients reach. */
  listen: string
  /** PEM files; absent: no TLS, for tests and private networks only. */
  tls?: { cert: string; key: string } | undefined
  /** `host:port` of the monitoring page, which tells fedlora how the server writes to disk. */
  monitor?: string | undefined
}

const list = (subjects: readonly string[]) => `[${subjects.map((subject) => JSON.stringify(subject)).join(', ')}]`

const userOf = (key: string, publish: readonly string[], subscribe: readonly string[]) =>
  `      { nkey: ${key}, permissions: { publish: ${list(publish)}, subscribe: ${list(subscribe)} } }`

/** What it takes to read the messages of a stream. */
const reading = (stream: string, subjects: string) => [
  `$JS.API.STREAM.INFO.${stream}`,
  `$JS.API.DIRECT.GET.${stream}.${subjects}`,
  `$JS.API.CONSUMER.CREATE.${stream}.*.${subjects}`,
  `$JS.API.CONSUMER.DELETE.${stream}.>`,
  `$JS.API.CONSUMER.INFO.${stream}.>`,
  `$JS.API.CONSUMER.MSG.NEXT.${stream}.>`,
  `$JS.ACK.${stream}.>`,
  '$JS.FC.>',
]

/** What it takes to read the objects of a bucket, and to put some. */
const bucket = (name: string) => [
  ...reading(`OBJ_${name}`, `$O.${name}.>`),
  `$JS.API.STREAM.MSG.GET.OBJ_${name}`,
  `$JS.API.STREAM.PURGE.OBJ_${name}`,
  `$O.${name}.>`,
]

/** What the users of workers may do: take work, read and put the server's blobs, and hand back. They see what clients send, as the server does. */
function workerRights(space: string): { publish: string[]; subscribe: string[] } {
  const names = namesOf(space)
  return {
    publish: [
      '$JS.API.INFO',
      `$JS.API.CONSUMER.INFO.${names.sums}.${workersConsumer}`,
      `$JS.API.CONSUMER.MSG.NEXT.${names.sums}.${workersConsumer}`,
      `$JS.ACK.${names.sums}.${workersConsumer}.>`,
      names.done,
      ...bucket(names.blobs),
    ],
    subscribe: [`${names.workerInbox}.>`],
  }
}

/** What a client's user may do: ask as itself, say what it knows, hear what it is told, read what all may read, and fill its own bucket. */
function rightsOf(space: string, client: string): { publish: string[]; subscribe: string[] } {
  const names = namesOf(space)
  const token = tokenOf(client)
  const kv = `KV_${names.offers}`
  const key = (name: string) => `$KV.${names.offers}.${name}`
  const down = `OBJ_${names.down}`
  return {
    publish: [
      names.ask(token),
      '$JS.API.INFO',
      key(names.known(token)),
      ...reading(kv, key(names.offer(token))),
      `$JS.API.DIRECT.GET.${kv}.${key(names.description)}`,
      ...reading(down, `$O.${names.down}.>`),
      `$JS.API.STREAM.MSG.GET.${down}`,
      ...bucket(names.up(token)),
    ],
    subscribe: [`${names.inbox(token)}.>`],
  }
}

/** A client's user in the configuration, behind its name. */
export function clientLines(space: string, { key, name }: NatsUser & { name: string }): string {
  const { publish, subscribe } = rightsOf(space, name)
  return `      # ${JSON.stringify(name)}\n${userOf(key, publish, subscribe)}`
}

/** The end of the list of users, on a line of its own. */
export const endOfUsers = '\n    ]\n'

/** The text of nats-server's configuration file. @throws FedloraError `E_ARGUMENT` for a name that cannot be part of a subject. */
export function natsConfig({ space, server, worker, clients, store, listen, tls, monitor }: NatsConfigInput): string {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(space)) {
    const message = `space: got ${JSON.stringify(space)}, expected up to 32 letters, digits, '_' and '-'`
    throw new FedloraError('E_ARGUMENT', message, { space })
  }
  const ofWorkers = workerRights(space)
  const users = [
    `      { nkey: ${server.key} }`,
    `      # workers\n${userOf(worker.key, ofWorkers.publish, ofWorkers.subscribe)}`,
    ...clients.map((client) => clientLines(space, client)),
  ]
  return `# nats-server -c FILE: carries the federation ${JSON.stringify(space)}. Made by \`fedlora nats init\`.
listen: ${JSON.stringify(listen)}
${monitor === undefined ? '' : `http: ${JSON.stringify(monitor)}\n`}max_payload: 1MB
jetstream {
  store_dir: ${JSON.stringify(store)}
  # Nothing is acknowledged before it is on disk.
  sync_interval: always
}
${tls === undefined ? '' : `tls { cert_file: ${JSON.stringify(tls.cert)}, key_file: ${JSON.stringify(tls.key)} }\n`}accounts {
  FEDERATION {
    jetstream: enabled
    users: [
${users.join('\n')}${endOfUsers}  }
}
`
}
