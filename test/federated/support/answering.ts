/** A door whose answers the test gives. */
import { FedloraError } from '../../../src/errors.js'
import type { Door, Registry } from '../../../src/federated/link/link.js'
import type { Known, Notice } from '../../../src/federated/link/messages.js'

export class Answering implements Door, Registry {
  readonly keys = new Map<string, string>()
  readonly asked: { known: Known; signal: AbortSignal; tell(notice: Notice): void }[] = []
  #onAsked = () => {}

  next(_client: string, known: Known, signal: AbortSignal): Promise<Notice | undefined> {
    return new Promise((tell) => {
      this.asked.push({ known, signal, tell })
      this.#onAsked()
    })
  }

  /** Resolves when so many questions have come. */
  async until(count: number): Promise<void> {
    while (this.asked.length < count) await new Promise<void>((resolve) => (this.#onAsked = resolve))
  }

  describe = async () => ({}) as never
  say = async () => ({ type: 'taken' }) as const
  offset = async () => 0
  write = async () => 0
  read = async (_client: string, blob: string) => {
    throw new FedloraError('E_BLOB_MISSING', `no ${blob}`)
  }
  invite = async (name: string) => ({ token: name })
  enroll = async (token: string, key: string) => {
    this.keys.set(key, token)
    return { client: token }
  }
  admit = async (client: string, key: string) => {
    const owner = this.keys.get(key) ?? client
    if (owner !== client) throw new FedloraError('E_AUTH', `the key of ${owner}`)
    this.keys.set(key, client)
  }
  clientOf(key: string): string {
    const client = this.keys.get(key)
    if (client === undefined) throw new FedloraError('E_AUTH', 'nobody')
    return client
  }
  revoke = async () => {}
}
