/** The learning rate of a round, for the federation and for a client with a peak of its own. */
import t from 'tap'
import { federationSchema } from '../../src/federated/options.js'
import { rateOf } from '../../src/federated/rate.js'

const config = (schedule: unknown) =>
  federationSchema.parse({ rounds: 4, local: { steps: 1, learningRate: 8, schedule } })

t.test('the schedule runs over the rounds, from its peak', async (t) => {
  const rates = (schedule: unknown, peak: number) => [1, 2, 3, 4].map((round) => rateOf(config(schedule), round, peak))
  t.same(rates('linear', 8), [8, 6, 4, 2])
  t.same(rates('linear', 4), [4, 3, 2, 1])
  t.same(rates('constant', 3), [3, 3, 3, 3])
  const polynomial = { name: 'polynomial', endLearningRate: 1 }
  t.same(rates(polynomial, 5), [5, 4, 3, 2], 'towards the same end')
  t.same(rates(polynomial, 9), [9, 7, 5, 3])
})
