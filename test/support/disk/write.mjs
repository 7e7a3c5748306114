/**
 * Writes what is asked for, and tells how that went: node write.mjs WHAT FOLDER [old]. `old` writes something else than a later call
 * does, to be the file that must survive. Run under `ulimit -f` it meets a disk that takes no more than so much of a file.
 */
import { join } from 'node:path'
import { UpdateFile } from '../../../dist/aggregation/update-set.js'
import { simulate } from '../../../dist/federated/index.js'
import { loadModel, quantizeModel, train } from '../../../dist/index.js'
import { folder as base, rows } from '../seam/work.mjs'

const [what, folder, old] = process.argv.slice(2)
const model = await loadModel(base, { threads: 1 })
const adapter = model.createAdapter({ rank: 32, seed: 1 })
if (!old) adapter.setVector(adapter.vector().map((value) => value + 0.001))
const data = await rows(8)

const writes = {
  save: () => adapter.save(folder),
  merge: () => adapter.merge(folder, { overwrite: !old }),
  quantize: () => quantizeModel(base, folder, { quantization: old ? 'int8' : 'nf4', overwrite: !old }),
  // First a run that is stopped after two steps, then the rest of it.
  async checkpoint() {
    const where = old ? { outputDir: join(folder, 'run') } : { resumeFrom: join(folder, 'run') }
    const run = train(adapter, data, { batchSize: 1, maxSteps: 4, checkpointEvery: 2, ...where })
    for await (const event of run) if (old && event.type === 'checkpoint') break
    await run
  },
  run: () => train(adapter, data, { batchSize: 1, maxSteps: 2, outputDir: join(folder, 'run') }),
  async updates() {
    const updates = await UpdateFile.create([folder])
    await updates.add('small', new Float32Array(1000).fill(0.5))
    try {
      await updates.add('large', new Float32Array(1 << 20))
    } catch (error) {
      const { code, message } = /** @type {any} */ (error)
      throw Object.assign(new Error(message), { code, name: `${updates.ids} ${updates.read('small', 999, 1000)}` })
    }
  },
  async simulate() {
    const where = old ? { outputDir: join(folder, 'run') } : { resumeFrom: join(folder, 'run') }
    const run = simulate({
      model,
      adapter: { rank: 32 },
      clients: [data, data],
      rounds: 2,
      local: { steps: 1, batchSize: 1 },
      ...where,
    })
    for await (const event of run) if (old && event.type === 'round') break
    await run
  },
}
try {
  await writes[what]()
  process.stdout.write(JSON.stringify({ written: true }))
} catch (error) {
  const { name, code, message } = /** @type {any} */ (error)
  process.stdout.write(JSON.stringify({ name, code, message }))
}
