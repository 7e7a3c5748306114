/** A journal whose process is killed under load, again and again: no acknowledged record is lost, none is there twice. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import { openFileJournal } from '../../src/federated/journal/file.js'
import { entriesOf } from './support/journal-conformance.js'

const kills = Number(process.env.FEDLORA_JOURNAL_KILLS ?? 12)
const script = join(process.cwd(), 'test/federated/support/journal-child.mjs')
const start = (folder: string, seed: number): ChildProcess =>
  spawn(process.execPath, [script, folder, String(seed)], { stdio: ['ignore', 'pipe', 'pipe'] })

t.test(`killed ${kills} times`, async (t) => {
  const folder = join(t.testdir(), 'journal')
  let acknowledged = 0
  for (let kill = 0; kill < kills; kill++) {
    const child = start(folder, kill)
    // At another moment each time: after some acknowledgements and a number of turns of the loop.
    const limit = 5 + ((kill * 37) % 60)
    let lines = 0
    for await (const line of createInterface(child.stdout!)) {
      const [what, sequence] = line.split(' ')
      if (what === 'found' && !(Number(sequence) >= acknowledged)) t.fail(`${sequence} were found of ${acknowledged}`)
      if (what === 'done') acknowledged = Math.max(acknowledged, Number(sequence))
      if (++lines === limit) setTimeout(() => child.kill('SIGKILL'), kill % 7)
    }
    if (child.exitCode !== null) t.fail(`it ended with ${child.exitCode}`)
  }
  const journal = await openFileJournal<{ n: number }>(folder)
  const entries = await entriesOf(journal)
  t.ok(
    entries.length >= acknowledged && acknowledged >= 5 * kills,
    `${acknowledged} acknowledged, ${entries.length} there`,
  )
  t.ok(entries.every(({ sequence, record }, i) => sequence === i + 1 && record.n === sequence))
  await journal.close()
})

t.test('a second process is refused, and gets in after the first was killed', async (t) => {
  const folder = join(t.testdir(), 'journal')
  const first = start(folder, 1)
  await once(first.stdout!, 'data')
  await t.rejects(openFileJournal(folder), { code: 'E_LOCKED', details: { pid: first.pid } })
  first.kill('SIGKILL')
  await once(first, 'exit')
  const journal = await openFileJournal(folder)
  await entriesOf(journal)
  await journal.close()
})
