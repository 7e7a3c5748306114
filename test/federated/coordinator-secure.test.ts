/** Secure aggregation between parties: the bits of `simulate` over every algorithm and codec that it allows, and whoever is lost in whichever phase. */
import t from 'tap'
import type { RoundEvent } from '../../src/federated/events.js'
import type { Word } from '../../src/federated/link/messages.js'
import { messageIn } from '../../src/federated/link/secure.js'
import type { FromClient } from '../../src/federated/protocol/secagg/messages.js'
import { lostAt } from '../../src/federated/simulate/absence.js'
import { phases } from '../../src/federated/simulate/masked-clients.js'
import {
  asInSimulate,
  type Change,
  federation,
  openModel,
  rowsOf,
  served,
  simulated,
  wide,
} from './support/secure-federation.js'

const model = await openModel()
t.teardown(() => model.dispose())
const rows = await rowsOf()

for (const [name, options] of Object.entries({
  fedavg: {},
  randk: { upload: { codec: 'randk', density: 1 / 4, bits: 32 } },
  blocks: { upload: { codec: 'blocks', density: 1 / 4, block: 16, bits: 32, errorFeedback: false } },
  uniform: { weighting: 'uniform', secureAggregation: { threshold: 2, clip: 0.25, bits: 8, wordBits: 16 } },
  'a weight at most': { screening: { maxWeight: 100 } },
  'few neighbours': { secureAggregation: { ...wide, neighbours: 2 } },
  'a share of all': { cohort: 3, rounds: 3 },
  momentum: { serverOptimizer: 'momentum' },
  'differences down': { download: { codec: 'int8' } },
  topk: { upload: { codec: 'topk', density: 0.1 } },
  segments: { upload: { segments: 2 } },
  median: { robust: 'median' },
  tokens: { weighting: 'tokens' },
  'a norm at most': { screening: { maxNorm: 1 } },
  'a threshold too low': { secureAggregation: { ...wide, threshold: 1 } },
  'a threshold too great': { secureAggregation: { ...wide, threshold: 4 } },
  'too many bits': { secureAggregation: { ...wide, bits: 16, wordBits: 16 }, weighting: 'uniform' },
})) {
  t.test(`${name}: as in simulate`, (t) => asInSimulate(t, model, rows, options))
}

/** The phase in which a word is said. */
const phaseOf = (word: Word) =>
  word.type === 'answer' ? 'masked' : word.type === 'secure' ? (messageIn(word.message) as FromClient).type : undefined

t.test('who is lost in which phase, as simulate draws it: the bits of simulate', async (t) => {
  const options = { ...federation, rounds: 5, seed: 3, secureAggregation: wide }
  const absence = 0.3
  const expected = await simulated(model, rows, { ...options, absence })
  const lost = new Set<string>()
  const losing: Change = (link, client) => ({
    identity: link.identity,
    describe: (signal) => link.describe(signal),
    next: (known, signal) => link.next(known, signal),
    download: (ref, path, signal) => link.download(ref, path, signal),
    upload: (ref, path, signal) => link.upload(ref, path, signal),
    close: () => link.close(),
    async say(word, signal) {
      const phase = phaseOf(word)
      const at = lostAt(options.seed, word.round, client, absence, phases)
      if (phase === undefined || at === undefined || phases.indexOf(phase) < phases.indexOf(at))
        return await link.say(word, signal)
      lost.add(at)
      return { type: 'taken' }
    },
  })
  const got = await served(model, rows, options, losing)
  t.ok(lost.size >= 3, `lost in ${[...lost]}`)
  t.ok(got.bytes.equals(expected.bytes), 'the bits')
  const counted = (rounds: readonly RoundEvent[]) =>
    rounds.map(({ clients, abandoned, secureAggregation }) => [
      clients.map(({ name }) => name),
      abandoned,
      secureAggregation,
    ])
  t.same(counted(got.rounds), counted(expected.rounds))
  t.ok(
    got.rounds.some(({ abandoned }) => abandoned === undefined) && got.rounds.some(({ dropped }) => dropped.length > 0),
  )
})
