/** Without rounds what a client has begun to send is counted from each beginning of its work: who begins again may begin as many uploads as before. */
import { createHash } from 'node:crypto'
import { rmSync } from 'node:fs'
import t from 'tap'
import type { FedloraError } from '../../src/index.js'
import { temporaryFolder } from '../support/train.js'
import { Punctual, Timeless } from './support/buffered.js'
import { options } from './support/conformance.js'
import { drifts } from './support/small-participant.js'

const root = temporaryFolder('buffered-uploads')
t.teardown(() => rmSync(root, { recursive: true }))
const never = new AbortController().signal

t.test('three uploads at each beginning of work, and each client its own', async (t) => {
  const asynchronous = { buffer: 1, concurrency: 2 }
  const federation = { rounds: 4, seed: 11, local: { steps: 2 }, asynchronous }
  const server = await new Timeless(options({ clients: { minimum: 2, deadline: 10 }, federation })).open()
  await server.enrol('a', 'b')
  await server.settled()
  const join = (name: string) => Punctual.join(name, server.link(name), `${root}/${name}`, () => drifts)
  const [a, b] = [await join('a'), await join('b')]
  const notice = await a.asked()
  const { manifest, path } = await a.work(notice)
  const begin = (text: string) => {
    const blob = createHash('sha256').update(text).digest('hex')
    const lie = a.link.upload({ blob, bytes: manifest.blob!.bytes }, path, never)
    return lie.then(
      () => 'nothing',
      ({ code }: FedloraError) => code,
    )
  }
  for (const text of ['x', 'y', 'z']) t.equal(await begin(text), 'E_HASH', `${text}: bytes of something else`)
  t.equal(await begin('more'), 'E_TOO_LARGE', 'a fourth')
  const word = { round: notice.round, code: 'E_MEMORY', why: 'no memory' }
  t.same(await a.link.say({ type: 'failed', ...word }, never), { type: 'taken' })
  a.known.working = notice.round
  t.equal(await begin('more'), 'E_ROUND_CLOSED', 'nothing is waited for')
  t.same((await b.arrive()).reply, { type: 'taken' })
  await server.settled()
  t.equal((await a.asked()).round, 2, 'it begins again')
  for (const text of ['u', 'v', 'w']) t.equal(await begin(text), 'E_HASH', `${text}: as many as before`)
  t.equal(await begin('x'), 'E_TOO_LARGE', 'also of those before')
  for (const one of [a, b]) await one.close()
  await server.close()
})
