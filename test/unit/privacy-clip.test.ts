/** Adaptive clipping: the golden trail, the quantile it comes to, refusals. */
import { readFileSync } from 'node:fs'
import t from 'tap'
import { adaptiveClip } from '../../src/privacy/index.js'
import { Random } from '../../src/random/random.js'

const { clipping: golden } = JSON.parse(readFileSync('test/golden/federated/dp.json', 'utf8'))
const { c0, gamma, eta } = golden.parameters

t.test('the golden trail', async (t) => {
  const bound = adaptiveClip({ clip: c0, quantile: gamma, learningRate: eta })
  for (const { C, b } of golden.rounds) {
    t.ok(Math.abs(bound.clip - C) <= 1e-12, `${bound.clip}, golden ${C}`)
    t.equal(bound.update(b), bound.clip)
  }
  t.ok(Math.abs(bound.clip - golden.C_end) <= 1e-12)
})

t.test('it comes to the quantile, from above and from below', async (t) => {
  const random = new Random(5, 1)
  const norms = Array.from({ length: 501 }, () => Math.exp(random.normal())).sort((a, b) => a - b)
  const settle = (quantile: number, clip: number, sign = 1) => {
    const bound = adaptiveClip({ clip, quantile, learningRate: 0.1 })
    for (let round = 0; round < 300; round++) {
      const inside = norms.filter((norm) => norm <= bound.clip).length / norms.length
      bound.update(sign > 0 ? inside : 1 - inside)
    }
    return Math.abs(norms.filter((norm) => norm <= bound.clip).length / norms.length - quantile)
  }
  // Fractions come in steps of 1/501; the last step moves C by less than one of them.
  for (const quantile of [0.2, 0.5, 0.8])
    for (const clip of [0.01, 20]) t.ok(settle(quantile, clip) <= 0.01, `to ${quantile}`)
  t.notOk(settle(0.5, 1, -1) <= 0.01, 'canary: counting those outside runs away')
})

t.test('refusals', async (t) => {
  const good = { clip: 1, quantile: 0.5, learningRate: 0.2 }
  const bad = {
    clip: [0, -1, Number.NaN, '1', Number.POSITIVE_INFINITY],
    quantile: [0, 1, 2, '0.5'],
    learningRate: [0, -1, null],
    norm: [1],
  }
  for (const [key, values] of Object.entries(bad)) {
    for (const value of values) {
      t.throws(() => adaptiveClip({ ...good, [key]: value }), { code: 'E_CONFIG', message: new RegExp(key) })
    }
  }
  const bound = adaptiveClip(good)
  for (const fraction of [Number.NaN, Number.POSITIVE_INFINITY, '0.5', undefined, null, -1e6, 1e6]) {
    t.throws(() => bound.update(fraction as never), { code: 'E_ARGUMENT', message: /fractionInside/ })
    t.equal(bound.clip, 1, 'unchanged')
  }
})
