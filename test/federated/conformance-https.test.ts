/** HTTPS under the suite of all links: a real server and real clients over TLS, whose federation dies and comes back behind it. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { conformance } from './support/conformance.js'
import { httpsCarrier } from './support/https-carrier.js'

const folder = mkdtempSync(join(tmpdir(), 'fedlora-https-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))

await conformance(t, { name: 'https', deaths: 13, ...httpsCarrier(folder) })
