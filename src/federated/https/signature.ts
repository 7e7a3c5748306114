/**
 * HTTP message signatures with Ed25519, one signature a message, under the label `fedlora`. Source: RFC 9421 §2.5 (base), §3.3.6 (Ed25519).
 *
 *   base = "\"@method\": POST\n" … "\"@signature-params\": (\"@method\" …);created=…;nonce=\"…\";keyid=\"…\""
 */
import { type KeyObject, sign, verify } from 'node:crypto'
import { FedloraError } from '../../errors.js'
import { innerListText, parametersText, parseDictionary } from './structured-fields.js'

const label = 'fedlora'

/** What a signature covers, in order: the identifier of each component as the base writes it, and its value. */
export type Covered = readonly (readonly [identifier: string, value: string])[]

export interface SignatureParameters {
  /** Seconds since 1970. */
  created: number
  nonce: string
  keyid: string
}

/** The bytes that are signed. `parameters` is the text of what follows the list of components. */
export function signatureBase(covered: Covered, parameters: string): Buffer {
  const list = `(${covered.map(([identifier]) => identifier).join(' ')})`
  const lines = [...covered, ['"@signature-params"', list + parameters] as const]
  return Buffer.from(lines.map(([identifier, value]) => `${identifier}: ${value}`).join('\n'), 'latin1')
}

/** The fields that carry the signature of a message. */
export function signMessage(covered: Covered, { created, nonce, keyid }: SignatureParameters, key: KeyObject) {
  const parameters = parametersText(
    new Map<string, string | number>([
      ['created', created],
      ['nonce', nonce],
      ['keyid', keyid],
    ]),
  )
  const list = `(${covered.map(([identifier]) => identifier).join(' ')})`
  return {
    'signature-input': `${label}=${list}${parameters}`,
    signature: `${label}=:${sign(null, signatureBase(covered, parameters), key).toString('base64')}:`,
  }
}

export interface ReadSignature extends SignatureParameters {
  /** Identifiers of what is covered, in order. */
  components: string[]
  /** Text of the parameters. */
  parameters: string
  signature: Uint8Array
}

const refuse = (why: string, cause?: unknown): never => {
  throw new FedloraError('E_AUTH', `the signature of this message cannot be read: ${why}`, {}, cause)
}

/** Reads both fields. @throws FedloraError `E_AUTH` for what is no signature of ours. */
export function readSignature(input: string | undefined, signature: string | undefined): ReadSignature {
  if (input === undefined || signature === undefined) return refuse('signature-input or signature is missing')
  try {
    const list = parseDictionary(input).get(label)
    const bytes = parseDictionary(signature).get(label)
    if (list === undefined || !('items' in list)) return refuse(`signature-input has no list named ${label}`)
    if (
      bytes === undefined ||
      !('value' in bytes) ||
      !(bytes.value instanceof Uint8Array) ||
      bytes.value.length !== 64
    ) {
      return refuse(`signature has no 64 bytes named ${label}`)
    }
    const { created, nonce, keyid } = Object.fromEntries(list.parameters)
    if (typeof created !== 'number' || !Number.isSafeInteger(created)) return refuse('it has no time `created`')
    if (typeof nonce !== 'string' || nonce.length < 16 || nonce.length > 64)
      return refuse('it has no nonce of 16 to 64 characters')
    if (typeof keyid !== 'string') return refuse('it has no keyid')
    const components = list.items.map((item) => innerListText({ items: [item], parameters: new Map() }).slice(1, -1))
    if (new Set(components).size !== components.length) return refuse('it covers a component twice')
    return { components, parameters: parametersText(list.parameters), signature: bytes.value, created, nonce, keyid }
  } catch (error) {
    if (error instanceof FedloraError && error.code === 'E_AUTH') throw error
    return refuse((error as Error).message, error)
  }
}

/** Whether a signature covers every one of the `required` components, and fits. `componentOf` gives undefined for what the message does not have. */
export function verifySignature(
  read: ReadSignature,
  required: readonly string[],
  componentOf: (identifier: string) => string | undefined,
  key: KeyObject,
): boolean {
  if (required.some((identifier) => !read.components.includes(identifier))) return false
  const covered: [string, string][] = []
  for (const identifier of read.components) {
    const value = componentOf(identifier)
    if (value === undefined) return false
    covered.push([identifier, value])
  }
  return verify(null, signatureBase(covered, read.parameters), key, read.signature)
}
