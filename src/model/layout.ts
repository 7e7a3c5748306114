/** The flat vector of an adapter as named factors, and back: `layout` says where each lies. */

import { describeValue, listed } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { TensorLayout } from '../native/binding.js'

/** One factor: lora_A is [rank, in_features], lora_B [out_features, rank], row-major. */
export interface AdapterTensor {
  shape: [number, number]
  data: Float32Array
}

/** Factors by PEFT name, as a caller gives them. */
export type NamedTensors = ReadonlyMap<string, { shape?: readonly number[]; data: Float32Array }>

type Layout = readonly TensorLayout[]

/**
 * Where the chosen tensors lie in the flat vector: [begin, end) of elements, ascending, neighbours joined. All lora_B: `rangesOf(adapter.layout, ({ part }) => part === 'lora_B')`.
 */
export function rangesOf(layout: Layout, chosen: (tensor: TensorLayout) => boolean): [begin: number, end: number][] {
  const ranges: [number, number][] = []
  for (const tensor of layout) {
    if (!chosen(tensor)) continue
    const last = ranges.at(-1)
    if (last?.[1] === tensor.offset) last[1] += tensor.length
    else ranges.push([tensor.offset, tensor.offset + tensor.length])
  }
  return ranges
}

/** Copies of the factors in a flat vector, by name. */
export function unflatten(layout: Layout, flat: Float32Array): Map<string, AdapterTensor> {
  return new Map(
    layout.map(({ name, shape, offset, length }) => [
      name,
      { shape: [shape[0], shape[1]], data: flat.slice(offset, offset + length) },
    ]),
  )
}

function refuseOtherNames(layout: Layout, tensors: NamedTensors): void {
  const missing = layout.filter(({ name }) => !tensors.has(name)).map(({ name }) => name)
  if (missing.length > 0) {
    throw new FedloraError(
      'E_MISSING',
      `adapter: ${missing.length} of ${layout.length} tensors are missing: ${listed(missing)}`,
      { missing },
    )
  }
  const known = new Set(layout.map(({ name }) => name))
  const extra = [...tensors.keys()].filter((name) => !known.has(name))
  if (extra.length > 0) {
    throw new FedloraError(
      'E_SHAPE',
      `adapter: ${extra.length} tensors have no place in this adapter: ${listed(extra)}`,
      { extra },
    )
  }
}

/**
 * The flat vector of these factors.
 * @param length - its length.
 * @throws FedloraError `E_MISSING` listing missing names, `E_SHAPE` for unknown names or wrong shapes, `E_ARGUMENT` for what holds no values.
 */
export function flatten(layout: Layout, length: number, tensors: NamedTensors): Float32Array {
  refuseOtherNames(layout, tensors)
  const flat = new Float32Array(length)
  for (const { name, shape, offset, length } of layout) {
    const given = tensors.get(name)!
    if (!(given?.data instanceof Float32Array)) {
      throw new FedloraError(
        'E_ARGUMENT',
        `adapter tensor '${name}': got ${describeValue(given?.data ?? given)}, expected { data: Float32Array }`,
        { tensor: name },
      )
    }
    const got = given.shape ?? shape
    if (got.length !== 2 || got[0] !== shape[0] || got[1] !== shape[1] || given.data.length !== length) {
      throw new FedloraError(
        'E_SHAPE',
        `adapter tensor '${name}' has shape [${got.join(', ')}] and ${given.data.length} values, expected [${shape.join(', ')}]`,
        { tensor: name, got: [...got], expected: [...shape] },
      )
    }
    flat.set(given.data, offset)
  }
  return flat
}

/** @throws FedloraError `E_NONFINITE` naming tensor and element of the first value that is NaN or infinite. */
export function checkFinite(layout: Layout, flat: Float32Array): void {
  let index = 0
  while (index < flat.length && Number.isFinite(flat[index])) index++ // findIndex takes five times as long
  if (index === flat.length) return
  const { name, offset } = layout.find(({ offset, length }) => index >= offset && index < offset + length)!
  throw new FedloraError('E_NONFINITE', `adapter tensor '${name}' holds ${flat[index]} at element ${index - offset}`, {
    tensor: name,
  })
}
