/** JSON of objects, spelled as Python's `json.dumps` spells it, so that equal contents have equal ids; and the names in their order. */
import { FedloraError } from '../../errors.js'
import { keysInOrder, parseExactly } from '../../files/exact-json.js'
import { isObjectId } from './object.js'

/** A text with everything beyond ASCII escaped. */
export function jsonText(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\uffff]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** `{"a": "<id>", "b": "<id>"}` */
export function writeNames(names: ReadonlyMap<string, string>): Uint8Array {
  return Buffer.from(`{${[...names].map(([name, id]) => `${jsonText(name)}: "${id}"`).join(', ')}}`)
}

/** @throws FedloraError `E_PROTOCOL` for a body that is not a JSON object. */
export function readJsonBody(id: string, body: Uint8Array): Record<string, unknown> {
  let value: unknown
  try {
    value = parseExactly(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    value = undefined
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>
  throw new FedloraError('E_PROTOCOL', `flower: object ${id}: its body is not a JSON object`, { object: id })
}

/** Names and the ids that they stand for, in the order of the text. @throws FedloraError `E_PROTOCOL`. */
export function readNames(id: string, body: Uint8Array, children: readonly string[]): Map<string, string> {
  const value = readJsonBody(id, body)
  const known = new Set(children)
  const names = new Map<string, string>()
  for (const name of keysInOrder(value)) {
    const child = value[name]
    if (typeof child !== 'string' || !isObjectId(child) || !known.has(child)) {
      const message = `flower: object ${id}: '${name}' stands for none of its children`
      throw new FedloraError('E_PROTOCOL', message, { object: id, name })
    }
    names.set(name, child)
  }
  return names
}
