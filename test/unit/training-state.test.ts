/** What a training run's checkpoint keeps beside its vectors comes back from JSON as it was. */
import t from 'tap'
import { type TrainState, trainForm } from '../../src/training/state.js'

const evaluated = (loss: number) => ({ loss, perplexity: Math.exp(loss), tokenAccuracy: 0.5, tokens: 7 })

const state = (loss: number): TrainState => ({
  step: 4,
  cursor: { epoch: 1, position: 3 },
  updates: 3,
  loss: 2.5,
  lossSum: 10.25,
  supervisedTokens: 40,
  tokens: 90,
  unsupervisedRows: 2,
  totalSteps: 9,
  evaluation: evaluated(loss),
  evaluated: true,
  best: { ...evaluated(loss), step: 2 },
  sinceBest: 1,
  eventBytes: 512,
  announced: false,
})

const throughJson = (value: TrainState) => trainForm.state.safeParse(JSON.parse(JSON.stringify(value)))

t.test('a loss whose perplexity is beyond all numbers', async (t) => {
  for (const loss of [1.5, 709, 710, 1e4]) t.same(throughJson(state(loss)).data, state(loss), String(loss))
  t.equal(throughJson(state(710)).data?.evaluation?.perplexity, Number.POSITIVE_INFINITY)
})

t.test('canary: a state with a field less, or one more, is none', async (t) => {
  const { sinceBest, ...less } = state(1)
  t.notOk(throughJson(less as TrainState).success)
  t.notOk(throughJson({ ...state(1), more: 1 } as TrainState).success)
})
