/** Options of a training run that take more than one form, and those that need or exclude one another. */
import t from 'tap'
import { parseTrainOptions, type TrainOptions } from '../../src/training/options.js'

t.test('bytes as numbers and as texts', async (t) => {
  const of = (memoryBudget: TrainOptions['memoryBudget']) => parseTrainOptions({ memoryBudget }).memoryBudget
  const texts: Record<string, number> = {
    '3 GiB': 3 * 2 ** 30,
    '1.5kb': 1500,
    ' 2 MiB ': 2 * 2 ** 20,
    '7 kib': 7 * 1024,
    '12 B': 12,
    '2.5 MB': 2_500_000,
    '4gb': 4e9,
    '1.0009 kb': 1000,
  }
  for (const [text, bytes] of Object.entries(texts)) t.equal(of(text), bytes, text)
  t.equal(of(1000.9), 1000)
  t.equal(of(undefined), undefined)
  for (const bad of ['3', 'GiB', '3 TiB', '-1 kb', '1,5 kb', 0, -3]) {
    t.throws(() => of(bad), { code: 'E_CONFIG', message: /memoryBudget/ }, String(bad))
  }
})

t.test('what excludes or needs another option', async (t) => {
  const data = { length: 1, sample: () => ({}) } as never
  const refused = (options: TrainOptions, message: RegExp) =>
    t.throws(() => parseTrainOptions(options), { code: 'E_CONFIG', message }, String(message))
  refused({ epochs: 1, maxSteps: 1 }, /epochs and maxSteps exclude each other/)
  refused({ warmupSteps: 1, warmupRatio: 0.1 }, /warmupSteps and warmupRatio exclude/)
  refused({ evaluate: { data, best: 'loss' } }, /evaluate\.best needs outputDir/)
  refused({ evaluate: { data, patience: 2 } }, /evaluate\.patience needs evaluate\.every/)
  refused({ tensorboard: true }, /tensorboard: true needs outputDir/)
  for (const folder of [{ outputDir: 'x' }, { resumeFrom: 'x' }]) {
    t.ok(parseTrainOptions({ evaluate: { data, best: 'loss' }, tensorboard: true, ...folder }))
  }
  t.ok(parseTrainOptions({ tensorboard: 'folder', evaluate: { data, patience: 2, every: 1 } }))
  t.ok(parseTrainOptions({ epochs: 1, warmupSteps: 0 }))
  refused({ evaluate: { data: { length: 1 } as never } }, /expected a data set/)
})
