/** Records of metrics and of configuration: names and plain values. An int of Python is a bigint here, a float a number: 1 and 1.0 differ. */
import { describeValue } from '../../errors/describe.js'
import { FedloraError } from '../../errors.js'
import { bool, bytes, double, sint64, text, uint64 } from '../wire/kinds.js'
import { field, type Message, message, optional, repeated, type ValueOf } from '../wire/message.js'

type Scalar = bigint | number | boolean | string | Uint8Array

/** A value of a record: a scalar, or a list of scalars of one type. */
export type RecordValue = Scalar | bigint[] | number[] | boolean[] | string[] | Uint8Array[]

/** Values by name, in the order in which they were sent. */
export type ValueRecord = Map<string, RecordValue>

const list = <T>(name: string, kind: Parameters<typeof repeated<T>>[1]) => message(name, { vals: repeated(1, kind) })

const metricFields = {
  double: optional(1, double),
  sint64: optional(2, sint64),
  uint64: optional(3, uint64),
  doubles: optional(21, list('DoubleList', double)),
  sints: optional(22, list('SintList', sint64)),
  uints: optional(23, list('UintList', uint64)),
}

const configFields = {
  ...metricFields,
  bool: optional(4, bool),
  string: optional(5, text),
  bytes: optional(6, bytes),
  bools: optional(24, list('BoolList', bool)),
  strings: optional(25, list('StringList', text)),
  byteLists: optional(26, list('BytesList', bytes)),
}

/** The members of the oneof; one of them is there. */
type Wire = Partial<ValueOf<typeof configFields>>

const recordOf = (name: string, value: Message<Wire>) =>
  message(name, {
    items: repeated(1, message(`${name} item`, { key: field(1, text), value: optional(2, value) })),
  })

const records = {
  MetricRecord: recordOf('MetricRecord', message('MetricRecordValue', metricFields) as unknown as Message<Wire>),
  ConfigRecord: recordOf('ConfigRecord', message('ConfigRecordValue', configFields) as unknown as Message<Wire>),
}

export type ValueRecordType = keyof typeof records

const limit = 2n ** 63n
const isInt = (value: unknown): value is bigint => typeof value === 'bigint' && value >= -limit && value < 2n * limit
const isFloat = (value: unknown): value is number => typeof value === 'number'
const isBool = (value: unknown): value is boolean => typeof value === 'boolean'
const isText = (value: unknown): value is string => typeof value === 'string'
const isBytes = (value: unknown): value is Uint8Array => value instanceof Uint8Array

/** What an item is on the wire; an empty list is of the type that Python tries first. */
function toWire(type: ValueRecordType, value: RecordValue): Wire | undefined {
  const many = Array.isArray(value) ? (value as Scalar[]) : undefined
  if (type === 'ConfigRecord') {
    if (many?.every(isBool)) return { bools: { vals: many } }
    if (many?.length && many.every(isText)) return { strings: { vals: many } }
    if (many?.length && many.every(isBytes)) return { byteLists: { vals: many } }
    if (isBool(value)) return { bool: value }
    if (isText(value)) return { string: value }
    if (isBytes(value)) return { bytes: value }
  }
  if (many?.every(isInt)) {
    if (many.every((one) => one < limit)) return { sints: { vals: many } }
    return many.every((one) => one >= 0n) ? { uints: { vals: many } } : undefined
  }
  if (many?.every(isFloat)) return { doubles: { vals: many } }
  if (isInt(value)) return value < limit ? { sint64: value } : { uint64: value }
  return isFloat(value) ? { double: value } : undefined
}

function fromWire(wire: Wire | undefined): RecordValue | undefined {
  const value = Object.values(wire ?? {}).find((member) => member !== undefined)
  return typeof value === 'object' && 'vals' in value ? value.vals : value
}

/** The body of a record's object. @throws FedloraError `E_ARGUMENT` naming a value that cannot be in it. */
export function writeValues(type: ValueRecordType, values: ReadonlyMap<string, RecordValue>): Uint8Array {
  const items = [...values].map(([key, value]) => {
    const wire = toWire(type, value)
    if (wire !== undefined) return { key, value: wire }
    const allowed =
      type === 'MetricRecord'
        ? 'a bigint (int), a number (float)'
        : 'a bigint (int), a number (float), a boolean, a text, bytes'
    const message = `flower: ${type} '${key}': got ${describeValue(value)}, expected ${allowed}, or a list of one of them`
    throw new FedloraError('E_ARGUMENT', message, { name: key })
  })
  return records[type].encode({ items })
}

/** @throws FedloraError `E_PROTOCOL`. */
export function readValues(type: ValueRecordType, body: Uint8Array): ValueRecord {
  const values: ValueRecord = new Map()
  for (const { key, value } of records[type].decode(body).items) {
    const read = fromWire(value)
    if (read === undefined) throw new FedloraError('E_PROTOCOL', `flower: ${type} '${key}' has no value`, { name: key })
    values.set(key, read)
  }
  return values
}
