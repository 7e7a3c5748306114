/**
 * How a client comes to its server, in its folder:
 *
 *   client.key      its Ed25519 key, made here; the private half never leaves
 *   server.json     whom it has joined, as whom, and with which token (its SHA-256)
 *   authority-*.pem   the one authority that it believes, where the token pins one
 *
 * A token is used once: afterwards the key opens the door, and the same token with the same folder goes on.
 */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { FedloraError } from '../../../errors.js'
import { exists, ioError, makeFolder, writeTextFile } from '../../../files/atomic.js'
import { readJsonObject, writeJsonFile } from '../../../files/json.js'
import { parseOptions } from '../../../options/parse.js'
import { runIdSchema } from '../../link/messages.js'
import { type JoinToken, parseJoinToken } from '../join-token.js'
import { openSigningKey, type SigningKey } from '../keys.js'
import { paths } from '../wire.js'
import { Connection, type Trust } from './connection.js'
import { fetchAuthority } from './first-contact.js'
import { HttpsLink } from './link.js'

export interface JoinOptions {
  signal?: AbortSignal
  /** PEM file of the authority to believe where the token pins none; default: those of this machine. */
  authority?: string
  /** PEM files of a certificate, for servers that ask for one. */
  certificate?: string
  key?: string
  environment?: NodeJS.ProcessEnv
}

export interface Joined {
  link: HttpsLink
  /** The name that the server knows this client by. */
  client: string
  run: string
  address: string
}

const joinedSchema = z.strictObject({
  address: z.string(),
  run: runIdSchema,
  key: z.string(),
  token: z.string(),
  client: z.string(),
})
type Membership = z.output<typeof joinedSchema>

async function readMembership(folder: string): Promise<Membership | undefined> {
  const path = join(folder, 'server.json')
  if (!(await exists(path))) return undefined
  return parseOptions(joinedSchema, await readJsonObject(path, 'what this client has joined'), path)
}

async function text(path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined
  return await readFile(path, 'utf8').catch((error) => {
    throw ioError(error, `cannot read '${path}'`)
  })
}

/** The authority that the token pins, from the folder or from the server itself; without a pin the one that the options name. */
async function trustOf(
  folder: string,
  { address, pin }: JoinToken,
  options: JoinOptions,
  signal: AbortSignal,
): Promise<Trust> {
  const own = { certificate: await text(options.certificate), key: await text(options.key) }
  if (pin === undefined) return { ...own, authority: await text(options.authority) }
  const path = join(folder, `authority-${pin.slice(0, 16)}.pem`)
  if (!(await exists(path))) {
    await writeTextFile(path, await fetchAuthority(address, pin, own, options.environment ?? process.env, signal))
  }
  return { ...own, authority: await text(path) }
}

async function enroll(link: HttpsLink, secret: string, signal: AbortSignal): Promise<string> {
  const { content } = await link.ask('POST', paths.enroll, signal, {}, { token: secret })
  const { client } = JSON.parse(content.toString('utf8')) as { client?: unknown }
  if (typeof client !== 'string')
    throw new FedloraError('E_PROTOCOL', 'the server enrolled this client without telling its name')
  return client
}

/**
 * Joins the federation of a token, or goes on as the client that this folder has become.
 * @throws FedloraError `E_TOKEN`, `E_TOKEN_USED`, `E_AUTH` for a server that is not the token's, `E_CONFIG` for a folder of another federation,
 * `E_UNREACHABLE`, `E_IO`.
 */
export async function joinServer(token: string, folder: string, options: JoinOptions = {}): Promise<Joined> {
  const parsed = parseJoinToken(token)
  const { address, run, key: runKey, secret } = parsed
  const signal = options.signal ?? new AbortController().signal
  await makeFolder(folder)
  const before = await readMembership(folder)
  if (before !== undefined && before.run !== run) {
    throw new FedloraError(
      'E_CONFIG',
      `'${folder}' belongs to another federation (${before.run}); choose another folder for this one`,
      { folder },
    )
  }
  const key: SigningKey = await openSigningKey(join(folder, 'client.key'))
  const trust = await trustOf(folder, parsed, options, signal)
  const link = new HttpsLink(new Connection(address, trust, options.environment), key, runKey)
  const hash = createHash('sha256').update(secret).digest('hex')
  try {
    const client = before?.token === hash ? before.client : await enroll(link, secret, signal)
    const membership: Membership = { address, run, key: runKey, token: hash, client }
    if (JSON.stringify(membership) !== JSON.stringify(before))
      await writeJsonFile(join(folder, 'server.json'), membership)
    return { link, client, run, address }
  } catch (error) {
    await link.close()
    throw error
  }
}
