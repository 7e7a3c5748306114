/**
 * NATS on a line that is late, refuses and cuts (support/line.ts), for clients: a federation ends as an undisturbed one does. After each cut a client of NATS
 * waits for two seconds, so that this is one federation and not the suite of all links; without TLS nobody notices other bytes, so that none are changed.
 */
import { rmSync } from 'node:fs'
import t from 'tap'
import { isFedloraError } from '../../src/errors.js'
import { temporaryFolder } from '../support/train.js'
import { Chaos, patient } from './support/chaos-link.js'
import { countedOnce, Mortal, resultOf, takePart } from './support/conformance.js'
import { openLine } from './support/line.js'
import { natsCarrier } from './support/nats-carrier.js'
import { skipNats } from './support/nats-server.js'

const root = temporaryFolder('chaos-nats')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

/** A federation over NATS, whose clients come through a line with chaos of a share. */
async function federation(share: number) {
  const chaos = new Chaos(3, share)
  const line = await openLine(chaos, false)
  const mortal = await new Mortal().open()
  const carried = await natsCarrier(root, line).open(mortal.server)
  const join = async (name: string) =>
    patient(await carried.join(name), (error) => isFedloraError(error, 'E_UNREACHABLE'))
  await takePart({ ...carried, join })
  await carried.close()
  await mortal.close()
  await line.close()
  return { mortal, happened: chaos.happened }
}

t.test('cuts, and the result of an undisturbed federation', { skip: skipNats }, async (t) => {
  const { mortal: quiet, happened: nothing } = await federation(0)
  t.same(
    Object.values(nothing).filter((times) => times > 0),
    [],
    'canary: a line without chaos does nothing',
  )
  const { mortal, happened } = await federation(0.004)
  t.same(await resultOf(mortal), await resultOf(quiet))
  countedOnce(t, await mortal.records())
  const { lost, cut, unanswered, short } = happened
  t.ok(lost + cut + unanswered + short > 0, JSON.stringify(happened))
})
