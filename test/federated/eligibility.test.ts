/** When a client may work: hours across midnight and changes of the clock, load, mains power; what a system does not tell is refused. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type Machine, openEligibility } from '../../src/federated/participant/eligibility.js'
import { isWithin, nextStart, parseHours } from '../../src/federated/participant/hours.js'
import { isOnMains } from '../../src/federated/participant/mains.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('eligibility')
const zone = process.env.TZ
process.env.TZ = 'Europe/Berlin'
t.teardown(() => {
  rmSync(root, { recursive: true })
  if (zone === undefined) delete process.env.TZ
  else process.env.TZ = zone
})

const at = (text: string) => new Date(text)
const text = (milliseconds: number) => new Date(milliseconds).toISOString()

t.test('hours are two different times of the day', async (t) => {
  t.same(parseHours('22:00-06:00'), { from: 1320, to: 360 })
  t.same(parseHours(' 7:05 - 23:59 '), { from: 425, to: 1439 })
  for (const wrong of [
    '',
    '22-6',
    '24:00-06:00',
    '22:60-06:00',
    '08:00-08:00',
    '22:00',
    'night',
    '22:00-06:00x',
    3,
    null,
  ]) {
    t.throws(() => parseHours(wrong as string), { code: 'E_CONFIG' }, String(wrong))
  }
})

t.test('within: the first minute counts, the last does not; across midnight', async (t) => {
  const night = parseHours('22:00-06:00')
  const day = parseHours('09:00-17:00')
  const cases: [string, boolean, boolean][] = [
    ['2026-11-27T21:59:59', false, false],
    ['2026-11-27T22:00:00', true, false],
    ['2026-11-28T00:00:00', true, false],
    ['2026-11-28T05:59:59', true, false],
    ['2026-11-28T06:00:00', false, false],
    ['2026-11-28T09:00:00', false, true],
    ['2026-11-28T16:59:59', false, true],
    ['2026-11-28T17:00:00', false, false],
  ]
  for (const [moment, inNight, inDay] of cases) {
    t.same([isWithin(night, at(moment)), isWithin(day, at(moment))], [inNight, inDay], moment)
  }
})

t.test('the next beginning, on days of 23 and 25 hours as well', async (t) => {
  const start = (hours: string, moment: string) => text(nextStart(parseHours(hours), at(moment)))
  t.equal(start('22:00-06:00', '2026-11-27T08:00:00Z'), '2026-11-27T21:00:00.000Z')
  t.equal(start('22:00-06:00', '2026-11-27T21:00:00Z'), '2026-11-28T21:00:00.000Z', 'after it, not at it')
  // 2026-03-29: 02:00 is 03:00 at once; 2026-10-25: 03:00 is 02:00 once more.
  t.equal(start('22:00-06:00', '2026-03-29T06:00:00Z'), '2026-03-29T20:00:00.000Z', 'summer: 22:00 is 20:00 UTC')
  t.equal(start('02:30-05:00', '2026-03-29T00:00:00Z'), '2026-03-29T01:30:00.000Z', 'there is no 02:30: it is 03:30')
  t.equal(start('22:00-06:00', '2026-10-25T08:00:00Z'), '2026-10-25T21:00:00.000Z', 'winter: 22:00 is 21:00 UTC')
  t.ok(
    isWithin(parseHours('02:15-02:45'), at('2026-10-25T00:30:00Z')) &&
      isWithin(parseHours('02:15-02:45'), at('2026-10-25T01:30:00Z')),
    'both of them are 02:30',
  )
})

const machine = (variation: Partial<Machine>): Machine => ({
  load: () => 0,
  cores: 8,
  onMains: async () => true,
  ...variation,
})

/** Waits on a clock that sleeping moves; gives the time at which it may, and what was told. */
async function waited(options: Parameters<typeof openEligibility>[0], start: string, other: Machine = machine({})) {
  let now = at(start).getTime()
  const sleeps: number[] = []
  const told: string[] = []
  const time = {
    now: () => now,
    sleep: async (milliseconds: number, signal: AbortSignal) => {
      signal.throwIfAborted()
      now += milliseconds
      sleeps.push(milliseconds)
    },
  }
  const eligibility = await openEligibility(options, time, other)
  await eligibility.wait(new AbortController().signal, (why) => told.push(why))
  return { at: text(now), told, sleeps }
}

