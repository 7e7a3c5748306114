/** The model that the package brings: what `quantizeModel` makes of its source today, and the same base. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { baseModelFolder } from '../../src/cli/demo/assets.js'
import { loadModel } from '../../src/model/load.js'
import { quantizeModel } from '../../src/model/quantize.js'
import { train } from '../../src/training/train.js'
import { smallModel } from '../support/shipped.js'
import { bytesOf, temporaryFolder, tokenRows } from '../support/train.js'

t.test('its files are those of the source, quantised', async (t) => {
  const made = join(temporaryFolder('shipped'), 'nf4')
  await quantizeModel(smallModel, made, { quantization: 'nf4' })
  const names = readdirSync(made)
  t.same(readdirSync(baseModelFolder).sort(), [...names, 'README.md'].sort())
  for (const name of names)
    t.ok(readFileSync(join(made, name)).equals(readFileSync(join(baseModelFolder, name))), `${name}: same bytes`)
})

t.test('training over either gives the same adapter, bit for bit; over another format it does not', async (t) => {
  const trained = async (folder: string, quantization: 'nf4' | 'int8') => {
    using model = await loadModel(folder, { quantization, compute: 'bf16', threads: 2 })
    using adapter = model.createAdapter({ rank: 4, targetModules: 'all-linear', seed: 1 })
    const data = await tokenRows(8, 4096)
    const { loss } = await train(adapter, data, { maxSteps: 2, batchSize: 4, learningRate: 5e-3 })
    return { loss, values: bytesOf(adapter.vector()).toString('base64') }
  }
  const shipped = await trained(baseModelFolder, 'nf4')
  t.same(shipped, await trained(smallModel, 'nf4'))
  t.not(shipped.values, (await trained(smallModel, 'int8')).values)
})
