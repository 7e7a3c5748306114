/** Secure aggregation between parties, algorithm by algorithm: the bits of `simulate`, or its refusal. */
import t from 'tap'
import { algorithms } from '../../src/federated/algorithms/index.js'
import { asInSimulate, openModel, rowsOf, wide } from './support/secure-federation.js'

const model = await openModel()
t.teardown(() => model.dispose())
const rows = await rowsOf()

for (const algorithm of Object.keys(algorithms)) {
  t.test(algorithm, (t) => asInSimulate(t, model, rows, { algorithm, secureAggregation: wide }))
}
