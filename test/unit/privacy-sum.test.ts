/** The server's private sum by itself: it clips whatever comes, counts every answer alike, and pays for the count of norms within. */
import t from 'tap'
import { clipTogether, jointNorm } from '../../src/federated/clipping.js'
import { PrivateCollector, type PrivateSum } from '../../src/federated/server/private-sum.js'

const length = 20_000
const sum: PrivateSum = {
  clip: 1,
  noiseMultiplier: 0,
  expectedClients: 4,
  keyOf: (round, name) => new Uint8Array(32).fill(round + name.length),
}
const collector = (by: Partial<PrivateSum>, kept = {}) => new PrivateCollector({ ...sum, ...by }, kept, () => length)
const unit = (place: number, norm: number) => {
  const vector = new Float32Array(length)
  vector[place] = norm
  return vector
}

t.test('an answer counts with a norm of at most clip, over all its vectors, whatever its weight', async (t) => {
  const both = { lora_A: unit(0, 3e4), lora_B: unit(1, 4e4) }
  const cut = clipTogether(both, 1)
  t.ok(jointNorm(cut) <= 1 && jointNorm(cut) > 1 - 1e-5)
  t.equal(both.lora_A[0], 3e4, 'what is given stays')
  t.equal(clipTogether(cut, 1), cut, 'what is within is left alone')

  const server = collector({})
  server.begin(1)
  server.add('giant', both, 1e9)
  server.add('small', { lora_A: unit(2, 0.5), lora_B: unit(3, 0.5) }, 1)
  const [a, b] = [server.mean('lora_A')!, server.mean('lora_B')!]
  t.ok(Math.hypot(a[0]!, b[1]!) <= 1 / 4 && Math.hypot(a[0]!, b[1]!) > 0.99 / 4, 'the giant')
  t.ok(Math.abs(a[2]! - 0.5 / 4) <= 1e-7 && Math.abs(b[3]! - 0.5 / 4) <= 1e-7, 'the small one, over the expected four')
  t.equal(server.mean('lora_A'), a, 'read twice, it is the same')
  t.throws(() => server.add('broken', { lora_A: unit(0, Number.NaN) }, 1), { code: 'E_NONFINITE' })
  server.dispose()
})

/** Variance of what an empty round gives, over what is expected of a multiplier. */
function varianceOver(by: Partial<PrivateSum>, multiplier: number, clip = 1): number {
  const server = collector(by)
  server.begin(1)
  const mean = server.mean('adapter')!
  server.dispose()
  return mean.reduce((all, x) => all + x * x, 0) / length / ((multiplier * clip) / 4) ** 2
}

t.test('noise: z·clip over the expected clients, more where the count is paid for', async (t) => {
  // The mean of n squares of normals: relative deviation √(2/n); six of them.
  const near = (ratio: number) => Math.abs(ratio - 1) <= 6 * Math.sqrt(2 / length)
  t.ok(near(varianceOver({ noiseMultiplier: 2 }, 2)))
  t.ok(near(varianceOver({ noiseMultiplier: 2, clip: 3 }, 2, 3)))
  const adaptive = { quantile: 0.5, learningRate: 0.2, countNoise: 1.5 }
  const paid = (2 ** -2 - 3 ** -2) ** -0.5
  t.ok(near(varianceOver({ noiseMultiplier: 2, adaptive }, paid)), 'z_Δ = (z⁻² − (2σ_b)⁻²)^(−1/2)')
  t.notOk(near(varianceOver({ noiseMultiplier: 2, adaptive }, 2)), 'canary: a count that costs nothing')
  t.notOk(near(varianceOver({ noiseMultiplier: 2 }, Math.SQRT2)), 'canary: σ² taken for σ')
})

t.test('noise: normal, another each round and name', async (t) => {
  const server = collector({ noiseMultiplier: 1 })
  const drawn = (round: number, name: string) => {
    server.begin(round)
    return Float64Array.from(server.mean(name)!, (x) => 4 * x)
  }
  const a = drawn(1, 'a')
  const moment = (k: number) => a.reduce((all, x) => all + x ** k, 0) / length
  // Moments of a standard normal are 0, 1, 0, 3, with variances 1, 2, 15, 96 over n; six deviations.
  for (const [k, wanted, variance] of [
    [1, 0, 1],
    [2, 1, 2],
    [3, 0, 15],
    [4, 3, 96],
  ] as const) {
    t.ok(Math.abs(moment(k) - wanted) <= 6 * Math.sqrt(variance / length), `moment ${k}: ${moment(k)}`)
  }
  const correlation = (x: Float64Array, y: Float64Array, lag = 0) =>
    Math.abs(x.reduce((all, value, i) => all + value * y[(i + lag) % length]!, 0) / length)
  const none = 6 / Math.sqrt(length)
  for (const lag of [1, 2, 3, 4, 64]) t.ok(correlation(a, a, lag) <= none, `neighbours at ${lag}`)
  t.ok(correlation(a, drawn(2, 'a')) <= none, 'another round')
  t.ok(correlation(a, drawn(1, 'name')) <= none, 'another name')
  t.notOk(correlation(a, drawn(1, 'a')) <= none, 'canary: a key used twice')
  server.dispose()
})

t.test('the clip norm: a count over the expected clients, ±1/2 each', async (t) => {
  const adaptive = { quantile: 0.5, learningRate: 0.2, countNoise: 1 }
  const server = collector({ adaptive })
  server.begin(1)
  for (const norm of [0.1, 0.2, 0.3]) server.add(`of ${norm}`, { adapter: unit(0, norm) }, 1)
  t.equal(server.kept.clip![0], 1, 'nothing is counted before the round closes')
  server.mean('adapter')
  // b = (3 − 3/2)/4 + 1/2 = 7/8
  t.ok(Math.abs(server.kept.clip![0]! - Math.exp(-0.2 * (7 / 8 - 0.5))) <= 1e-12)
  t.equal(server.clip, 1, 'of this round')
  server.begin(2)
  t.equal(server.clip, server.kept.clip![0])
  for (const norm of [2, 20]) server.add(`of ${norm}`, clipTogether({ adapter: unit(0, norm) }, server.clip), 1)
  const before = server.clip
  server.mean('adapter')
  // b = (0 − 2/2)/4 + 1/2 = 1/4: what was cut is not within, though its norm is the bound's
  t.ok(Math.abs(server.kept.clip![0]! / before - Math.exp(-0.2 * (1 / 4 - 0.5))) <= 1e-12)
  t.equal(collector({ adaptive }, server.kept).clip, server.kept.clip![0], 'remembered')
  server.dispose()
})
