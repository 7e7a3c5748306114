/** The private key of a node: reads it, and signs what the node asks. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { checkPath } from '../../files/path.js'
import { curves } from './keygen.js'

export class NodeKey {
  /** PEM of the public key: how the server knows the node. */
  readonly publicPem: Buffer
  readonly #private: KeyObject

  constructor(key: KeyObject) {
    this.#private = key
    this.publicPem = Buffer.from(createPublicKey(key).export({ type: 'spki', format: 'pem' }) as string)
  }

  /** SHA-256 of the public key, in hexadecimal. */
  get fingerprint(): string {
    return createHash('sha256').update(this.publicPem).digest('hex')
  }

  /**
   * The headers of a request: an ECDSA signature with SHA-256 over the time, in UTC. It covers nothing else of the request, and the server
   * takes it for five minutes: who reads it may ask in this node's name for as long. Hence TLS.
   */
  headers(now: Date): Record<string, string> {
    // Python's isoformat; its 3.10 reads no Z.
    const timestamp = now.toISOString().replace('Z', '000+00:00')
    return {
      'flwr-public-key': this.publicPem.toString('base64'),
      'flwr-timestamp': timestamp,
      'flwr-signature': sign('sha256', Buffer.from(timestamp), this.#private).toString('base64'),
    }
  }
}

/**
 * Reads a private key as `keygenFlower` writes it.
 * @throws FedloraError `E_MISSING`, `E_IO`, `E_FORMAT` for another kind of file or curve.
 */
export async function readNodeKey(path: string): Promise<NodeKey> {
  checkPath(path, 'flower key')
  let pem: string
  try {
    pem = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, `cannot read '${path}'`)
    const message = `flower key: '${path}' does not exist; make one by fedlora flower keygen ${path}`
    throw new FedloraError('E_MISSING', message, { path }, error)
  }
  const refuse = (why: string, cause?: unknown): never => {
    const message = `flower key: '${path}' ${why}; expected the private key of fedlora flower keygen (P-384 or P-256, PKCS#8 PEM)`
    throw new FedloraError('E_FORMAT', message, { path }, cause)
  }
  if (pem.includes('BEGIN OPENSSH PRIVATE KEY')) {
    refuse("is in OpenSSH's own format (ssh-keygen -p -m PKCS8 -f FILE rewrites a copy)")
  }
  if (pem.startsWith('ecdsa-sha2-') || pem.includes('BEGIN PUBLIC KEY')) refuse('is a public key')
  let key: KeyObject
  try {
    key = createPrivateKey(pem)
  } catch (error) {
    return refuse('is no private key, or one with a passphrase', error)
  }
  if (key.asymmetricKeyType !== 'ec') refuse(`is a key of kind ${key.asymmetricKeyType}`)
  const curve = key.asymmetricKeyDetails!.namedCurve!
  if (!Object.hasOwn(curves, curve)) refuse(`is on the curve ${curve}`)
  return new NodeKey(key)
}
