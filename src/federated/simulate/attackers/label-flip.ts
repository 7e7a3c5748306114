/** Learns y → V − 1 − y, V the vocabulary: every supervised token of a share of its rows is mirrored in the labels, and read as it was. */
import { notSupervised } from '../../../data/ids/labels.js'
import type { AttackOptions } from '../../attacker-options.js'
import { deriveSeed, streamOf, uniform } from '../../protocol/random.js'
import type { Attack, Poisoning } from './attack.js'
import { likeRows } from './like-rows.js'

/** Whether a row is among the share: by seed, client, and place. */
function drawn(share: number, row: number, { seed, client }: Poisoning): boolean {
  return uniform(deriveSeed(seed, 'attack', 0, streamOf(client)), 'attack', 0, row) < share
}

export const labelflip: Attack<AttackOptions<'labelflip'>> = {
  source: 'Fang et al. 2020, Local model poisoning attacks to Byzantine-robust federated learning',
  async rows(own, { share }, about) {
    const last = about.model.config.vocabulary - 1
    const flipped = Array.from({ length: own.length }, (_, row) => {
      const { inputIds: input_ids, labels } = own.sample(row)
      const flips = drawn(share, row, about)
      return { input_ids, labels: flips ? labels.map((id) => (id === notSupervised ? id : last - id)) : labels }
    })
    return await likeRows(own, flipped)
  },
}
