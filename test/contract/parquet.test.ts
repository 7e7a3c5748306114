/** Parquet: the rows that pyarrow wrote, in every compression and encoding; damaged and foreign files are refused by what they are. Through the package as it is built: its thread is a file of it. */
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Dataset, isFedloraError, loadDataset } from 'fedlora'
import t from 'tap'
import { parseExactly } from '../../src/files/exact-json.js'
import { Random } from '../../src/random/random.js'

const golden = 'test/golden/parquet'
const folder = await mkdtemp(join(tmpdir(), 'fedlora-parquet-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))

const lines = (await readFile(join(golden, 'rows.jsonl'), 'utf8')).trim().split('\n')
const expected = lines.map((line) => parseExactly(line, 2) as Record<string, unknown>)
const rowsOf = (data: Dataset) => Array.from({ length: data.length }, (_, i) => data.row(i))
const three = ['instruction', 'input', 'output'] as const

for (const name of ['none', 'snappy', 'gzip', 'zstd', 'brotli', 'lz4', 'v1', 'v2']) {
  t.test(`${name}: every type of value, as JSON Lines would have it`, async (t) => {
    const data = await loadDataset(join(golden, `${name}.parquet`), { format: 'alpaca' })
    t.same(rowsOf(data), expected)
    t.equal(data.rowsFingerprint, (await loadDataset(join(golden, 'rows.jsonl'), { format: 'alpaca' })).rowsFingerprint)
  })
}

t.test('delta encodings', async (t) => {
  const data = await loadDataset(join(golden, 'delta.parquet'), { format: 'alpaca' })
  t.same(
    rowsOf(data),
    expected.map((row) => Object.fromEntries(three.map((name) => [name, row[name]]))),
  )
})

t.test('a limit, a folder, a pattern, another name', async (t) => {
  const parts = join(folder, 'parts')
  await mkdir(parts)
  await copyFile(join(golden, 'zstd.parquet'), join(parts, 'train-00000-of-00002.parquet'))
  await copyFile(join(golden, 'gzip.parquet'), join(parts, 'train-00001-of-00002.pq'))
  t.equal((await loadDataset(parts, { format: 'alpaca' })).length, 2 * expected.length)
  t.same(await loadDataset(join(parts, '*.pq'), { format: 'alpaca', limit: 3 }).then(rowsOf), expected.slice(0, 3))
})

t.test('a row that does not fit is named by its number', async (t) => {
  const path = join(golden, 'snappy.parquet')
  await t.rejects(loadDataset(path, { format: 'gsm8k' }), { code: 'E_DATA', message: /snappy\.parquet, row 1, field / })
})

t.test('no file, no rows, no Parquet, packed once more', async (t) => {
  const fake = join(folder, 'fake.parquet')
  await writeFile(fake, '{"text":"a"}\n')
  await writeFile(join(folder, 'none.parquet'), '')
  const rejects = async (path: string, code: string, message: RegExp) =>
    await t.rejects(loadDataset(path, { format: 'text' }), { code, message })
  await rejects(join(folder, 'missing.parquet'), 'E_MISSING', /does not exist/)
  await rejects(join(golden, 'empty.parquet'), 'E_DATA', /holds no row/)
  await rejects(fake, 'E_DATA', /fake\.parquet: cannot be read as Parquet: .*; write it again/)
  await rejects(join(folder, 'none.parquet'), 'E_DATA', /cannot be read as Parquet/)
  await rejects(join(folder, 'rows.parquet.gz'), 'E_ARGUMENT', /rows\.parquet\.gz: unknown kind of file; .*; unpack it/)
})

t.test('a footer whose columns are not there, and text that is none', async (t) => {
  const whole = await readFile(join(golden, 'none.parquet'))
  const footer = whole.subarray(whole.length - 8 - whole.readUInt32LE(whole.length - 8))
  const beyond = join(folder, 'beyond.parquet')
  await writeFile(beyond, footer)
  await t.rejects(loadDataset(beyond, { format: 'alpaca' }), { code: 'E_DATA', message: /cannot be read as Parquet/ })
  const bytes = Buffer.from(whole)
  bytes[bytes.indexOf('Say hello.')] = 0xff
  const torn = join(folder, 'torn.parquet')
  await writeFile(torn, bytes)
  await t.rejects(loadDataset(torn, { format: 'alpaca' }), { code: 'E_DATA', message: /cannot be read as Parquet/ })
})

t.test('canary: one letter changed is another table', async (t) => {
  const bytes = await readFile(join(golden, 'none.parquet'))
  bytes[bytes.indexOf('Say hello.')] = 'L'.charCodeAt(0)
  const other = join(folder, 'other.parquet')
  await writeFile(other, bytes)
  t.notSame(rowsOf(await loadDataset(other, { format: 'alpaca' })), expected)
})

t.test('damaged files are refused or read, and nothing else happens', async (t) => {
  const whole = await readFile(join(golden, 'snappy.parquet'))
  const random = new Random(7, 0)
  const kinds = new Map<string, number>()
  for (let turn = 0; turn < 16; turn++) {
    const bytes = turn % 4 === 0 ? Buffer.from(whole.subarray(0, random.below(whole.length))) : Buffer.from(whole)
    if (bytes.length > 0) bytes[random.below(bytes.length)] = random.below(256)
    const path = join(folder, `damaged-${turn}.parquet`)
    await writeFile(path, bytes)
    const outcome = await loadDataset(path, { format: 'alpaca', onBadRow: 'skip' }).then(
      () => 'read',
      (error: unknown) => (isFedloraError(error) ? error.code : String(error)),
    )
    kinds.set(outcome, (kinds.get(outcome) ?? 0) + 1)
  }
  t.same([...kinds.keys()].sort(), ['E_DATA', 'read'])
})
