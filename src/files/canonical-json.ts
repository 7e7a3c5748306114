/**
 * JSON with one text for one content: keys in the order of their UTF-16 units, no spaces, numbers as ECMAScript prints them (RFC 8785). What
 * JSON would change in silence (NaN, infinities, what is no data) is refused.
 */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'

/** Objects within each other. */
const maximumDepth = 100

/**
 * The text of plain data. A field that is undefined is left out.
 * @param where - name of the value, for messages.
 * @throws FedloraError `E_ARGUMENT` for what is no plain data, naming the place.
 */
export function canonicalJson(value: unknown, where = 'value', depth = 0): string {
  const refuse = (why: string): never => {
    throw new FedloraError('E_ARGUMENT', `${where}: ${why}, expected plain data as JSON has it`, { where })
  }
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return JSON.stringify(value)
  if (typeof value === 'number') return Number.isFinite(value) ? JSON.stringify(value) : refuse(`got ${value}`)
  if (typeof value !== 'object') return refuse(`got ${describeValue(value)}`)
  if (depth === maximumDepth) return refuse(`more than ${maximumDepth} objects within each other`)
  if (Array.isArray(value)) {
    return `[${Array.from(value, (item, i) => canonicalJson(item, `${where}[${i}]`, depth + 1)).join(',')}]`
  }
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype !== Object.prototype && prototype !== null) return refuse(`got ${describeValue(value)}`)
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${fields.map(([key, field]) => `${JSON.stringify(key)}:${canonicalJson(field, `${where}.${key}`, depth + 1)}`).join(',')}}`
}
