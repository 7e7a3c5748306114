/** Ed25519 keys: a client's, which proves who asks, and the run's, which proves who answers. Private keys lie in files that only their owner reads. */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { FedloraError } from '../../errors.js'
import { ioError } from '../../files/atomic.js'
import { writeSecret } from '../../files/secret-file.js'

export interface SigningKey {
  private: KeyObject
  /** The public key, raw, base64url: 43 characters. */
  name: string
}

const rawKey = /^[A-Za-z0-9_-]{43}$/

/** A public key by its name; undefined for what is none. */
export function publicKeyOf(name: string): KeyObject | undefined {
  if (!rawKey.test(name) || Buffer.from(name, 'base64url').toString('base64url') !== name) return undefined
  return createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: name }, format: 'jwk' })
}

const withName = (key: KeyObject): SigningKey => ({
  private: key,
  name: createPublicKey(key).export({ format: 'jwk' }).x!,
})

/** The private half, 32 bytes. */
export function privateBytes({ private: key }: SigningKey): Uint8Array {
  const { d } = key.export({ format: 'jwk' })
  return new Uint8Array(Buffer.from(d!, 'base64url'))
}

/**
 * A new key: 32 random bytes (RFC 8032 §5.1.5). Not by `generateKeyPair`: Node 20 stands still for ever when a garbage collection meets the export of
 * such a key, because both want its lock.
 */
export function makeSigningKey(): SigningKey {
  const d = randomBytes(32).toString('base64url')
  return withName(createPrivateKey({ key: { kty: 'OKP', crv: 'Ed25519', d, x: '' }, format: 'jwk' }))
}

/**
 * The key that lies in the file `path`; a new one is made, and durable, when there is none.
 * @throws FedloraError `E_FORMAT` for a file that holds no Ed25519 key, `E_IO`.
 */
export async function openSigningKey(path: string): Promise<SigningKey> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw ioError(error, `cannot read '${path}'`)
    const made = makeSigningKey()
    await writeSecret(path, made.private.export({ type: 'pkcs8', format: 'pem' }).toString())
    return made
  }
  let key: KeyObject | undefined
  try {
    key = createPrivateKey(text)
  } catch {} // told below
  if (key?.asymmetricKeyType !== 'ed25519') {
    throw new FedloraError(
      'E_FORMAT',
      `'${path}' holds no Ed25519 private key (PKCS #8, PEM); bring back the file from a backup`,
      { path },
    )
  }
  return withName(key)
}
