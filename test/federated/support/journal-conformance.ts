/** What every journal promises, whatever it lies in. */
import type { Test } from 'tap'
import type { Journal, JournalEntry } from '../../../src/federated/journal/journal.js'

export interface OpenJournal {
  journal: Journal<unknown>
  /** The journal as a process that starts now finds it. */
  again(): Promise<Journal<unknown>>
}

export async function entriesOf<Record>(journal: Journal<Record>): Promise<JournalEntry<Record>[]> {
  const entries: JournalEntry<Record>[] = []
  for await (const entry of journal.read()) entries.push(entry)
  return entries
}

const numbered = (records: readonly unknown[]) => records.map((record, i) => ({ sequence: i + 1, record }))

export async function journalConformance(t: Test, open: () => Promise<OpenJournal>): Promise<void> {
  await t.test('records come back in order, numbered from 1, as they were', async (t) => {
    const { journal, again } = await open()
    t.same(await entriesOf(journal), [])
    const records = [
      { a: 1, text: 'ß "\n\u2028 𝄞' },
      [1, [2, null]],
      'text',
      0.1,
      -3e-300,
      { 10: true, 9: {} },
      {},
      null,
    ]
    t.equal(await journal.append(records.slice(0, 1), 0), 1)
    t.equal(await journal.append(records.slice(1, 4), 1), 4)
    t.equal(await journal.append([], 4), 4)
    t.same(await entriesOf(journal), numbered(records.slice(0, 4)))
    t.equal(await journal.append(records.slice(4), 4), 8)
    t.strictSame(await entriesOf(journal), numbered(records))
    await journal.close()
    const next = await again()
    t.strictSame(await entriesOf(next), numbered(records))
    t.equal(await next.append(['more'], 8), 9)
    t.strictSame(await entriesOf(next), numbered([...records, 'more']))
    await next.close()
  })
  await t.test('what is appended cannot be changed afterwards', async (t) => {
    const { journal } = await open()
    const record = { deep: { value: 1 } }
    const appending = journal.append([record], 0)
    record.deep.value = 2
    await appending
    record.deep.value = 3
    const [first] = await entriesOf(journal)
    ;(first!.record as typeof record).deep.value = 4
    t.strictSame(await entriesOf(journal), numbered([{ deep: { value: 1 } }]))
    await journal.close()
  })
  await t.test('a writer that does not know of the last record is fenced off', async (t) => {
    const { journal } = await open()
    await journal.append(['a', 'b'], 0)
    for (const after of [0, 1, 3, -1, 1.5, Number.NaN]) {
      await t.rejects(journal.append(['c'], after), { code: 'E_JOURNAL_FENCED' }, `after ${after}`)
    }
    t.equal(await journal.append(['c'], 2), 3)
    t.strictSame(await entriesOf(journal), numbered(['a', 'b', 'c']))
    await journal.close()
  })
  await t.test('appends one after the other without waiting are all there, in order', async (t) => {
    const { journal, again } = await open()
    const all = await Promise.all(Array.from({ length: 100 }, (_, i) => journal.append([i], i)))
    t.strictSame(
      all,
      Array.from({ length: 100 }, (_, i) => i + 1),
    )
    await journal.close()
    const next = await again()
    t.strictSame(await entriesOf(next), numbered(Array.from({ length: 100 }, (_, i) => i)))
    await next.close()
  })
  await t.test('of two writers at the same place one is fenced off', async (t) => {
    const { journal } = await open()
    const both = await Promise.allSettled([journal.append(['a'], 0), journal.append(['b'], 0)])
    t.same(both.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
    t.match(
      both.find(({ status }) => status === 'rejected'),
      { reason: { code: 'E_JOURNAL_FENCED' } },
    )
    t.equal((await entriesOf(journal)).length, 1)
    await journal.close()
  })
  await t.test('what JSON would change in silence is refused, and nothing is appended', async (t) => {
    const { journal } = await open()
    const circle: Record<string, unknown> = {}
    circle.own = circle
    for (const record of [
      Number.NaN,
      Number.POSITIVE_INFINITY,
      1n,
      undefined,
      () => 1,
      new Map(),
      circle,
      { a: [new Date(0)] },
    ]) {
      await t.rejects(journal.append(['fine', record], 0), { code: 'E_ARGUMENT' })
    }
    t.strictSame(await entriesOf(journal), [])
    await journal.close()
  })
  await t.test('a journal that was closed takes nothing', async (t) => {
    const { journal } = await open()
    await journal.close()
    await journal.close()
    await t.rejects(journal.append(['a'], 0), { code: 'E_DISPOSED' })
  })
}
