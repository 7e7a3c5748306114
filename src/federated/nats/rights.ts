/**
 * The configuration of a NATS server that carries one federation: an account whose users are the federation's server and its clients, each with
 * the rights that it needs and no others. A client's user may speak as that client only, because its name is part of the subjects.
 */
import { FedloraError } from '../../errors.js'
import { namesOf, tokenOf } from './names.js'

export interface NatsUser {
  /** Public nkey (`U…`). */
  key: string
}

export interface NatsConfigInput {
  /** Of the federation's names: letters, digits, `_` and `-`. */
  space: string
  server: NatsUser
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

/** What a client's user may do: ask as itself, say what it knows, hear what it is told, read what all may read, and fill its own bucket. */
function rightsOf(space: string, client: string): { publish: string[]; subscribe: string[] } {
  const names = namesOf(space)
  const token = tokenOf(client)
  const kv = `KV_${names.offers}`
  const key = (name: string) => `$KV.${names.offers}.${name}`
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
  const down = `OBJ_${names.down}`
  const up = `OBJ_${names.up(token)}`
  return {
    publish: [
      names.ask(token),
      '$JS.API.INFO',
      key(names.known(token)),
      ...reading(kv, key(names.offer(token))),
      `$JS.API.DIRECT.GET.${kv}.${key(names.description)}`,
      ...reading(down, `$O.${names.down}.>`),
      `$JS.API.STREAM.MSG.GET.${down}`,
      ...reading(up, `$O.${names.up(token)}.>`),
      `$JS.API.STREAM.MSG.GET.${up}`,
      `$JS.API.STREAM.PURGE.${up}`,
      `$O.${names.up(token)}.>`,
    ],
    subscribe: [`${names.inbox(token)}.>`],
  }
}

/** The text of nats-server's configuration file. @throws FedloraError `E_ARGUMENT` for a name that cannot be part of a subject. */
export function natsConfig({ space, server, clients, store, listen, tls, monitor }: NatsConfigInput): string {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(space)) {
    const message = `space: got ${JSON.stringify(space)}, expected up to 32 letters, digits, '_' and '-'`
    throw new FedloraError('E_ARGUMENT', message, { space })
  }
  const users = [
    `      { nkey: ${server.key} }`,
    ...clients.map(({ key, name }) => {
      const { publish, subscribe } = rightsOf(space, name)
      return `      # ${JSON.stringify(name)}\n${userOf(key, publish, subscribe)}`
    }),
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
${users.join('\n')}
    ]
  }
}
`
}
