/** Losses of single rows: each is its evaluation alone times its supervised tokens, whatever the passes hold. */
import t from 'tap'
import { loadDataset } from '../../src/data/index.js'
import { evaluateNative, rowLosses } from '../../src/evaluation/evaluate.js'
import { loadModel } from '../../src/model/load.js'
import { goldenFolder } from '../support/golden-model.js'

t.test('row by row, in the order of the data set', async (t) => {
  using model = await loadModel(goldenFolder('llama'), { quantization: 'none', compute: 'f32', threads: 2 })
  using adapter = model.createAdapter({ rank: 2, seed: 1 })
  adapter.setVector(adapter.vector().map((value, i) => value + 0.1 * Math.cos(i)))
  const [native, values] = [model.handle.use('test'), adapter.handle.use('test')]
  const rows = Array.from({ length: 6 }, (_, row) => {
    const input_ids = Array.from({ length: 4 + 3 * row }, (_, i) => 3 + ((row * 31 + i * 7) % 200))
    return { input_ids, labels: row === 3 ? input_ids.map(() => -100) : input_ids }
  })
  const data = await loadDataset(rows, { format: 'tokens' })
  const losses = await rowLosses(native, values, data)
  t.equal(losses.length, 6)
  t.equal(losses[3], 0, 'nothing supervised')
  for (const [row, tokens] of rows.entries()) {
    if (row === 3) continue
    const { loss, tokens: supervised } = await evaluateNative(
      native,
      values,
      await loadDataset([tokens], { format: 'tokens' }),
      99,
    )
    t.equal(supervised, tokens.input_ids.length - 1)
    t.ok(Math.abs(losses[row]! - loss * supervised) <= 1e-12 * losses[row]!, `row ${row}`)
  }
  t.same(await rowLosses(native, values, data, { batchTokens: 12 }), losses, 'in passes of other rows')
  const bare = await rowLosses(native, null, data)
  t.ok(
    [0, 1, 2, 4, 5].every((row) => bare[row] !== losses[row]),
    'canary: the adapter counts',
  )
  const stop = new AbortController()
  stop.abort(new Error('enough'))
  await t.rejects(rowLosses(native, values, data, { signal: stop.signal }), { message: 'enough' })
})
