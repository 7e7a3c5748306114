/** Virtual time, without a federation: draws against their laws, windows against a walk in small steps, parts, traces. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type ClockOptions, clockSchema, distributionSchema } from '../../src/federated/clock-options.js'
import {
  type Availability,
  always,
  finishOf,
  nextAvailable,
  partOfPeriod,
} from '../../src/federated/simulate/clock/availability.js'
import { drawnDevices, openDevices } from '../../src/federated/simulate/clock/devices.js'
import { draw } from '../../src/federated/simulate/clock/draws.js'
import { type Device, joulesOf, partOf } from '../../src/federated/simulate/clock/part.js'
import { parseOptions } from '../../src/options/parse.js'
import { Random } from '../../src/random/random.js'
import { temporaryFolder } from '../support/train.js'

const place = (client: string, round = 1, what = 'compute') => ({ seed: 3, client, what, round })

t.test('draws follow their laws: the distance of Kolmogorov and Smirnov over 4,000 clients', async (t) => {
  const count = 4000
  /** Error function by Abramowitz and Stegun 7.1.26, to 1.5e-7. */
  const phi = (x: number) => {
    const z = Math.abs(x) / Math.SQRT2
    const k = 1 / (1 + 0.3275911 * z)
    const poly = ((((1.061405429 * k - 1.453152027) * k + 1.421413741) * k - 0.284496736) * k + 0.254829592) * k
    const erf = 1 - poly * Math.exp(-z * z)
    return x < 0 ? (1 - erf) / 2 : (1 + erf) / 2
  }
  const cases: [unknown, (x: number) => number][] = [
    [{ uniform: [2, 5] }, (x) => (x - 2) / 3],
    [{ lognormal: [7, 0.8] }, (x) => phi(Math.log(x / 7) / 0.8)],
    [{ exponential: 4 }, (x) => 1 - Math.exp(-x / 4)],
  ]
  const distance = (law: unknown, cumulative: (x: number) => number) => {
    const parsed = distributionSchema.parse(law)
    const draws = Array.from({ length: count }, (_, i) => draw(parsed, place(`client-${i}`))).sort((a, b) => a - b)
    return draws.reduce((most, x, i) => {
      const p = cumulative(x)
      return Math.max(most, Math.abs(p - i / count), Math.abs(p - (i + 1) / count))
    }, 0)
  }
  // Of 4,000 fair draws the distance exceeds 1.95/√n once in a thousand.
  const bound = 1.95 / Math.sqrt(count)
  for (const [law, cumulative] of cases) t.ok(distance(law, cumulative) <= bound, JSON.stringify(law))
  t.notOk(distance({ exponential: 4.4 }, cases[2]![1]) <= bound, 'canary: another mean')
  t.notOk(distance({ lognormal: [7, 0.64] }, cases[1]![1]) <= bound, 'canary: σ² taken for σ')
})

t.test('draws: by seed, name and quantity; by the round only where it is said', async (t) => {
  const law = distributionSchema.parse({ exponential: 1 })
  t.equal(draw(12, place('a')), 12)
  t.not(draw(law, place('a')), draw(law, place('b')))
  t.not(draw(law, place('a')), draw(law, place('a', 1, 'up')))
  t.not(draw(law, place('a')), draw(law, { ...place('a'), seed: 4 }))
  const compute = (redraw: boolean, round: number) =>
    drawnDevices(clockSchema.parse({ compute: { exponential: 1 }, redraw }), 1).of('a', round).compute
  t.equal(compute(false, 1), compute(false, 9))
  t.not(compute(true, 1), compute(true, 9))
  t.equal(compute(true, 9), compute(true, 9))
})

