/** A server cannot leave a promised mask out, or make it weaker, for one round. */
import t from 'tap'
import { chooseAlgorithm } from '../../src/federated/algorithms/index.js'
import { federationSchema } from '../../src/federated/options.js'
import { checkSecureOffer } from '../../src/federated/participant/secure-offer.js'

const b64 = (bytes: number, fill: number) => Buffer.alloc(bytes, fill).toString('base64')
const secure = {
  ...{ run: b64(16, 1), round: b64(16, 2), client: 0, identities: [b64(32, 3), b64(32, 4), b64(32, 5)] },
  ...{ neighbours: 2, threshold: 2, clip: 0.5, bits: 16, wordBytes: 4, mostWeight: 40 },
}
const secureAggregation = { threshold: 2, clip: 0.5, bits: 16 }
const check = (work: object, federation: object, rows = 10) => {
  const config = federationSchema.parse({ rounds: 1, local: { steps: 1 }, ...federation })
  checkSecureOffer({ secure: undefined, ...work }, config, chooseAlgorithm(config.algorithm), rows)
}

t.test('work without the mask that was promised, or with another, is declined', async (t) => {
  check({ secure }, { secureAggregation })
  check({}, {})
  t.throws(() => check({}, { secureAggregation }), { code: 'E_PROTOCOL', message: /without a mask/ })
  t.throws(() => check({ secure }, {}), { code: 'E_PROTOCOL', message: /would travel masked/ })
  for (const [name, value] of Object.entries({ threshold: 1, clip: 5, bits: 8, wordBytes: 2 }))
    t.throws(() => check({ secure: { ...secure, [name]: value } }, { secureAggregation }), {
      code: 'E_PROTOCOL',
      message: new RegExp(`its ${name} would be ${value}`),
    })
  for (const damaged of [{ identities: ['x'] }, { neighbours: 0 }, { client: -1 }, { run: b64(15, 1) }, { extra: 1 }])
    t.throws(() => check({ secure: { ...secure, ...damaged } }, { secureAggregation }), { code: 'E_CONFIG' })
})

t.test('rows that weigh more than a masked word has room for are told before any work', async (t) => {
  check({ secure }, { secureAggregation }, 40)
  t.throws(() => check({ secure }, { secureAggregation }, 41), { code: 'E_LIMIT', message: /41 rows.*room for, 40/ })
  check({ secure }, { secureAggregation, weighting: 'uniform' }, 1000)
  check({ secure: { ...secure, mostWeight: null } }, { secureAggregation }, 1000)
})
