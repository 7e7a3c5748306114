/** A client whose disk is full at any one write or flush: it says so in words, and goes on to the same end once there is room. */
import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { FedloraError } from '../../src/errors.js'
import { always } from '../../src/federated/participant/eligibility.js'
import { ClientFolder } from '../../src/federated/participant/folder.js'
import { Participant } from '../../src/federated/participant/participant.js'
import { temporaryFolder } from '../support/train.js'
import { fakeWorkshop, kept } from './support/fake-workshop.js'
import { type Fault, faultyDisk } from './support/faulty-disk.js'
import { ScriptedServer } from './support/scripted-server.js'

const root = temporaryFolder('client-disk')
t.teardown(() => rmSync(root, { recursive: true }))

const time = { now: Date.now, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) }

/** Takes part once, until the end or until it fails. */
async function takePart(folder: string, server: ScriptedServer): Promise<void> {
  const opened = await ClientFolder.open(folder)
  try {
    const parts = { link: server.link(), folder: opened, workshop: fakeWorkshop(), eligibility: always, time }
    const context = { signal: new AbortController().signal, emit: () => {} }
    await new Participant({ ...parts, random: () => 0 }, context).run()
  } finally {
    opened.close()
  }
}

/** What a federation came to, for server and client. */
async function outcomeOf(folder: string, server: ScriptedServer) {
  const opened = await ClientFolder.open(folder)
  opened.close()
  const { own, settled, counted, over } = opened
  const answers = [...server.answers].map(([round, { manifest, bytes }]) => [
    round,
    { ...manifest, run: '' },
    Buffer.from(bytes).toString('hex'),
  ])
  const left = readdirSync(join(folder, 'outbox'))
  return { answers, kept: [...((await own.read('a', kept)) ?? [])], settled, counted, over, left }
}

for (const [method, errno] of [
  ['writeFile', 'ENOSPC'],
  ['sync', 'EDQUOT'],
] as const satisfies [Fault['method'], Fault['errno']][]) {
  t.test(`${method} fails once (${errno}), at every place`, async (t) => {
    const quiet = new ScriptedServer({ rounds: 2 })
    const plain = join(root, `${method}-plain`)
    await takePart(plain, quiet)
    const expected = await outcomeOf(plain, quiet)
    let told = 0
    let places = 0
    for (; ; places++) {
      const folder = join(root, `${method}-${places}`)
      const server = new ScriptedServer({ rounds: 2 })
      const disk = await faultyDisk([{ method, errno, after: places, times: 1 }])
      const error = await takePart(folder, server).then(
        () => undefined,
        (thrown: FedloraError) => thrown,
      )
      disk.restore()
      if (disk.calls.length === 0) break
      if (error !== undefined) {
        told++
        t.match(error, { code: /^E_(DISK_FULL|IO)$/, message: /disk is full|EDQUOT/ })
        await takePart(folder, server)
      }
      t.same(await outcomeOf(folder, server), expected, `place ${places}`)
    }
    t.ok(places > 10 && told > 0, `${places} places, of which ${told} ended the client`)
  })
}
