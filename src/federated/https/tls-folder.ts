/**
 * What a server proves itself with, in FOLDER/tls:
 *
 *   authority.pem, authority.key   made at the first start; join tokens pin them, so they stay
 *   server.pem, server.key         made anew before they end, or when the server gets another name
 *
 * The operator's own files may stand in their place; they are read again whenever they are asked for.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { chmod, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../errors.js'
import { exists, ioError, makeFolder, writeTextFile } from '../../files/atomic.js'
import { writeSecret } from '../../files/secret-file.js'
import { type Certified, fingerprintOf, isStale, makeAuthority, makeServerCertificate } from './certificates.js'
import type { TlsConfig } from './options.js'

export interface ServerIdentity {
  /** PEM: the server's certificate, then what leads to its authority. */
  chain: string
  key: string
  /** Fingerprint of our own authority; undefined for the operator's files. */
  pin?: string
  /** PEM of the authority whose certificates clients must show. */
  clientAuthority?: string
}

async function read(path: string, what: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT'
    throw missing
      ? new FedloraError('E_MISSING', `${what}: '${path}' does not exist`, { path }, error)
      : ioError(error, `cannot read '${path}'`)
  }
}

/** Certificate and key, once they are known to be readable and to belong together. @throws FedloraError `E_FORMAT`. */
function checkPair(certificate: string, key: string, path: string): void {
  let fits: boolean
  try {
    fits = new X509Certificate(certificate).checkPrivateKey(createPrivateKey(key))
  } catch (error) {
    throw new FedloraError(
      'E_FORMAT',
      `'${path}' or the key beside it cannot be read as PEM: ${(error as Error).message}`,
      { path },
      error,
    )
  }
  if (!fits) throw new FedloraError('E_FORMAT', `'${path}' is not the certificate of the key beside it`, { path })
}

/** What lies under a name of the folder; undefined when nothing does. */
async function stored(folder: string, name: string): Promise<Certified | undefined> {
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}.key`)]
  if (!(await exists(certificate)) || !(await exists(key))) return undefined
  const pair = { certificate: await read(certificate, 'certificate'), key: await read(key, 'private key') }
  checkPair(pair.certificate, pair.key, certificate)
  return pair
}

/** The key first: a certificate without its key says that making it was cut short. */
async function store(folder: string, name: string, { certificate, key }: Certified): Promise<void> {
  await writeSecret(join(folder, `${name}.key`), key)
  await writeTextFile(join(folder, `${name}.pem`), certificate)
}

async function openAuthority(folder: string, run: string): Promise<Certified> {
  const found = await stored(folder, 'authority')
  if (found !== undefined) return found
  if (await exists(join(folder, 'authority.pem'))) {
    throw new FedloraError(
      'E_MISSING',
      `'${folder}' has a certificate authority without its key; bring authority.key back from a backup: every client trusts that authority alone`,
      { folder },
    )
  }
  const made = await makeAuthority(`fedlora ${run.slice(0, 8)}`)
  await store(folder, 'authority', made)
  return made
}

/**
 * What the server of a run proves itself with, made or renewed where that is due.
 * @param names - of the server's certificate.
 * @throws FedloraError `E_MISSING`, `E_FORMAT` for files that are not there or do not fit, `E_IO`.
 */
export async function openIdentity(
  folder: string,
  tls: Exclude<TlsConfig, false>,
  names: readonly string[],
  run: string,
): Promise<ServerIdentity> {
  const clients =
    tls.clientAuthority === undefined ? {} : { clientAuthority: await read(tls.clientAuthority, 'tls.clientAuthority') }
  if (tls.certificate !== undefined && tls.key !== undefined) {
    const [chain, key] = [await read(tls.certificate, 'tls.certificate'), await read(tls.key, 'tls.key')]
    checkPair(chain, key, tls.certificate)
    return { chain, key, ...clients }
  }
  const place = join(folder, 'tls')
  await makeFolder(place)
  await chmod(place, 0o700)
  const authority = await openAuthority(place, run)
  let server = await stored(place, 'server').catch(() => undefined) // made anew below
  if (server === undefined || isStale(server, createPrivateKey(server.key), authority.certificate, names)) {
    server = await makeServerCertificate(authority, names)
    await store(place, 'server', server)
  }
  const pin = fingerprintOf(new X509Certificate(authority.certificate))
  return { chain: server.certificate + authority.certificate, key: server.key, pin, ...clients }
}
