import { randomBytes } from 'node:crypto'
import { readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { joinServer } from '../../src/federated/https/client/join.js'
import type { Word } from '../../src/federated/link/messages.js'
import { sha256, startServer } from './support/https.js'

const never = new AbortController().signal
const known = { settled: 0, working: null, heard: 0 }
const word: Word = { type: 'working', round: 1, step: 0, steps: 4 }

t.test('a client joins by one line, asks, says, sends and receives', async (t) => {
  await using server = await startServer()
  const token = await server.invite('a')
  t.match(token, /^fedlora_[A-Za-z0-9_-]+$/, 'one word')
  const folder = t.testdir()
  const { link, client } = await joinServer(token, folder)
  t.teardown(() => link.close())
  t.equal(client, 'a')
  t.equal((await stat(join(folder, 'client.key'))).mode & 0o777, 0o600)
  t.match(await link.describe(never), { run: server.federation.run, name: 'fake' })
  t.match(await link.describe(never), { run: server.federation.run }, 'again, from what it keeps')
  t.match(
    server.answered.map(({ route, status }) => [route, status]),
    [
      ['enroll', 201],
      ['describe', 200],
      ['describe', 304],
    ],
  )

  server.federation.notify('a', { type: 'over', round: 3 })
  t.same(await link.next(known, never), { type: 'over', round: 3 })
  const waiting = link.next(known, never)
  while (server.served.waiting() === 0) await new Promise(setImmediate)
  server.federation.notify('a', { type: 'outcome', round: 1, counted: true })
  t.same(await waiting, { type: 'outcome', round: 1, counted: true })
  t.same(await link.say(word, never), { type: 'taken' })
  t.same(server.federation.said, [{ client: 'a', word }])

  const bytes = randomBytes(300_000)
  await writeFile(join(folder, 'up'), bytes)
  await link.upload({ blob: sha256(bytes), bytes: bytes.length }, join(folder, 'up'), never)
  t.ok(server.federation.whole.get(sha256(bytes))?.equals(bytes))
  await link.upload({ blob: sha256(bytes), bytes: bytes.length }, join(folder, 'up'), never)
  await link.download({ blob: sha256(bytes), bytes: bytes.length }, join(folder, 'down'), never)
  t.ok(bytes.equals(await readFile(join(folder, 'down'))))
  const empty = { blob: sha256(Buffer.alloc(0)), bytes: 0 }
  await writeFile(join(folder, 'empty'), '')
  await link.upload(empty, join(folder, 'empty'), never)
  await link.download(empty, join(folder, 'nothing'), never)
  t.equal((await stat(join(folder, 'nothing'))).size, 0)

  const again = await joinServer(token, folder)
  t.teardown(() => again.link.close())
  t.equal(again.client, 'a', 'the used token goes on with the stored key')
  await again.link.describe(never)
  await t.rejects(joinServer(token, join(t.testdir(), 'thief')), { code: 'E_TOKEN_USED' })
})
