/** Messages of refused option objects: path, what stood there, what was expected, the closest known key. */
import t from 'tap'
import { federationSchema } from '../../src/federated/options.js'
import { parseAdapterOptions } from '../../src/model/adapter-options.js'
import { modelOptionsSchema } from '../../src/model/model-options.js'
import { closest, parseOptions } from '../../src/options/parse.js'
import { parseTrainOptions, type TrainOptions } from '../../src/training/options.js'

t.test('unknown keys name the closest known one', (t) => {
  t.throws(() => parseAdapterOptions({ targetModule: 'all-linear' } as object), {
    code: 'E_CONFIG',
    message: /adapter options: unknown key "targetModule" \(did you mean "targetModules"\?\)/,
  })
  t.throws(() => parseOptions(modelOptionsSchema, { quantisation: 'nf4' }, 'model options'), {
    message: /did you mean "quantization"/,
  })
  t.throws(() => parseTrainOptions({ schedule: { name: 'cosine', cycels: 2 } } as unknown as TrainOptions), {
    message: /schedule\.cycels.*did you mean "cycles"/,
  })
  t.throws(() => parseOptions(federationSchema, { dropout: 0.1 }, 'federation'), {
    message: /unknown key "dropout" \(its name is "absence"\)/,
  })
  t.throws(() => parseTrainOptions({ completelyElse: 1 } as TrainOptions), { message: /known: epochs, maxSteps/ })
  const robust = { rule: 'krum', byzantine: 1 }
  const kinds = () => parseOptions(federationSchema, { robust }, 'options')
  t.throws(kinds, { message: /known: rule, f, m, bound, root\)/ }, 'keys of several kinds are named once')
  t.end()
})

t.test('wrong values name path, got and expected', (t) => {
  t.throws(() => parseAdapterOptions({ rank: 0 }), { message: /rank: got 0, .*>=1/ })
  t.throws(() => parseAdapterOptions({ rank: '16' as unknown as number }), {
    message: /rank: got "16", expected number/,
  })
  t.throws(() => parseAdapterOptions({ dropout: 1 }), { message: /dropout: got 1/ })
  t.throws(() => parseTrainOptions({ betas: [0.9, 1] }), { message: /betas\[1\]: got 1/ })
  t.throws(() => parseTrainOptions({ epochs: 1, maxSteps: 2 }), { message: /epochs and maxSteps exclude each other/ })
  t.throws(() => parseTrainOptions({ schedule: 'cosinus' as 'cosine' }), {
    code: 'E_CONFIG',
    message: /schedule: got "cosinus"/,
  })
  t.throws(() => parseTrainOptions({ memoryBudget: '3 apples' }), { code: 'E_CONFIG' })
  t.end()
})

t.test('defaults and units', (t) => {
  const config = parseTrainOptions({ memoryBudget: '1.5 GiB' })
  t.equal(config.memoryBudget, 1.5 * 2 ** 30)
  t.match(config, {
    batchSize: 8,
    gradientAccumulation: 1,
    learningRate: 2e-4,
    schedule: { name: 'linear' },
    optimizer: 'adamw',
  })
  t.match(parseAdapterOptions({ rank: 4 }), { method: 'lora', alpha: 8, targetModules: 'all-linear', rsLora: false })
  t.end()
})

t.test('a word far from all known ones has no closest', (t) => {
  t.equal(closest('learning_rate', ['learningRate', 'epochs']), 'learningRate')
  t.equal(closest('zzzzzz', ['learningRate', 'epochs']), undefined)
  t.end()
})
