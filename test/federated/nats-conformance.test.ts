/** The link over a real NATS server, under the suite of all links. */
import { rmSync } from 'node:fs'
import t from 'tap'
import { temporaryFolder } from '../support/train.js'
import { conformance } from './support/conformance.js'
import { natsCarrier } from './support/nats-carrier.js'
import { skipNats } from './support/nats-server.js'

const root = temporaryFolder('nats-conformance')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

t.test('through NATS', { skip: skipNats }, (t) => conformance(t, { name: 'nats', deaths: 7, ...natsCarrier(root) }))
