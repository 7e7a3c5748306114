/** Mean, deviation and deciles of clients' losses: numbers by hand. */
import t from 'tap'
import { spreadOf } from '../../src/federated/simulate/spread.js'

t.test('eleven clients have two in a tenth', async (t) => {
  const losses = [3, 1, 2, 11, 4, 5, 6, 7, 8, 9, 10]
  // Mean 6, squares of the distances 2·(25 + 16 + 9 + 4 + 1) = 110.
  t.same(spreadOf(losses), { mean: 6, standardDeviation: Math.sqrt(10), worstDecile: 10.5, bestDecile: 1.5 })
  t.same(losses[0], 3, 'the list stays as it was')
})

t.test('ten and fewer have one', async (t) => {
  const ten = Array.from({ length: 10 }, (_, i) => i)
  t.match(spreadOf(ten), { worstDecile: 9, bestDecile: 0 })
  t.same(spreadOf([2.5]), { mean: 2.5, standardDeviation: 0, worstDecile: 2.5, bestDecile: 2.5 })
})

t.test('ten sorts after nine', async (t) => {
  t.match(spreadOf([10, 9, 1]), { worstDecile: 10, bestDecile: 1 })
})
