/**
 * Real carriers on lines that are late, refuse, cut, and bring other bytes (support/line.ts): the suite of all links, and a federation of real clients with
 * the bits of an undisturbed one.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { temporaryFolder } from '../support/train.js'
import { Chaos, patient } from './support/chaos-link.js'
import { type Carrier, conformance } from './support/conformance.js'
import { httpsCarrier } from './support/https-carrier.js'
import { type Line, openLine } from './support/line.js'
import { natsCarrier } from './support/nats-carrier.js'
import { skipNats } from './support/nats-server.js'

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

async function judged(
  t: Test,
  name: string,
  seed: number,
  share: number,
  sealed: boolean,
  carrier: (line: Line) => Omit<Carrier, 'name' | 'deaths'>,
) {
  const chaos = new Chaos(seed, share)
  const line = await openLine(chaos, sealed)
  t.teardown(() => line.close())
  await conformance(t, overLine(`${name} on a bad line`, 31, carrier(line)))
  t.comment(JSON.stringify(chaos.happened))
  const { late, lost, cut, unanswered, short, changed, again } = chaos.happened
  for (const times of [late, lost, cut, unanswered, short, ...(sealed ? [changed, again] : [])]) t.ok(times > 0)
}

t.test('https', (t) =>
  judged(t, 'https', 1, 0.03, true, (line) => httpsCarrier(mkdtempSync(join(root, 'https-')), line)),
)
// NATS