t.test('waits for its hour, and says so once', async (t) => {
  const options = { between: '22:00-06:00', onIdle: false, onMains: false }
  const night = await waited(options, '2026-11-27T16:30:00Z')
  t.equal(night.at, '2026-11-27T21:00:00.000Z')
  t.same(night.told, ['it works between 22:00-06:00'])
  t.ok(
    night.sleeps.every((sleep) => sleep <= 3_600_000),
    'a clock that is set is noticed',
  )
  t.same(await waited(options, '2026-11-27T22:30:00Z'), { at: '2026-11-27T22:30:00.000Z', told: [], sleeps: [] })
})

t.test('waits until the machine is idle, and on mains power', async (t) => {
  const loads = [2, 2, 1.9]
  const idle = await waited(
    { onIdle: true, onMains: false },
    '2026-11-27T12:00:00Z',
    machine({ load: () => loads.shift() ?? 1.9 }),
  )
  t.equal(idle.told.length, 1)
  t.ok(idle.sleeps.length >= 1)
  const own = await waited({ onIdle: 0.5, onMains: false }, '2026-11-27T12:00:00Z', machine({ load: () => 0.4 }))
  t.same(own.sleeps, [])
  const power = [false, false, true, true]
  const mains = await waited(
    { onIdle: false, onMains: true },
    '2026-11-27T12:00:00Z',
    machine({ onMains: async () => power.shift()! }),
  )
  t.same(
    [mains.told, mains.sleeps],
    [['it works on mains power'], [60_000]],
    'the first look was at whether the system tells',
  )
})

t.test('what the system does not tell is refused before anything', async (t) => {
  const open = (options: Parameters<typeof openEligibility>[0], other: Partial<Machine>) =>
    openEligibility(options, { now: Date.now, sleep: async () => {} }, machine(other))
  await t.rejects(open({ onIdle: true, onMains: false }, { load: () => undefined }), {
    code: 'E_UNSUPPORTED',
    message: /onIdle.*load/,
  })
  await t.rejects(open({ onIdle: false, onMains: true }, { onMains: async () => undefined }), {
    code: 'E_UNSUPPORTED',
    message: /onMains/,
  })
  await t.rejects(open({ between: 'noon', onIdle: false, onMains: false }, {}), { code: 'E_CONFIG' })
})

t.test('an abort ends the wait', async (t) => {
  const reason = new Error('enough')
  const controller = new AbortController()
  const sleep = async (_: number, signal: AbortSignal) => {
    controller.abort(reason)
    signal.throwIfAborted()
  }
  const eligibility = await openEligibility(
    { onIdle: 1, onMains: false },
    { now: Date.now, sleep },
    machine({ load: () => 9 }),
  )
  await t.rejects(
    eligibility.wait(controller.signal, () => {}),
    reason,
  )
})

t.test('mains power as Linux tells it', async (t) => {
  const power = async (supplies: Record<string, Record<string, string>>) => {
    const folder = join(root, 'power')
    rmSync(folder, { recursive: true, force: true })
    for (const [name, files] of Object.entries(supplies)) {
      mkdirSync(join(folder, name), { recursive: true })
      for (const [file, value] of Object.entries(files)) writeFileSync(join(folder, name, file), `${value}\n`)
    }
    return await isOnMains(folder)
  }
  const battery = (status: string) => ({ type: 'Battery', status })
  t.equal(await power({ AC: { type: 'Mains', online: '1' }, BAT0: battery('Discharging') }), true)
  t.equal(await power({ AC: { type: 'Mains', online: '0' }, BAT0: battery('Discharging') }), false)
  t.equal(
    await power({ AC: { type: 'Mains', online: '0' }, usb: { type: 'USB', online: '1' } }),
    true,
    'a USB-C charger',
  )
  t.equal(await power({ BAT0: battery('Charging') }), true)
  t.equal(await power({ BAT0: battery('Discharging') }), false)
  t.equal(await power({ mouse: { ...battery('Discharging'), scope: 'Device' } }), undefined, 'that of a mouse')
  t.equal(await power({}), undefined)
  t.equal(await power({ AC: { type: 'Mains' }, odd: {} }), undefined)
  t.equal(await isOnMains(join(root, 'nowhere')), undefined)
})
