/** What an attacker who is the server, or who reads its traffic, sees of a client's update. */
import { addDirections } from '../../../aggregation/normals.js'
import { linearCombination, norm } from '../../../aggregation/vectors.js'
import { decodeUpdate, type EncodeUpdateOptions, encodeUpdate } from '../../../compression/codec.js'

export interface Protection {
  name: string
  /** Clients whose updates go into what is seen; the victim is the first. */
  cohort: number
  /** @param clip - the norm that updates are cut to, where they are. Given back: a new vector, or the victim's own update. */
  seen(updates: readonly Float32Array[], clip: number, seed: number): Promise<Float32Array>
}

export const nothing: Protection = { name: 'nothing', cohort: 1, seen: async ([update]) => update! }

export function compressed(name: string, options: EncodeUpdateOptions): Protection {
  return {
    name,
    cohort: 1,
    seen: async ([update], _, seed) => decodeUpdate(encodeUpdate(update!, { ...options, seed }).bytes),
  }
}

/** Only the sum is seen: here as its mean. */
export function summed(cohort: number): Protection {
  return {
    name: `secure aggregation of ${cohort}`,
    cohort,
    seen: async (updates) =>
      linearCombination(
        updates.map(() => 1 / updates.length),
        updates,
      ),
  }
}

/** The client cuts its update to the clip's norm and adds noise of `multiplier`·clip to every value, before anybody sees it. */
export function noised(multiplier: number): Protection {
  return {
    name: `clipping and noise ${multiplier}`,
    cohort: 1,
    async seen([update], clip, seed) {
      const cut = linearCombination([Math.min(1, clip / norm(update!))], [update!])
      await addDirections(cut, [seed], [multiplier * clip])
      return cut
    },
  }
}
