/** A federation with adapters of its clients' own in a process of its own, to be killed: prints a line for each event, resumes when there is a run. */
import { existsSync } from 'node:fs'
import { simulate } from '../../../src/federated/simulate/simulate.js'
import { loadModel } from '../../../src/model/load.js'
import { goldenFolder } from '../../support/golden-model.js'
import { personalFederation } from './personal-federation.js'

const folder = process.argv[2]!
const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
const place = existsSync(folder) ? { resumeFrom: folder } : { outputDir: folder }
for await (const event of simulate(await personalFederation(model, place))) process.stdout.write(`${event.type}\n`)
