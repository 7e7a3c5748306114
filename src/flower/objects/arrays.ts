/** Arrays and records of arrays as objects. An array's file travels in chunks of 5 MiB; equal chunks are one object. */
import { FedloraError } from '../../errors.js'
import { jsonText, readJsonBody, readNames, writeNames } from './json.js'
import { dtypeOf, type FlowerArray, readNpy, writeNpy } from './npy.js'
import { addObject, expectObject, type Lookup, type Objects } from './object.js'

/** Arrays by name, in the order in which they were sent. */
export type ArrayRecord = Map<string, FlowerArray>

const chunkBytes = 5 * 2 ** 20

/** What may still be read: chunks that occur a million times are small on the wire. */
export interface Budget {
  bytes: number
}

function addArray(objects: Objects, name: string, array: FlowerArray): string {
  const file = writeNpy(name, array)
  const chunks: string[] = []
  for (let at = 0; at < file.length; at += chunkBytes) {
    chunks.push(addObject(objects, 'ArrayChunk', [], file.subarray(at, at + chunkBytes)))
  }
  const distinct = [...new Set(chunks)]
  const indices = chunks.map((id) => distinct.indexOf(id))
  const body = `{"dtype": "${dtypeOf(array.data)}", "shape": [${array.shape.join(', ')}], "stype": "numpy.ndarray", "arraychunk_ids": [${indices.join(', ')}]}`
  return addObject(objects, 'Array', distinct, Buffer.from(body))
}

/** @throws FedloraError `E_DTYPE`, `E_SHAPE` naming the array. */
export function addArrayRecord(objects: Objects, arrays: ReadonlyMap<string, FlowerArray>): string {
  const names = new Map<string, string>()
  for (const [name, array] of arrays) names.set(name, addArray(objects, name, array))
  return addObject(objects, 'ArrayRecord', names.values(), writeNames(names))
}

function readArray(lookup: Lookup, id: string, name: string, budget: Budget): FlowerArray {
  const { children, body } = expectObject(lookup, id, 'Array')
  const { dtype, shape, stype, arraychunk_ids: indices } = readJsonBody(id, body)
  if (stype !== 'numpy.ndarray') {
    const message = `flower: array '${name}' is serialised as ${jsonText(String(stype))}, expected "numpy.ndarray"`
    throw new FedloraError('E_UNSUPPORTED', message, { array: name })
  }
  const isIndex = (index: unknown) =>
    Number.isInteger(index) && (index as number) >= 0 && (index as number) < children.length
  if (!Array.isArray(indices) || !indices.every(isIndex)) {
    throw new FedloraError('E_PROTOCOL', `flower: array '${name}' names chunks that it does not have`, { array: name })
  }
  const chunks = children.map((child) => expectObject(lookup, child, 'ArrayChunk').body)
  budget.bytes -= (indices as number[]).reduce((sum, index) => sum + chunks[index]!.length, 0)
  if (!(budget.bytes >= 0)) {
    const message = `flower: with array '${name}' the arrays are larger than this client takes; raise maxBytes if that is meant`
    throw new FedloraError('E_MEMORY', message, { array: name })
  }
  const array = readNpy(name, Buffer.concat((indices as number[]).map((index) => chunks[index]!)))
  if (dtype !== dtypeOf(array.data) || JSON.stringify(shape) !== JSON.stringify(array.shape)) {
    const message = `flower: array '${name}' is said to be ${String(dtype)} ${JSON.stringify(shape)}, but is ${dtypeOf(array.data)} [${array.shape}]`
    throw new FedloraError('E_PROTOCOL', message, { array: name })
  }
  return array
}

/** @throws FedloraError `E_PROTOCOL`, `E_FORMAT`, `E_DTYPE`, `E_UNSUPPORTED`, `E_MEMORY` when there is more than the budget. */
export function readArrayRecord(lookup: Lookup, id: string, budget: Budget): ArrayRecord {
  const { children, body } = expectObject(lookup, id, 'ArrayRecord')
  const names = readNames(id, body, children)
  return new Map([...names].map(([name, child]) => [name, readArray(lookup, child, name, budget)]))
}
