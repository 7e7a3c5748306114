/** Rows never leave: every byte that a client gives its link is looked at for their texts and token ids, in any encoding. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { FedloraError } from '../../src/errors.js'
import { InProcessLink } from '../../src/federated/link/in-process.js'
import type { ClientLink } from '../../src/federated/link/link.js'
import type { ParticipantEvent } from '../../src/federated/participant/events.js'
import { takePart } from '../../src/federated/participant/join.js'
import { temporaryFolder } from '../support/train.js'
import { found, openFederation, path, rows, traces } from './support/secrets.js'

const root = temporaryFolder('never-leaves')
t.teardown(() => rmSync(root, { recursive: true }))
/** A link that keeps a copy of all that goes through it towards the server. */
function recorded(link: ClientLink, sent: Buffer[]): ClientLink {
  const keep = (value: unknown) => sent.push(Buffer.from(JSON.stringify(value)))
  return {
    describe: (signal) => link.describe(signal),
    next: (known, signal) => {
      keep(known)
      return link.next(known, signal)
    },
    say: (word, signal) => {
      keep(word)
      return link.say(word, signal)
    },
    download: (ref, file, signal) => {
      keep(ref)
      return link.download(ref, file, signal)
    },
    upload: (ref, file, signal) => {
      keep(ref)
      sent.push(readFileSync(file))
      return link.upload(ref, file, signal)
    },
    close: () => link.close(),
  }
}

t.test('nothing of the rows is in what two clients send over a whole federation', async (t) => {
  const coordinator = await openFederation()
  const sent: Buffer[] = []
  const events: ParticipantEvent[] = []
  await Promise.all(
    ['a', 'b'].map(async (client, i) => {
      const data = join(root, `${client}.jsonl`)
      writeFileSync(
        data,
        rows
          .filter((_, row) => row % 2 === i)
          .map((row) => JSON.stringify(row))
          .join('\n'),
      )
      const { token } = await coordinator.invite(client, 60)
      await coordinator.enroll(token, `key of ${client}`)
      const link = recorded(new InProcessLink(() => coordinator, client), sent)
      const run = takePart(async () => ({ link, client }), {
        model: path,
        data,
        folder: join(root, client),
        threads: 1,
      })
      for await (const event of run) events.push(event)
    }),
  )
  await coordinator.over
  await coordinator.close()
  t.equal(events.filter((event) => event.type === 'outcome' && event.counted).length, 4)
  const bytes = sent.reduce((sum, part) => sum + part.length, 0)
  t.ok(bytes > 10_000, `${sent.length} parts of ${bytes} bytes, ${traces.length} traces`)
  t.same(found(sent), [])
})

t.test('what goes wrong with rows is told here, and not to the server', async (t) => {
  const { ScriptedServer } = await import('./support/scripted-server.js')
  const { fakeWorkshop } = await import('./support/fake-workshop.js')
  const { Participant } = await import('../../src/federated/participant/participant.js')
  const { ClientFolder } = await import('../../src/federated/participant/folder.js')
  const { always } = await import('../../src/federated/participant/eligibility.js')
  const { systemTime } = await import('../../src/federated/link/retry.js')
  for (const variation of [
    { work: async () => Promise.reject(new FedloraError('E_NONFINITE', `row 3: ${rows[3]!.output}`)) },
    { check: async () => Promise.reject(new FedloraError('E_CONFIG', `row 3: ${rows[3]!.output}`)) },
  ]) {
    const server = new ScriptedServer({ rounds: 2 })
    const sent: Buffer[] = []
    const folder = await ClientFolder.open(join(root, `failing-${Object.keys(variation)}`))
    const events: ParticipantEvent[] = []
    const link = recorded(server.link(), sent)
    const parts = {
      link,
      folder,
      workshop: fakeWorkshop(variation),
      eligibility: always,
      time: systemTime,
      random: () => 0,
    }
    const signal = new AbortController().signal
    await new Participant(parts, { signal, emit: (event) => events.push(event) }).run()
    folder.close()
    t.equal(server.refusals.length, 2)
    t.same(found(sent), [])
    t.ok(events.some((event) => 'why' in event && event.why?.includes('pemphigus')))
  }
})

t.test('canary: each way of sending a row is found', async (t) => {
  const noise = Buffer.from(Array.from({ length: 999 }, (_, i) => (i * 151) % 256))
  for (const trace of new Map(traces.map((one) => [one.name, one])).values()) {
    if (!found([Buffer.concat([noise, trace.bytes, noise])]).includes(trace.name)) t.fail(trace.name)
  }
  t.same(found([noise]), [])
  for (let shift = 0; shift < 3; shift++) {
    const text = Buffer.from(`${'x'.repeat(shift)}${rows[0]!.output}`).toString('base64')
    t.ok(
      found([Buffer.from(text)]).some((name) => name.startsWith('base64')),
      `base64, ${shift} bytes behind`,
    )
  }
  const { gzipSync, deflateSync, brotliCompressSync } = await import('node:zlib')
  for (const pack of [gzipSync, deflateSync, brotliCompressSync])
    t.ok(found([pack(Buffer.from(rows[0]!.output))]).includes('utf-8'), pack.name)
})
