/** Long updates tile by tile: what rules over all updates of a round are made of. Memory is a fixed number of values, shared by the updates. */
import { FedloraError } from '../errors.js'
import { native } from '../native/load.js'
import type { UpdateSet } from './update-set.js'
import { combination, type Vector, type VectorType, zerosLike } from './vectors.js'

/** Values of all updates together that are at hand at the same time: 8 MiB in float32. */
const atHand = 1 << 21
/** Tiles are whole numbers of blocks, so that the sums of a block do not depend on the number of updates. */
const block = 8192

const tileOf = (updates: number) => Math.max(1, Math.floor(atHand / block / updates)) * block

/**
 * Reads the updates of `ids` side by side.
 * @param like - type and length of an update.
 * @param work - gets elements [begin, end) of each, in arrays that the next tile reuses.
 */
export function forEachTile<V extends Vector>(
  updates: UpdateSet<V>,
  ids: readonly string[],
  like: VectorType,
  work: (tile: V[], begin: number, end: number) => void,
): void {
  const size = Math.min(tileOf(ids.length), like.length)
  const buffers = ids.map(() => zerosLike<V>({ constructor: like.constructor, length: size }))
  for (let begin = 0; begin < like.length; begin += size) {
    const end = Math.min(begin + size, like.length)
    const tile = ids.map((id, k) => updates.read(id, begin, end, buffers[k]).subarray(0, end - begin) as V)
    work(tile, begin, end)
  }
}

/** Square matrices over pairs of updates, [n, n] row-major. */
function sumPairs<V extends Vector>(
  updates: UpdateSet<V>,
  like: VectorType,
  pairsOf: (tile: V[]) => Float64Array,
): Float64Array {
  const sums = new Float64Array(updates.ids.length ** 2)
  forEachTile(updates, updates.ids, like, (tile) => {
    for (const [i, sum] of pairsOf(tile).entries()) sums[i]! += sum
  })
  return sums
}

/** ‖xᵢ − xⱼ‖² of all pairs. */
export function squaredDistances<V extends Vector>(updates: UpdateSet<V>, like: VectorType): Float64Array {
  return sumPairs(updates, like, (tile) => native().squaredDistances(tile))
}

/**
 * (xᵢ − c)·(xⱼ − c) of all pairs.
 * @param centre - place of the update that is c.
 * @throws FedloraError `E_NONFINITE` when an update's square overflows a double.
 */
export function innerProducts<V extends Vector>(updates: UpdateSet<V>, like: VectorType, centre: number): Float64Array {
  const products = sumPairs(updates, like, (tile) => native().innerProducts(tile, tile[centre]))
  const n = updates.ids.length
  for (const [k, id] of updates.ids.entries()) checkSquare(products[k * n + k]!, id)
  return products
}

/** @throws FedloraError `E_NONFINITE`. */
function checkSquare(square: number, id: string): number {
  if (Number.isFinite(square)) return square
  throw new FedloraError('E_NONFINITE', `update ${id}: the square of its norm overflows a double`, { update: id })
}

/**
 * ‖xₖ‖² of each update.
 * @throws FedloraError `E_NONFINITE` when one overflows a double.
 */
export function squaredNorms<V extends Vector>(updates: UpdateSet<V>, like: VectorType): number[] {
  const norms = updates.ids.map(() => 0)
  forEachTile(updates, updates.ids, like, (tile) => {
    for (const [k, part] of tile.entries()) norms[k]! += native().innerProducts([part])[0]!
  })
  return norms.map((square, k) => checkSquare(square, updates.ids[k]!))
}

/** r·xₖ of each update. */
export function productsWith<V extends Vector>(updates: UpdateSet<V>, root: V): number[] {
  const products = updates.ids.map(() => 0)
  forEachTile(updates, updates.ids, root, (tile, begin, end) => {
    const part = root.subarray(begin, end) as V
    for (const [k, values] of tile.entries()) products[k]! += native().innerProducts([part, values])[1]!
  })
  return products
}

/** into = Σ coefficient·x / divisor, rounded once; an update of coefficient 0 is not read. */
export function weightedSum<V extends Vector>(
  updates: UpdateSet<V>,
  coefficients: readonly number[],
  divisor: number,
  into: V,
): void {
  const places = coefficients.flatMap((coefficient, k) => (coefficient === 0 ? [] : [k]))
  if (places.length === 0) {
    into.fill(0)
    return
  }
  const ids = places.map((k) => updates.ids[k]!)
  const chosen = places.map((k) => coefficients[k]!)
  forEachTile(updates, ids, into, (tile, begin, end) => {
    combination(chosen, tile, divisor, into.subarray(begin, end) as V)
  })
}
