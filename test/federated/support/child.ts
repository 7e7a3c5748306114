/** A federation in a process of its own, to be killed: prints a line for each client and round, resumes when there is a run. */
import { existsSync } from 'node:fs'
import { simulate } from '../../../src/federated/simulate/simulate.js'
import { loadModel } from '../../../src/model/load.js'
import { goldenFolder } from '../../support/golden-model.js'
import { federation } from './federation.js'

const folder = process.argv[2]!
const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const place = existsSync(folder) ? { resumeFrom: folder } : { outputDir: folder }
const run = simulate(await federation(model, { baselines: ['global', 'local'], checkpointEvery: 2, ...place }))
for await (const event of run) process.stdout.write(`${event.type}\n`)