/** By a walk in steps of 1/64 s over the windows, for times and works on that grid. */
function walked({ windows, period }: Availability, time: number, seconds: number): number {
  const step = 1 / 64
  let left = seconds
  let at = time
  const end = period === null ? 90 * 64 : Number.POSITIVE_INFINITY
  for (let i = 0; i < end && left > 0; i++) {
    const within = period === null ? at : at % period
    if (windows.some(([from, to]) => within >= from && within < to)) left -= step
    at += step
  }
  return left > 0 ? Number.POSITIVE_INFINITY : at
}

t.test('work waits for its windows, pauses between them, and never ends where they end', async (t) => {
  const random = new Random(9, 91)
  const grid = (most: number) => Math.floor(random.uniform() * most * 64) / 64
  for (let trial = 0; trial < 150; trial++) {
    const bounds = [...new Set(Array.from({ length: 6 }, () => grid(20)))].sort((a, b) => a - b)
    const windows = Array.from({ length: bounds.length >> 1 }, (_, i) => [bounds[2 * i]!, bounds[2 * i + 1]!] as const)
    const availability = { windows, period: trial % 3 === 0 ? null : 20 + grid(9) }
    const [time, seconds] = [grid(60), 1 / 64 + grid(trial % 2 === 0 ? 5 : 60)]
    const [got, expected] = [finishOf(availability, time, seconds), walked(availability, time, seconds)]
    if (got !== expected) t.fail(`${JSON.stringify({ availability, time, seconds })}: ${got}, walked ${expected}`)
  }
  t.equal(finishOf(always, 3, 4), 7)
  t.equal(nextAvailable(always, 3), 3)
  t.equal(nextAvailable({ windows: [[5, 6]], period: 10 }, 7), 15)
  t.equal(nextAvailable({ windows: [[5, 6]], period: null }, 6), Number.POSITIVE_INFINITY)
  const half = partOfPeriod(100, 0.5, 0.75)
  t.same(half.windows, [
    [0, 25],
    [75, 100],
  ])
  t.equal(finishOf(half, 0, 50 * 1e9), 100 * 1e9, 'whole periods are not walked')
  t.equal(finishOf(half, 0, 1e300), Number.POSITIVE_INFINITY)
  t.equal(finishOf(always, 0, Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY)
})

t.test('a part: latency and bytes each way, tokens between, and what it costs', async (t) => {
  const device: Device = { compute: 50, up: 10, down: 40, latency: 2, availability: always }
  const work = { bytesDown: 400, tokens: 150, bytesUp: 70 }
  const part = partOf(device, 100, work)
  t.same(part, { finish: 124, seconds: { wait: 0, download: 12, compute: 3, upload: 9 } })
  t.equal(joulesOf(part, { compute: 5, network: 0.5 }), 15 + 10.5)
  const windowed = partOf({ ...device, availability: { windows: [[0, 10]], period: 20 } }, 105, work)
  t.same([windowed.finish, windowed.seconds.wait], [149, 20], '5 s, 10 s and 9 s of work with 10 s between')
  t.equal(partOf({ ...device, up: 5e-324 }, 0, work).finish, Number.POSITIVE_INFINITY)
})

t.test('devices: one link by one law, two by two; a trace as it is written', async (t) => {
  const law = { lognormal: [1e5, 1] } satisfies ClockOptions['compute']
  const one = drawnDevices(clockSchema.parse({ bandwidth: law }), 1).of('a', 1)
  t.equal(one.up, one.down)
  const two = drawnDevices(clockSchema.parse({ bandwidth: { up: law, down: law } }), 1).of('a', 1)
  t.not(two.up, two.down)
  t.same(drawnDevices(clockSchema.parse({}), 1).of('a', 1), {
    compute: 1000,
    up: 1e6,
    down: 1e6,
    latency: 0,
    availability: always,
  })
  const folder = temporaryFolder('clock-trace')
  const open = async (name: string, text: string, names = ['a', 'b']) => {
    const trace = join(folder, name)
    writeFileSync(trace, text)
    return await openDevices(clockSchema.parse({ trace }), 1, names)
  }
  const csv = 'client,compute,up,down,latency,available,period\nb,9,2.5e5,1e6,0.5,0-60 70-90,100\na,7,1,2,,,\n'
  const lines = [
    { client: 'a', compute: 7, up: 1, down: 2 },
    {
      client: 'b',
      compute: 9,
      up: 2.5e5,
      down: 1e6,
      latency: 0.5,
      available: [
        [0, 60],
        [70, 90],
      ],
      period: 100,
    },
  ]
  const fromCsv = await open('devices.csv', csv)
  const fromLines = await open('devices.jsonl', lines.map((line) => JSON.stringify(line)).join('\n'))
  t.same(fromCsv.of('a', 3), { compute: 7, up: 1, down: 2, latency: 0, availability: always })
  t.same(fromCsv.of('b', 1).availability, {
    windows: [
      [0, 60],
      [70, 90],
    ],
    period: 100,
  })
  t.same(fromLines.of('b', 1), fromCsv.of('b', 1))
  t.equal(fromLines.fingerprint, fromCsv.fingerprint, 'the same devices in another file')
  const refused = async (text: string, message: RegExp, names = ['a']) =>
    await t.rejects(open('wrong.csv', text, names), { code: 'E_CONFIG', message })
  const head = 'client,compute,up,down,latency,available,period\n'
  await refused(`${head}a,7,1,2,,,\na,7,1,2,,,\n`, /line 3: client 'a' has a row already/)
  await refused(`${head}b,7,1,2,,,\n`, /no row for client 'a'/)
  await refused(`${head}a,7,1,2,,,\nc,7,1,2,,,\n`, /row for 'c', who is no client/)
  await refused(`${head}a,0,1,2,,,\n`, /line 2: compute/)
  await refused(`${head}a,fast,1,2,,,\n`, /line 2: compute/)
  await refused(`${head}a,,1,2,,,\n`, /line 2: compute/)
  await refused(`${head}a,7,1,2,-1,,\n`, /line 2: latency/)
  await refused(`${head}a,7,1,2,,5-3,\n`, /line 2: available/)
  await refused(`${head}a,7,1,2,,0-9 5-12,\n`, /line 2: available/)
  await refused(`${head}a,7,1,2,,-9,\n`, /line 2: available/)
  await refused(`${head}a,7,1,2,,0-30,20\n`, /line 2: available/)
  await refused(`${head}a,7,1,2,,,20\n`, /line 2: period/)
  await refused('client,compute,up,down,speed\na,7,1,2,3\n', /speed/)
})

t.test('options that mean nothing are refused', async (t) => {
  const refused = (options: unknown, message: RegExp) =>
    t.throws(() => parseOptions(clockSchema, options, 'clock'), { code: 'E_CONFIG', message }, JSON.stringify(options))
  refused({ compute: 0 }, /compute/)
  refused({ compute: Number.NaN }, /compute/)
  refused({ compute: Number.POSITIVE_INFINITY }, /compute/)
  refused({ compute: { uniform: [3, 2] } }, /low ≤ high/)
  refused({ compute: { uniform: [0, 2] } }, /compute/)
  refused({ compute: { lognormal: [1, -1] } }, /compute/)
  refused({ compute: { exponential: 1, uniform: [1, 2] } }, /compute/)
  refused({ compute: { exponential: Number.NaN } }, /compute/)
  refused({ compute: { normal: 1 } }, /compute/)
  refused({ bandwidth: { up: 3 } }, /bandwidth/)
  refused({ latency: -1 }, /latency/)
  refused({ availability: { period: 10, share: 0 } }, /share/)
  refused({ trace: 'x.csv', compute: 3 }, /compute/)
  refused({ over: 0.9 }, /over/)
  refused({ deadline: 0 }, /deadline/)
  refused({ late: { exponent: 1 } }, /deadline/)
  refused({ tiers: 0 }, /tiers/)
  refused({ speed: 3 }, /speed/)
  refused(null, /clock/)
})
