/** What a federation's things are called in NATS. Operators grant rights by these names; see rights.ts. */
import { FedloraError } from '../../errors.js'

/** A client's name as one token of a subject: as it is where that is possible, else its UTF-8 in hexadecimal digits behind `x-`. */
export function tokenOf(client: string): string {
  const plain = /^[A-Za-z0-9_-]{1,64}$/.test(client) && !client.startsWith('x-')
  return plain ? client : `x-${Buffer.from(client, 'utf8').toString('hex')}`
}

/** The name behind a token. */
export const clientOf = (token: string): string =>
  token.startsWith('x-') ? Buffer.from(token.slice(2), 'hex').toString('utf8') : token

/** @throws FedloraError `E_CONFIG` for two names that files and subjects could not tell apart. */
export function checkNames(clients: readonly string[]): void {
  const tokens = new Map<string, string>()
  for (const name of clients) {
    const token = tokenOf(name).toLowerCase()
    const other = tokens.get(token)
    if (other !== undefined) {
      const message = `clients: ${JSON.stringify(name)} and ${JSON.stringify(other)} would have one name in files and subjects; choose another`
      throw new FedloraError('E_CONFIG', message, { clients: [other, name] })
    }
    tokens.set(token, name)
  }
}

/** Of the stream of work: what hands it to workers, and to the server what they hand back. */
export const [workersConsumer, serverConsumer] = ['workers', 'server']

/** Names of all that belongs to one federation. `space` is the operator's: letters, digits, `_` and `-`. */
export const namesOf = (space: string) => ({
  /** Stream of the journal, and its subject. */
  journal: `FL_${space}_journal`,
  journalSubject: `fl.${space}.journal`,
  /** Bucket of what every client may read: the description, and by client what it knows and what it is told. */
  offers: `fl_${space}_offers`,
  known: (token: string) => `known.${token}`,
  offer: (token: string) => `offer.${token}`,
  description: 'description',
  /** Bucket that holds who leads. */
  leader: `fl_${space}_leader`,
  /** The server's own objects: its vectors, and answers until their round has ended. */
  blobs: `fl_${space}_blobs`,
  /** Objects for clients, and of one client. */
  down: `fl_${space}_down`,
  up: (token: string) => `fl_${space}_up_${token}`,
  /** Requests of a client. */
  ask: (token: string) => `fl.${space}.ask.${token}`,
  asks: `fl.${space}.ask.*`,
  /** Stream of the work of aggregators, and its subjects: what waits for one, and what they hand back. */
  sums: `FL_${space}_sums`,
  work: `fl.${space}.work`,
  done: `fl.${space}.done`,
  inbox: (token: string) => `_INBOX_${space}_${token}`,
  /** `+` is in no client's token. */
  workerInbox: `_INBOX_${space}_+workers`,
  /** Where a client hears that a server has begun: what it had asked of another one is not answered any more. */
  began: (token: string) => `_INBOX_${space}_${token}.began`,
})

export type Names = ReturnType<typeof namesOf>
