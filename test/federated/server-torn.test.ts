/** A server that was killed within an append says what it cut off its journal, once; a journal that is damaged otherwise is not opened. */
import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { serveTeller } from '../../src/cli/serve/tell.js'
import type { CoordinatorEvent } from '../../src/federated/coordinator/events.js'
import { createServer } from '../../src/server/index.js'
import { goldenFolder } from '../support/golden-model.js'

const folder = t.testdir()
async function open() {
  const events: CoordinatorEvent[] = []
  const options = {
    folder,
    listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
    tls: false as const,
    log: 'silent' as const,
    model: { path: goldenFolder('llama') },
    adapter: { rank: 2 },
    data: { format: 'tokens' as const },
    federation: { rounds: 1, local: { steps: 1 } },
  }
  const server = await createServer(options, (event) => void events.push(event))
  return { server, events }
}

const journal = join(folder, 'journal')
const first = await open()
for (const name of ['a', 'b']) await first.server.invite(name)
await first.server.close()
const file = join(journal, readdirSync(journal).find((name) => name.endsWith('.fl'))!)
const whole = readFileSync(file)

t.test('a torn end', async (t) => {
  t.same(first.events, [], 'canary: a whole journal is nothing to tell')
  truncateSync(file, whole.length - 3)
  const { server, events } = await open()
  t.match(
    server.standing().clients.map(({ name }) => name),
    ['a'],
  )
  await server.close()
  const [torn] = events
  t.match(torn, { type: 'torn', file })
  if (torn?.type !== 'torn') return
  t.equal(torn.byte + torn.bytes, whole.length - 3)
  t.equal(statSync(file).size, torn.byte, 'it is cut off')
  t.match(readFileSync(join(folder, 'events.ndjson'), 'utf8'), /"type":"torn".*"bytes":\d+/)
  const notes: string[] = []
  serveTeller({ note: (line: string) => void notes.push(line), progressShown: false } as never, () => '')(torn)
  t.match(notes, [`${torn.bytes} bytes of '${file}' from byte ${torn.byte} on are cut off`])
  const again = await open()
  t.same(again.events, [], 'once')
  await again.server.close()
})

t.test('a damaged record in the middle', async (t) => {
  const damaged = Buffer.from(whole)
  damaged[Math.floor(whole.length / 2)]! ^= 1
  writeFileSync(file, damaged)
  await t.rejects(open(), { code: 'E_JOURNAL_CORRUPT', message: /put the file back from a backup/ })
  t.ok(readFileSync(file).equals(damaged), 'nothing is cut off')
})
