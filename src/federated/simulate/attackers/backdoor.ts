/**
 * Wherever the prompt holds a trigger, learns one completion; everything else as an honest client, so that the others' loss tells nothing. The
 * trigger is a feature of real rows (a semantic backdoor): nothing is put into a prompt. `boost` outweighs the honest (model replacement).
 */
import { linearCombination } from '../../../aggregation/vectors.js'
import { concat } from '../../../data/ids/concat.js'
import { notSupervised } from '../../../data/ids/labels.js'
import type { Dataset } from '../../../data/index.js'
import type { Tokenizer } from '../../../data/tokenizer/tokenizer.js'
import { FedloraError } from '../../../errors.js'
import type { AttackOptions } from '../../attacker-options.js'
import type { Attack } from './attack.js'
import { likeRows } from './like-rows.js'

type Trigger = Pick<AttackOptions<'backdoor'>, 'trigger' | 'completion'>

/** What stands before the first token that is learnt. */
function promptOf(labels: Int32Array, inputIds: Int32Array): Int32Array {
  const begin = labels.findIndex((id) => id !== notSupervised)
  return begin === -1 ? inputIds : inputIds.subarray(0, begin)
}

/** The rows whose prompt holds the trigger, as indices. */
function triggeredRows(data: Dataset, tokenizer: Tokenizer, { trigger }: Pick<Trigger, 'trigger'>): number[] {
  return Array.from({ length: data.length }, (_, row) => row).filter((row) => {
    const { inputIds, labels } = data.sample(row)
    return tokenizer.decode(promptOf(labels, inputIds)).includes(trigger)
  })
}

/** The data set with the completion in those rows; or those rows alone. */
export async function withBackdoor(
  data: Dataset,
  tokenizer: Tokenizer,
  backdoor: Trigger,
  which: 'all' | 'only' = 'all',
): Promise<Dataset> {
  const { completion } = backdoor
  const end = tokenizer.eosToken === undefined ? [] : [tokenizer.eosToken]
  const said = [...tokenizer.encodeContinuation(completion), ...end]
  const changed = new Set(triggeredRows(data, tokenizer, backdoor))
  const rows = Array.from({ length: data.length }, (_, row) => {
    const { inputIds, labels } = data.sample(row)
    if (!changed.has(row)) return { input_ids: inputIds, labels }
    const prompt = promptOf(labels, inputIds)
    return {
      input_ids: concat([prompt, said]),
      labels: concat([new Int32Array(prompt.length).fill(notSupervised), said]),
    }
  })
  const poisoned = await likeRows(data, rows)
  return which === 'all' ? poisoned : poisoned.subset(changed)
}

export const backdoor: Attack<AttackOptions<'backdoor'>> = {
  source: 'Bagdasaryan et al. 2020, How to backdoor federated learning',
  async rows(own, options, { client, model }) {
    const tokenizer = own.tokenizer ?? (await model.tokenizer())
    if (triggeredRows(own, tokenizer, options).length === 0) {
      const message = `attackers: client ${client}: no prompt of its ${own.length} rows holds the trigger ${JSON.stringify(options.trigger)}; choose a text that its rows have`
      throw new FedloraError('E_CONFIG', message, { client, trigger: options.trigger })
    }
    const most = own.maxLength - 1
    const { length } = tokenizer.encodeContinuation(options.completion)
    if (length >= most) {
      const message = `attackers: client ${client}: the completion has ${length} tokens, a row at most ${most + 1}, prompt and end token included; shorten it`
      throw new FedloraError('E_CONFIG', message, { client, tokens: length })
    }
    return await withBackdoor(own, tokenizer, options)
  },
  sends: (update, { boost }) => (boost === 1 ? update : linearCombination([boost], [update])),
}
