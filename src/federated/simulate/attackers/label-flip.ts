/** Learns y → V − 1 − y, V the vocabulary: every supervised token of a share of its rows is mirrored in the labels, and read as it was. */
import { notSupervised } from '../../../data/ids/labels.js'
import { FedloraError } from '../../../errors.js'
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
    const chosen = Array.from({ length: own.length }, (_, row) => drawn(share, row, about))
    if (!chosen.includes(true)) {
      const message = `attackers: client ${about.client}: labelflip's share of ${share} is none of its ${own.length} rows; raise it`
      throw new FedloraError('E_CONFIG', message, { client: about.client, share })
    }
    const flipped = Array.from({ length: own.length }, (_, row) => {
      const { inputIds: input_ids, labels } = own.sample(row)
      return { input_ids, labels: chosen[row] ? labels.map((id) => (id === notSupervised ? id : last - id)) : labels }
    })
    return await likeRows(own, flipped)
  },
}
