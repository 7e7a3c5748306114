/** Operations on long vectors: mirror of `native/napi/vectors.cpp`. */

export type Vector = Float32Array | Float64Array

/** A rule of the server's step and its numbers; `rate` contains what corrects a bias. */
export interface ServerStepRule {
  name: 'momentum' | 'nesterov' | 'adam' | 'yogi' | 'adagrad'
  rate: number
  beta1: number
  beta2: number
  epsilon: number
}

export interface NativeVectors {
  /**
   * into = Σ coefficient · vector / divisor, all of one type; `into` may be one of the vectors.
   * @param ranges - begin and end of each part of `into` that is written; default the whole.
   */
  linearCombination(
    coefficients: Float64Array,
    vectors: Vector[],
    into: Vector,
    ranges?: Float64Array,
    divisor?: number,
  ): void
  /** Σ aᵢ·bᵢ in double, over fixed blocks. */
  dot(a: Float32Array, b: Float32Array, ranges?: Float64Array): number
  /** Cosine of the angle between two vectors, in double over fixed blocks. */
  cosine(a: Float32Array, b: Float32Array): number
  /** values += Σ scale · z(seed), z standard normals by seed, stream and place; of one type. `ranges` as above. */
  addNormals(
    values: Float32Array,
    seeds: Float64Array,
    scales: Float64Array,
    stream: number,
    ranges?: Float64Array,
  ): void
  /**
   * values += deviation · z, z standard normals of a ChaCha20 key stream and place, each the sum of four.
   * @param key - 32 bytes, for one use.
   */
  addNoise(values: Float32Array, key: Uint8Array, deviation: number): void
  /** One step in place; a moment that the rule does not keep is ignored. All of one type. */
  serverStep(rule: ServerStepRule, vector: Vector, mean: Vector, moment1: Vector, moment2: Vector): void
}
