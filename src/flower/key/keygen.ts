/** A key of a Flower node: the private one as PKCS#8 PEM for this client, the public one as the OpenSSH line that `flwr supernode register` takes. */
import { createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { mkdir, open, rm } from 'node:fs/promises'
import { dirname } from 'node:path'
import { FedloraError } from '../../errors.js'
import { ioError, syncPath } from '../../files/atomic.js'
import { checkPath } from '../../files/path.js'

/** NIST curves that Flower takes: name in OpenSSL → name in OpenSSH (RFC 5656). */
export const curves: Readonly<Record<string, string>> = { secp384r1: 'nistp384', prime256v1: 'nistp256' }

/** A text or bytes behind their length. */
function withLength(value: string | Uint8Array): Buffer {
  const bytes = Buffer.from(value as Uint8Array)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

/** The public key as a line of OpenSSH (RFC 5656 §3.1): kind, base64 of kind, curve and the point x ‖ y behind 0x04. */
export function openSshLine(publicKey: KeyObject): string {
  const curve = curves[publicKey.asymmetricKeyDetails!.namedCurve!]!
  const { x, y } = publicKey.export({ format: 'jwk' })
  const point = Buffer.concat([Buffer.of(4), Buffer.from(x!, 'base64url'), Buffer.from(y!, 'base64url')])
  const kind = `ecdsa-sha2-${curve}`
  return `${kind} ${Buffer.concat([withLength(kind), withLength(curve), withLength(point)]).toString('base64')}`
}

/** Writes a file that must not be there yet. */
async function writeNew(path: string, text: string, mode: number): Promise<void> {
  try {
    const handle = await open(path, 'wx', mode)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw ioError(error, `cannot write '${path}'`)
    const message = `flower keygen: '${path}' exists and is not overwritten; choose another name`
    throw new FedloraError('E_ARGUMENT', message, { path }, error)
  }
}

/**
 * Makes the key of a node: `path` (P-384, PKCS#8 PEM, readable by its owner alone) and `path.pub` (one line of OpenSSH). The operator of the
 * server registers the second with `flwr supernode register`; the first never leaves the machine.
 * @param comment - behind the key in `path.pub`.
 * @throws FedloraError `E_ARGUMENT` when one of the files exists, `E_IO`.
 * @example
 * ```ts
 * const { publicKey } = await keygenFlower('site-a')
 * console.log(publicKey) // ecdsa-sha2-nistp384 AAAA…
 * ```
 */
export async function keygenFlower(
  path: string,
  comment = '',
): Promise<{ privateFile: string; publicFile: string; publicKey: string }> {
  checkPath(path, 'flower keygen')
  if (typeof comment !== 'string' || /[\r\n]/.test(comment)) {
    throw new FedloraError('E_ARGUMENT', 'flower keygen: the comment is one line of text', { comment })
  }
  // As text: what `generateKeyPair` gives as an object must not be exported (federated/https/keys.ts).
  const { privateKey, publicKey } = generateKeyPairSync('ec', {
    namedCurve: 'secp384r1',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  const line = openSshLine(createPublicKey(publicKey))
  const publicFile = `${path}.pub`
  await mkdir(dirname(path), { recursive: true })
  await writeNew(path, privateKey, 0o600)
  try {
    await writeNew(publicFile, `${line}${comment && ` ${comment}`}\n`, 0o644)
  } catch (error) {
    await rm(path, { force: true })
    throw error
  }
  await syncPath(dirname(path))
  return { privateFile: path, publicFile, publicKey: line }
}
