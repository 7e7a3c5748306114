/** What an answer may say, and when: blobs of another size than said, rounds that are over, uploads without end, words about work. */
import { createHash } from 'node:crypto'
import t, { type Test } from 'tap'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { Manifest, Notice } from '../../src/federated/link/messages.js'
import type { FedloraError } from '../../src/index.js'
import { Mortal, options } from './support/conformance.js'
import { drifts, SmallParticipant } from './support/small-participant.js'

const never = new AbortController().signal
const names = ['a', 'b', 'c', 'd']
const codeOf = async (call: Promise<unknown>) =>
  await call.then(
    () => 'nothing',
    (error: FedloraError) => error.code,
  )

/** A federation of one round whose clients have all been offered their work. */
async function offered(t: Test) {
  const base = options()
  const config = options({
    clients: { ...base.clients, deadline: null },
    federation: { ...base.federation, rounds: 1, cohort: 4 },
  })
  const mortal = await new Mortal(config).open()
  const clients: SmallParticipant[] = []
  for (const name of names) {
    const { token } = await mortal.server().invite(name, 60)
    await mortal.server().enroll(token, `key of ${name}`)
    clients.push(new SmallParticipant(name, new InProcessLink(mortal.server, name), drifts))
  }
  t.teardown(async () => {
    for (const one of clients) await one.close()
    await mortal.close()
  })
  const work = async (one: SmallParticipant) => {
    await one.open()
    const notice = (await one.link.next(one.known, never)) as Notice & { type: 'work' }
    return await one.work(notice)
  }
  return { mortal, clients, works: await Promise.all(clients.map(work)) }
}

t.test('a blob of another size than its answer says is not there', async (t) => {
  const { mortal, clients, works } = await offered(t)
  const [one, { manifest, path }] = [clients[0]!, works[0]!]
  await one.link.upload(manifest.blob!, path, never)
  const { blob, bytes } = manifest.blob!
  for (const more of [4, -4, 1]) {
    const lie: Manifest = {
      ...manifest,
      vectors: { adapter: manifest.vectors.adapter! + more },
      blob: { blob, bytes: bytes + more },
    }
    t.equal(await codeOf(one.link.say({ type: 'answer', round: 1, manifest: lie }, never)), 'E_BLOB_MISSING', `${more}`)
  }
  t.same(await one.answer(1, works[0]!), { type: 'taken' }, 'its true answer counts')
  for (const [i, client] of clients.entries()) if (i > 0) await client.answer(1, works[i]!)
  await mortal.server().over
  const report = (await mortal.records()).flatMap((record) => (record.type === 'commit' ? [record.report] : []))[0]
  t.equal(report?.bytesUp, 4 * bytes, 'and bytes are counted as they came')
})

t.test('three uploads may be begun, and each of them ended', async (t) => {
  const { clients, works } = await offered(t)
  const [one, { manifest, path }] = [clients[0]!, works[0]!]
  const { bytes } = manifest.blob!
  const begin = (text: string) => {
    const blob = createHash('sha256').update(text).digest('hex')
    return codeOf(one.link.upload({ blob, bytes }, path, never))
  }
  t.same(await Promise.all(['x', 'y'].map(begin)), ['E_HASH', 'E_HASH'], 'bytes of something else')
  await one.link.upload(manifest.blob!, path, never)
  t.equal(await begin('z'), 'E_TOO_LARGE', 'a fourth')
  t.equal(await begin('x'), 'E_HASH', 'one that was begun')
  const other = works[1]!.manifest.blob!
  await clients[1]!.link.upload(other, works[1]!.path, never)
  t.same(await one.answer(1, works[0]!), { type: 'taken' })
  t.equal(await begin('z'), 'E_ROUND_CLOSED', 'after its answer')
})

t.test('words about work: taken while a round is open or answered, refused for others', async (t) => {
  const { clients, works } = await offered(t)
  const [one, two] = clients as [SmallParticipant, SmallParticipant]
  const working = (from: SmallParticipant, round: number) =>
    from.link.say({ type: 'working', round, step: 1, steps: 2 }, never)
  t.same(await working(one, 1), { type: 'taken' })
  t.match(await working(one, 2), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'a round that has not begun')
  await one.answer(1, works[0]!)
  t.same(await working(one, 1), { type: 'taken' }, 'it has answered')
  const failed = { type: 'failed', round: 1, code: 'E_MEMORY', why: 'no memory' } as const
  t.same(await two.link.say(failed, never), { type: 'taken' })
  t.same(await two.link.say(failed, never), { type: 'taken' }, 'said again')
  t.match(await working(two, 1), { type: 'refused', code: 'E_ROUND_CLOSED' }, 'it is waited for no longer')
  t.match(await two.answer(1, works[1]!), { type: 'refused', code: 'E_ROUND_CLOSED' })
  t.match(await two.link.next({ ...two.known, working: 1 }, never), {
    type: 'outcome',
    counted: false,
    why: 'no memory',
  })
})
