/** Codecs whose message holds what a seed chooses, the same for all clients of a round: their vectors add up value by value, under masks, too. */
import type { Codec } from '../compression/codec-options.js'
import { native } from '../native/load.js'
import type { Travel } from './algorithms/algorithm.js'
import { encodingOf } from './encoding.js'
import { deriveSeed, streamOf } from './protocol/random.js'
import { type Space, tensorsOf, whole } from './protocol/space.js'
import type { Upload } from './upload-options.js'
import { decodeVector } from './vector-message.js'

const chosenBySeed: readonly Codec[] = ['randk', 'blocks']

export const isChosenBySeed = ({ codec }: Pick<Upload, 'codec'>): boolean => chosenBySeed.includes(codec)

export const choiceSeedOf = (seed: number, round: number, vector: string): number =>
  deriveSeed(seed, 'choice', round, streamOf(vector))

/** Of whose vectors something is chosen. */
export interface Choosing {
  readonly round: number
  /** Seed of the federation. */
  readonly seed: number
  readonly space: Space
  /** Elements of the adapter whose updates travel, by name. */
  readonly travels: Travel
}

/** Elements of a vector, ascending, and what each is multiplied by so that their expectation is the vector. */
export interface Choice {
  readonly places: Uint32Array
  readonly scales: Float32Array
}

/**
 * What is chosen of a vector of `length` values in a round; undefined: all of it.
 * @param unbiased - whether scales make up for what is left out; else they are 1.
 */
export function choiceOf(
  vector: string,
  length: number,
  { seed, round, space, travels }: Choosing,
  upload: Upload,
  unbiased: boolean,
): Choice | undefined {
  if (!isChosenBySeed(upload)) return undefined
  // What a vector of ones comes back as: the codec chooses, here as in an open message.
  const { bytes } = native().encodeUpdate(new Float32Array(length).fill(1), null, {
    ...encodingOf({ ...upload, bits: 32 }, length, tensorsOf(space, travels[vector] ?? whole(space))),
    ...{ seed: 0, choiceSeed: choiceSeedOf(seed, round, vector), unbiased },
  })
  const ones = decodeVector(bytes)
  const places = Uint32Array.from([...ones.keys()].filter((i) => ones[i] !== 0))
  return { places, scales: Float32Array.from(places, (place) => ones[place]!) }
}
