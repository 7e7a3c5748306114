/** `fedlora nats init`: files for an operator that a real server takes, and refusals of what it could not. */
import { readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { initNats } from '../../src/nats/index.js'
import { temporaryFolder } from '../support/train.js'

const root = temporaryFolder('nats-init')
t.teardown(() => rmSync(root, { recursive: true, force: true }))

t.test('a configuration, and a seed for every user that only its owner reads', async (t) => {
  const folder = join(root, 'one')
  const made = await initNats({ folder, clients: ['ward-1', 'Ost ä/..'] })
  const text = readFileSync(made.config, 'utf8')
  t.match(text, /sync_interval: always/)
  t.match(text, /fl\.fedlora\.ask\.ward-1/)
  t.same(Object.keys(made.clients), ['ward-1', 'Ost ä/..'])
  for (const path of [made.server, ...Object.values(made.clients)]) {
    t.ok(path.startsWith(folder), 'nothing is written elsewhere, whatever a name says')
    t.equal(statSync(path).mode & 0o777, 0o600)
    t.match(readFileSync(path, 'utf8'), /^SU[A-Z2-7]+\n$/)
    t.notOk(text.includes(readFileSync(path, 'utf8').trim()), 'no private key in the configuration')
  }
  await t.rejects(initNats({ folder, clients: ['a'] }), { code: 'E_ARGUMENT' }, 'not over another one')
})

t.test('a client may speak and hear as itself alone', async (t) => {
  const made = await initNats({ folder: join(root, 'two'), space: 'study', clients: ['a', 'b'] })
  const [a, b] = readFileSync(made.config, 'utf8')
    .split('\n')
    .filter((line) => line.includes('permissions')) as [string, string]
  const foreign = (line: string, other: string) =>
    [`ask.${other}"`, `known.${other}"`, `offer.${other}"`, `up_${other}`, `_INBOX_study_${other}`].filter((part) =>
      line.includes(part),
    )
  t.same(foreign(a, 'b'), [])
  t.same(foreign(b, 'a'), [])
  t.equal(foreign(a, 'a').length, 5, 'canary: its own are there')
})

for (const [what, options, code] of [
  ['no clients', { clients: [] }, 'E_CONFIG'],
  ['a name twice', { clients: ['a', 'a'] }, 'E_CONFIG'],
  ['names that files cannot tell apart', { clients: ['a', 'A'] }, 'E_CONFIG'],
  ['a space that cannot be part of a subject', { clients: ['a'], space: 'x.y' }, 'E_ARGUMENT'],
  ['a certificate without its key', { clients: ['a'], cert: 'c.pem' }, 'E_CONFIG'],
  ['an unknown option', { clients: ['a'], port: 1 }, 'E_CONFIG'],
] as const) {
  t.test(`refused: ${what}`, async (t) => {
    const folder = join(root, 'refused')
    await t.rejects(initNats({ folder, ...options } as never), { code })
    t.throws(() => statSync(folder), 'nothing was written')
  })
}
