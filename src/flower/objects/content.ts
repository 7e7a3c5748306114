/** What a message says: records by name. As an object it is a `RecordDict`, and a message an object over that. */
import { FedloraError } from '../../errors.js'
import { flowerMessage, type Metadata, metadataOf, type ObjectTree } from '../wire/fleet.js'
import { type ArrayRecord, addArrayRecord, type Budget, readArrayRecord } from './arrays.js'
import { readNames, writeNames } from './json.js'
import type { FlowerArray } from './npy.js'
import { addObject, expectObject, type Lookup, type Objects, readObject } from './object.js'
import { type RecordValue, readValues, type ValueRecord, writeValues } from './values.js'

/** The records of a message by name, in order, a map for each kind. */
export interface Content {
  arrays: Map<string, ArrayRecord>
  metrics: Map<string, ValueRecord>
  configs: Map<string, ValueRecord>
}

/** Why a reply has no content. Codes are Flower's; 2: the client's work failed. */
export interface ReplyError {
  code: bigint
  reason: string
}

/** What a reply says: one record of arrays at most, and one of metrics. */
export interface ReplyContent {
  arrays?: ReadonlyMap<string, FlowerArray> | undefined
  metrics: ReadonlyMap<string, RecordValue>
}

/** A message as it is sent: its id, all objects below it and with it, and their tree. */
export interface Packed {
  id: string
  objects: Objects
  tree: ObjectTree
}

function addContent(objects: Objects, { arrays, metrics }: ReplyContent): string {
  const names = new Map<string, string>()
  if (arrays !== undefined) names.set('arrays', addArrayRecord(objects, arrays))
  names.set('metrics', addObject(objects, 'MetricRecord', [], writeValues('MetricRecord', metrics)))
  return addObject(objects, 'RecordDict', names.values(), writeNames(names))
}

function treeOf(objects: Objects, objectId: string): ObjectTree {
  const { children } = readObject(objectId, objects.get(objectId)!)
  return { objectId, children: children.map((child) => treeOf(objects, child)) }
}

/**
 * A reply as objects.
 * @param metadata - without a message id: that is the id of the object.
 * @throws FedloraError `E_DTYPE`, `E_SHAPE`, `E_ARGUMENT` naming what cannot be sent.
 */
export function packReply(metadata: Partial<Metadata>, says: ReplyContent | ReplyError): Packed {
  const objects: Objects = new Map()
  const isError = 'reason' in says
  const children = isError ? [] : [addContent(objects, says)]
  const body = flowerMessage.encode({ metadata: metadataOf(metadata), ...(isError && { error: says }) })
  const id = addObject(objects, 'Message', children, body)
  return { id, objects, tree: treeOf(objects, id) }
}

/** @throws FedloraError as the readers of records do; `E_PROTOCOL` for an object of another kind. */
function readContent(lookup: Lookup, id: string, budget: Budget): Content {
  const { children, body } = expectObject(lookup, id, 'RecordDict')
  const content: Content = { arrays: new Map(), metrics: new Map(), configs: new Map() }
  for (const [name, child] of readNames(id, body, children)) {
    const record = lookup(child)
    if (record.type === 'ArrayRecord') content.arrays.set(name, readArrayRecord(lookup, child, budget))
    else if (record.type === 'MetricRecord') content.metrics.set(name, readValues('MetricRecord', record.body))
    else if (record.type === 'ConfigRecord') content.configs.set(name, readValues('ConfigRecord', record.body))
    else throw new FedloraError('E_PROTOCOL', `flower: record '${name}' is a ${record.type}`, { object: child, name })
  }
  return content
}

/** What the message `id` says; it must be one that says something. @throws FedloraError as its records do; `E_PROTOCOL`. */
export function unpackMessage(lookup: Lookup, id: string, maxBytes: number): Content {
  const { children } = expectObject(lookup, id, 'Message')
  const [content] = children
  if (content === undefined || children.length > 1) {
    throw new FedloraError('E_PROTOCOL', `flower: message ${id} has ${children.length} contents, expected one`, { id })
  }
  return readContent(lookup, content, { bytes: maxBytes })
}
