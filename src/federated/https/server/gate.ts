/** Who asks: the name of the client whose key signed a request, now, and once (RFC 9421; the window and the nonce against replay). */
import { FedloraError } from '../../../errors.js'
import type { Registry } from '../../link/link.js'
import { digestField } from '../digest.js'
import { publicKeyOf } from '../keys.js'
import { Nonces } from '../nonces.js'
import { verifySignature } from '../signature.js'
import { fieldOf, versionField } from '../wire.js'
import type { Exchange } from './exchange.js'

/** Seconds by which the date of a signature may differ from the server's clock. */
export const clockWindow = 120
const nonces = { lifetime: 2 * clockWindow + 60, most: 500_000 }

/** What a signature covers at least, by the method; a blob's bytes are named by the path. */
const always = ['"@method"', '"@target-uri"', `"${versionField}"`]
const required: Record<string, readonly string[]> = {
  GET: always,
  HEAD: always,
  POST: [...always, `"${digestField}"`],
  PATCH: [...always, '"upload-offset"', '"upload-length"'],
}

const refuse = (why: string): never => {
  throw new FedloraError('E_AUTH', `${why}; join again, or ask the operator of the federation`)
}

export class Gate {
  readonly #nonces = new Nonces(nonces.lifetime, nonces.most)

  constructor(
    readonly registry: Pick<Registry, 'clientOf'>,
    /** Milliseconds since 1970. */
    readonly now: () => number = Date.now,
  ) {}

  /** The client that signed. @throws FedloraError `E_AUTH`, `E_CLOCK`, `E_REVOKED`, `E_RATE`. */
  enter(exchange: Exchange): string {
    const client = this.registry.clientOf(exchange.signed.keyid)
    this.#check(exchange)
    return client
  }

  /** The key that signed, whoever has it. @throws FedloraError as `enter`. */
  stranger(exchange: Exchange): string {
    this.#check(exchange)
    return exchange.signed.keyid
  }

  #check(exchange: Exchange): void {
    const { request, origin, target } = exchange
    const read = exchange.signed
    const componentOf = (identifier: string): string | undefined => {
      if (identifier === '"@method"') return request.method
      if (identifier === '"@target-uri"') return origin + target
      return /^"[a-z0-9-]+"$/.test(identifier) ? fieldOf(request.headers, identifier.slice(1, -1)) : undefined
    }
    const wanted = required[request.method ?? ''] ?? refuse(`the method ${request.method} is not signed`)
    // Made anew each time: that takes a twentieth of what the signature takes, and kept it would have 1 KiB for each client.
    const key = publicKeyOf(read.keyid) ?? refuse('the keyid of the signature is no Ed25519 key')
    if (!verifySignature(read, wanted, componentOf, key)) {
      refuse(`the signature does not fit ${request.method} ${origin + target}, or covers less than ${wanted.join(' ')}`)
    }
    const now = Math.floor(this.now() / 1000)
    const ahead = read.created - now
    if (Math.abs(ahead) > clockWindow) throw clockError(ahead, now)
    // Half of a signature stands for key and nonce, which it covers, in a third of their memory.
    const used = this.#nonces.use(Buffer.from(read.signature.subarray(0, 32)).toString('latin1'), now)
    if (used === 'seen') refuse('this request came before: a signature counts once')
    if (used === 'full')
      throw new FedloraError('E_RATE', 'too many requests at a time; ask again later', { retryAfter: 60 })
  }
}

function clockError(ahead: number, now: number): FedloraError {
  const apart = Math.abs(ahead)
  const words = apart < 7200 ? `${Math.round(apart / 60)} minutes` : `${Math.round(apart / 3600)} hours`
  return new FedloraError(
    'E_CLOCK',
    `the client's clock is ${words} ${ahead < 0 ? 'behind' : 'ahead of'} the server's (at most ${clockWindow} s are allowed); set it, for example by NTP`,
    { seconds: ahead, serverTime: new Date(now * 1000).toISOString() },
  )
}
