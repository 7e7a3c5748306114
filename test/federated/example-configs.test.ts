/** Every algorithm has a config file among the examples, and each runs through `simulate` as it is written. */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { algorithms, chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { type RoundEvent, simulate } from '../../src/federated/index.js'
import { type FederationOptions, federationSchema } from '../../src/federated/options.js'
import type { AdapterOptions } from '../../src/model/adapter-options.js'
import { loadModel } from '../../src/model/load.js'
import { parseOptions } from '../../src/options/parse.js'
import { goldenFolder } from '../support/golden-model.js'
import { tokenRows } from '../support/train.js'

interface Config {
  adapter: AdapterOptions
  evaluate?: { of: 'both' }
  federation: FederationOptions
}

const folder = resolve('examples/algorithms')
const read = (name: string) => parse(readFileSync(join(folder, name), 'utf8')) as Config

const model = await loadModel(goldenFolder('llama'), { quantization: 'nf4', threads: 1 })
t.teardown(() => model.dispose())
const names = [0, 1, 2].map((i) => `client-${i}`)
const clients = await Promise.all(
  names.map(async (name, i) => ({
    name,
    train: await tokenRows(4 + i, 263, 17 * i),
    test: await tokenRows(2, 263, 90 + i),
  })),
)

t.test('one file for each algorithm, named after it', async (t) => {
  const files = readdirSync(folder)
  t.same(
    files.sort(),
    Object.keys(algorithms)
      .map((name) => `${name}.yaml`)
      .sort(),
  )
  for (const file of files) {
    const { algorithm } = read(file).federation
    t.equal(`${chooseAlgorithm(algorithm).algorithm.name}.yaml`, file)
  }
})

for (const file of readdirSync(folder)) {
  t.test(file, async (t) => {
    const { adapter, evaluate, federation } = read(file)
    parseOptions(federationSchema, federation, file)
    const rounds: RoundEvent[] = []
    const run = simulate({ ...federation, model, adapter, clients, ...(evaluate && { evaluate }) })
    for await (const event of run) if (event.type === 'round') rounds.push(event)
    const result = await run
    result.adapter.dispose()
    t.equal(rounds.length, 2)
    for (const { loss, clients, aggregationError } of rounds) {
      t.ok(loss! > 0 && clients.length === 3, `loss ${loss}`)
      t.ok(aggregationError !== null && aggregationError >= 0, `aggregation error ${aggregationError}`)
    }
    t.equal(result.clientEvaluations.length, evaluate === undefined ? 0 : 2)
  })
}
