/**
 * Keys of secure aggregation over node:crypto: X25519 (RFC 7748), Ed25519 (RFC 8032), HKDF-SHA256 (RFC 5869), ChaCha20-Poly1305 (RFC 8439).
 * Keys are 32 raw bytes.
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  type KeyObject,
  sign as signBytes,
  verify as verifyBytes,
} from 'node:crypto'
import { FedloraError } from '../../../errors.js'

type Curve = 'X25519' | 'Ed25519'
const text = (key: Uint8Array) => Buffer.from(key).toString('base64url')

/** By JSON (RFC 8037), which OpenSSL takes ten times as fast as DER; `x`, the public key, is not looked at in a private one. */
const privateKey = (crv: Curve, key: Uint8Array): KeyObject =>
  createPrivateKey({ key: { kty: 'OKP', crv, d: text(key), x: '' }, format: 'jwk' })
const publicKey = (crv: Curve, key: Uint8Array): KeyObject =>
  createPublicKey({ key: { kty: 'OKP', crv, x: text(key) }, format: 'jwk' })
const publicOf = (crv: Curve, key: Uint8Array): Uint8Array =>
  new Uint8Array(Buffer.from(createPublicKey(privateKey(crv, key)).export({ format: 'jwk' }).x!, 'base64url'))

/** The X25519 public key of a private one. */
export const agreementKeyOf = (key: Uint8Array): Uint8Array => publicOf('X25519', key)
/** The Ed25519 public key of a private one. */
export const identityOf = (key: Uint8Array): Uint8Array => publicOf('Ed25519', key)

/** 32 bytes of HKDF-SHA256 with an empty salt. */
export const derive = (secret: Uint8Array, info: Uint8Array): Uint8Array =>
  new Uint8Array(hkdfSync('sha256', secret, new Uint8Array(0), info, 32))

/** @throws FedloraError `E_PROTOCOL` for a public key of low order, with which everybody would share one secret. */
export function agree(own: Uint8Array, peer: Uint8Array, whose: number): Uint8Array {
  let shared: Uint8Array
  try {
    shared = diffieHellman({ privateKey: privateKey('X25519', own), publicKey: publicKey('X25519', peer) })
  } catch (error) {
    throw lowOrder(whose, error)
  }
  if (shared.every((byte) => byte === 0)) throw lowOrder(whose)
  return shared
}

const lowOrder = (client: number, cause?: unknown) =>
  new FedloraError(
    'E_PROTOCOL',
    `client ${client} has a public key of low order: what is agreed on with it is no secret`,
    { client },
    cause,
  )

/** An Ed25519 signature. */
export const sign = (identity: Uint8Array, message: Uint8Array): Uint8Array =>
  new Uint8Array(signBytes(null, message, privateKey('Ed25519', identity)))

export function isSignedBy(identity: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verifyBytes(null, message, publicKey('Ed25519', identity), signature)
  } catch {
    return false
  }
}

const cipher = 'chacha20-poly1305'
/** A key seals one message. */
const nonce = new Uint8Array(12)
const tagLength = 16

export function seal(key: Uint8Array, text: Uint8Array, about: Uint8Array): Uint8Array {
  const box = createCipheriv(cipher, key, nonce, { authTagLength: tagLength })
  box.setAAD(about, { plaintextLength: text.length })
  return new Uint8Array(Buffer.concat([box.update(text), box.final(), box.getAuthTag()]))
}

/** What was sealed; undefined when it is damaged, or was sealed by or about something else. */
export function unseal(key: Uint8Array, sealed: Uint8Array, about: Uint8Array): Uint8Array | undefined {
  const length = sealed.length - tagLength
  if (length < 0) return undefined
  const box = createDecipheriv(cipher, key, nonce, { authTagLength: tagLength })
  box.setAAD(about, { plaintextLength: length })
  box.setAuthTag(sealed.subarray(length))
  try {
    return new Uint8Array(Buffer.concat([box.update(sealed.subarray(0, length)), box.final()]))
  } catch {
    return undefined
  }
}
