/**
 * What a client needs to join, in one word that survives mails, chats and shells:
 *
 *   "fedlora_" base64url( version u8 | run 16 | run's key 32 | pin length u8 (0 or 32) | pin | secret length u8 | secret | address | CRC-32C )
 *
 * The pin is the SHA-256 of the DER bytes of the certificate authority, absent where the operator's certificate is one that machines trust
 * anyway. The check sum (little-endian, over all before it) tells a token that was cut or mistyped from a wrong one.
 */
import { FedloraError } from '../../errors.js'
import { crc32c } from '../../files/crc32c.js'

export interface JoinToken {
  /** `https://host:port`, with the path that a proxy wants before ours, without a slash at its end. */
  address: string
  /** Identity of the federation, 32 hexadecimal digits. */
  run: string
  /** The run's Ed25519 public key, raw, base64url: what the server says is signed by it. */
  key: string
  /** What enrolls one client, once. */
  secret: string
  /** SHA-256 of the certificate authority, 64 hexadecimal digits; undefined: the machine's own authorities are asked. */
  pin?: string
}

const prefix = 'fedlora_'
const version = 1
const longest = 4096

const refuse = (why: string, details: Record<string, unknown> = {}): never => {
  throw new FedloraError(
    'E_TOKEN',
    `this is not a join token: ${why}; ask the operator of the federation for a new one`,
    details,
  )
}

/** An address as tokens carry it. @throws FedloraError `E_TOKEN`. */
function checkAddress(text: string): string {
  let url: URL
  try {
    url = new URL(text)
  } catch {
    return refuse(`its address '${text.slice(0, 200)}' is no URL`)
  }
  if (url.protocol !== 'https:') return refuse(`its address begins with ${url.protocol}, expected https:`)
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return refuse('its address holds more than a host, a port and a path')
  }
  return url.origin + url.pathname.replace(/\/+$/, '')
}

export function formatJoinToken({ address, run, key, secret, pin }: JoinToken): string {
  const secretBytes = Buffer.from(secret, 'utf8')
  if (secretBytes.length === 0 || secretBytes.length > 255)
    refuse(`its secret has ${secretBytes.length} bytes, expected 1 to 255`)
  const pinBytes = Buffer.from(pin ?? '', 'hex')
  const body = Buffer.concat([
    Buffer.of(version),
    Buffer.from(run, 'hex'),
    Buffer.from(key, 'base64url'),
    Buffer.of(pinBytes.length),
    pinBytes,
    Buffer.of(secretBytes.length),
    secretBytes,
    Buffer.from(checkAddress(address), 'utf8'),
  ])
  const sum = Buffer.alloc(4)
  sum.writeUInt32LE(crc32c(body))
  return prefix + Buffer.concat([body, sum]).toString('base64url')
}

/** Reads a token; spaces and line breaks that came with it are no part of it. @throws FedloraError `E_TOKEN` that says what is wrong. */
export function parseJoinToken(text: string): JoinToken {
  if (typeof text !== 'string') return refuse(`got ${typeof text}, expected a text`)
  if (text.length > longest) return refuse(`it has ${text.length} characters, expected at most ${longest}`)
  const word = text.replace(/\s+/g, '')
  if (!word.startsWith(prefix)) return refuse(`it begins with '${word.slice(0, prefix.length)}', expected '${prefix}'`)
  const letters = word.slice(prefix.length)
  const wrong = /[^A-Za-z0-9_-]/u.exec(letters)
  if (wrong !== null) return refuse(`it holds '${wrong[0]}', expected letters, digits, - and _`)
  const bytes = Buffer.from(letters, 'base64url')
  if (bytes.length < 5 || bytes.toString('base64url') !== letters) return refuse('a part of it is missing')
  const body = bytes.subarray(0, -4)
  if (crc32c(body) !== bytes.readUInt32LE(body.length))
    return refuse('a part of it is missing or mistyped: its check sum does not fit')
  if (body[0] !== version)
    return refuse(`it is of version ${body[0]}, this fedlora reads version ${version}`, { version: body[0] })
  let at = 1
  const take = (length: number): Buffer => {
    if (at + length > body.length) refuse('it ends early')
    at += length
    return body.subarray(at - length, at)
  }
  const run = take(16).toString('hex')
  const key = take(32).toString('base64url')
  const pinLength = take(1)[0]!
  if (pinLength !== 0 && pinLength !== 32) refuse(`its pin has ${pinLength} bytes, expected 0 or 32`)
  const pin = take(pinLength).toString('hex')
  const secret = utf8(take(take(1)[0]!))
  if (secret === '') refuse('it has no secret')
  const address = checkAddress(utf8(body.subarray(at)))
  return { address, run, key, secret, ...(pin === '' ? {} : { pin }) }
}

function utf8(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refuse('it holds bytes that are no text')
  }
}
