/**
 * Flower's content-addressed objects: `<type> <child ids, comma separated> <length of body>`, a zero byte, the body. The id is the SHA-256 of
 * all of it, in hexadecimal. Children are named once, in the order in which they first occur.
 */
import { createHash } from 'node:crypto'
import { FedloraError } from '../../errors.js'

export const objectTypes = [
  'Message',
  'RecordDict',
  'ArrayRecord',
  'Array',
  'ArrayChunk',
  'ConfigRecord',
  'MetricRecord',
] as const

export type ObjectType = (typeof objectTypes)[number]

export interface FlowerObject {
  type: ObjectType
  children: string[]
  body: Uint8Array
}

/** Whole objects by id, those of one message. */
export type Objects = Map<string, Uint8Array>

/** Finds an object that another names. @throws FedloraError `E_PROTOCOL` when there is none. */
export type Lookup = (id: string) => FlowerObject

const ids = /^(?:[0-9a-f]{64}(?:,[0-9a-f]{64})*)?$/

export function isObjectId(id: string): boolean {
  return id.length === 64 && ids.test(id)
}

export function objectId(content: Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Adds an object to `objects`; gives its id. */
export function addObject(objects: Objects, type: ObjectType, children: Iterable<string>, body: Uint8Array): string {
  const head = Buffer.from(`${type} ${[...new Set(children)].join(',')} ${body.length}\0`, 'latin1')
  const content = Buffer.concat([head, body])
  const id = objectId(content)
  objects.set(id, content)
  return id
}

function refuse(id: string, why: string): never {
  throw new FedloraError('E_PROTOCOL', `flower: object ${id}: ${why}`, { object: id })
}

/** @throws FedloraError `E_PROTOCOL` for bytes that are no object. */
export function readObject(id: string, content: Uint8Array): FlowerObject {
  const end = content.indexOf(0)
  if (end < 0) refuse(id, 'its head has no end')
  const head = Buffer.from(content.buffer, content.byteOffset, end).toString('latin1').split(' ')
  const [type, children, length] = head
  if (
    head.length !== 3 ||
    !objectTypes.includes(type as ObjectType) ||
    !ids.test(children!) ||
    !/^\d{1,15}$/.test(length!)
  )
    refuse(id, 'its head is not that of an object')
  const body = content.subarray(end + 1)
  if (Number(length) !== body.length) refuse(id, `its body has ${body.length} bytes, and its head says ${length}`)
  return { type: type as ObjectType, children: children === '' ? [] : children!.split(','), body }
}

/** The object `id` of this type. @throws FedloraError `E_PROTOCOL`. */
export function expectObject(lookup: Lookup, id: string, type: ObjectType): FlowerObject {
  const found = lookup(id)
  if (found.type !== type) refuse(id, `a ${found.type}, expected a ${type}`)
  return found
}
