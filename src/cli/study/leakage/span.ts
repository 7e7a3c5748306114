/** Spans that a matrix betrays, and how far vectors are from them. */
import { multiply, nearestFactors } from '../../../aggregation/factors/algebra.js'

export interface Span {
  /** Orthonormal rows [dimensions, cols]. */
  basis: Float64Array
  dimensions: number
  cols: number
}

function identity(size: number): Float64Array {
  const values = new Float64Array(size * size)
  for (let i = 0; i < size; i++) values[i * size + i] = 1
  return values
}

/** The span of the rows of M [rows, cols], or the part of it with the largest singular values. */
export function spanOfRows(M: Float32Array, cols: number, dimensions: number): Span {
  const rows = M.length / cols
  const rank = Math.min(dimensions, rows, cols)
  const term = { A: M, B: identity(rows), rank: rows, scale: 1 }
  return { basis: nearestFactors({ out: rows, in: cols }, [term], rank).A, dimensions: rank, cols }
}

/** 1 − ‖P y‖²/‖y‖² of every row y: 0 inside the span, 1 at a right angle to it. */
export function distancesFrom({ basis, dimensions, cols }: Span, vectors: Float32Array | Float64Array): Float64Array {
  const count = vectors.length / cols
  const inside = multiply(vectors, basis, [count, cols, dimensions], 'b')
  const square = (values: Float32Array | Float64Array, row: number, width: number) => {
    let sum = 0
    for (let i = row * width; i < (row + 1) * width; i++) sum += values[i]! * values[i]!
    return sum
  }
  return Float64Array.from({ length: count }, (_, row) => {
    const whole = square(vectors, row, cols)
    return whole === 0 ? 1 : 1 - square(inside, row, dimensions) / whole
  })
}
