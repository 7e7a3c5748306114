/**
 * Real carriers on lines that are late, refuse, cut, and bring other bytes (support/line.ts): the suite of all links, which compares all that comes of a
 * federation with an undisturbed one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { temporaryFolder } from '../support/train.js'
import { Chaos, patient } from './support/chaos-link.js'
import { type Carrier, conformance } from './support/conformance.js'
import { httpsCarrier } from './support/https-carrier.js'
import { openLine } from './support/line.js'

const root = temporaryFolder('chaos-lines')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

/** What clients meet on such a line, and try again. */
const ofTheLine = (error: unknown) => isFedloraError(error, 'E_UNREACHABLE')

const overLine = (name: string, deaths: number, inner: Omit<Carrier, 'name' | 'deaths'>): Carrier => ({
  name,
  deaths,
  async open(server) {
    const { join, close } = await inner.open(server)
    return { join: async (client) => patient(await join(client), ofTheLine), close }
  },
})

t.test('https', async (t) => {
  const chaos = new Chaos(1, 0.03)
  const line = await openLine(chaos)
  t.teardown(() => line.close())
  const carrier = httpsCarrier(mkdtempSync(join(root, 'https-')), line)
  await conformance(t, overLine('https on a bad line', 61, carrier))
  const { late, lost, cut, unanswered, short, changed, again } = chaos.happened
  for (const times of [late, lost, cut, unanswered, short, changed, again])
    t.ok(times > 0, JSON.stringify(chaos.happened))
})
