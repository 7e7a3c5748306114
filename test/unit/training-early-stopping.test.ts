import t from 'tap'
import { afterEvaluation, type BestSoFar, improves, outOfPatience } from '../../src/training/early-stopping.js'

const result = (loss: number, tokenAccuracy = 0) => ({ loss, tokenAccuracy, perplexity: Math.exp(loss), tokens: 1 })
const none: BestSoFar = { best: null, sinceBest: 0 }

t.test('the best evaluation, and how long ago it was', async (t) => {
  let state = none
  const story: [number, number, boolean][] = []
  for (const [i, loss] of [3, 2, 2, 2.5, 1.9, Number.NaN, Number.POSITIVE_INFINITY].entries()) {
    state = afterEvaluation('loss', state, 10 * (i + 1), result(loss))
    story.push([state.best!.step, state.sinceBest, outOfPatience(state, 2)])
  }
  t.same(story, [
    [10, 0, false],
    [20, 0, false],
    [20, 1, false],
    [20, 2, true],
    [50, 0, false],
    [50, 1, false],
    [50, 2, true],
  ])
  t.notOk(outOfPatience(state, undefined), 'never without a patience')
  t.notOk(outOfPatience(state, 3))
})

t.test('the larger accuracy is the better one', async (t) => {
  t.ok(improves('tokenAccuracy', result(9, 0.5), result(1, 0.4)))
  t.notOk(improves('tokenAccuracy', result(1, 0.4), result(9, 0.4)), 'equal is not better')
  t.notOk(improves('loss', result(9, 0.5), result(1, 0.4)), 'canary: by the loss it is not')
})

t.test('a first evaluation that is not finite is not the best', async (t) => {
  t.same(afterEvaluation('loss', none, 1, result(Number.NaN)), { best: null, sinceBest: 1 })
})
