/** Ids in tables: records, files, the cache and what can happen to it; tokenising in slices; rows that lie in files. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync } from 'node:fs'
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { homedir, hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import type { Dataset } from '../../src/data/dataset.js'
import type { DatasetOptions } from '../../src/data/dataset-options.js'
import { cut } from '../../src/data/ids/sample.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import type { DataProgress } from '../../src/data/progress.js'
import { type RowCodec, RowStore } from '../../src/data/rows/row-store.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'
import { cachedFrom, prepareTable, tokenizerFingerprint } from '../../src/data/tokens/prepare.js'
import { defaultCacheFolder, TokenCache } from '../../src/data/tokens/token-cache.js'
import { readTable, TableWriter } from '../../src/data/tokens/token-file.js'
import { TokenRows } from '../../src/data/tokens/token-rows.js'
import { decodeRecord, encodeRecord } from '../../src/data/tokens/token-table.js'
import { OpenFile, scratchFile } from '../../src/files/open-file.js'
import { Random } from '../../src/random/random.js'

const tokenizer = await loadTokenizer(new URL('../../assets/gsm-3m', import.meta.url).pathname)
const folder = await mkdtemp(join(tmpdir(), 'fedlora-tokens-'))
t.teardown(() => rm(folder, { recursive: true, force: true }))
const place = (name: string) => join(folder, name)

const random = new Random(3, 99)

/** Rows of every shape of labels. */
function someSample() {
  const length = random.below(40)
  const inputIds = Int32Array.from({ length }, () => random.below(500))
  const kind = random.below(5)
  const taught = (i: number) => [true, false, i >= 7, i % 2 === 0, i > 3 && i < 9][kind]!
  const other = random.below(4) === 0
  const labels = inputIds.map((id, i) => (taught(i) ? (other ? (id + 1) % 500 : id) : -100))
  return { ...cut({ inputIds, labels }, 40), truncated: random.below(3) === 0 }
}

t.test('a record holds its row', async (t) => {
  for (let k = 0; k < 400; ++k) {
    const sample = someSample()
    const { inputIds, labels } = sample
    t.same(decodeRecord(encodeRecord(sample), inputIds.length), { inputIds, labels })
    t.equal(sample.supervised, labels.subarray(1).filter((label) => label !== -100).length)
  }
  const record = encodeRecord({ inputIds: Int32Array.of(1, 2, 3), labels: Int32Array.of(-100, 2, 3) })
  t.same([...record], [2, 1, 2, 1, 2, 3], 'runs: one not supervised, two supervised')
  t.notSame(decodeRecord(Int32Array.of(2, 2, 1, 1, 2, 3), 3).labels, Int32Array.of(-100, 2, 3), 'canary')
})

const key = 'ab'.repeat(32)
const never = async () => {
  throw new Error('no file is needed')
}
const quiet = async () => {}

t.test('a table in memory and a table in a file hold the same rows', async (t) => {
  const samples = Array.from({ length: 3000 }, someSample)
  const path = place('table')
  const fill = async (writer: TableWriter) => {
    for (const [k, sample] of samples.entries()) {
      writer.add(sample)
      if (k % 100 === 0) await writer.settle()
    }
    return writer
  }
  const memory = await (await fill(new TableWriter('', never))).finish(false)
  const filed = await (await fill(new TableWriter(key, async () => new OpenFile(path, 'wx+')))).finish(true)
  t.equal(filed.failure, undefined)
  const read = (await readTable(new OpenFile(path, 'r'), key, quiet))!
  for (const table of [memory.table, filed.table, read]) {
    t.ok(
      samples.every((sample, k) =>
        Buffer.from(table.sample(k).labels.buffer).equals(Buffer.from(sample.labels.buffer)),
      ),
    )
    t.ok(samples.every((sample, k) => table.sample(k).inputIds.every((id, i) => id === sample.inputIds[i])))
    const facts = samples.map(({ inputIds, supervised, truncated }) => ({
      tokens: inputIds.length,
      supervised,
      truncated,
    }))
    t.same(
      samples.map((_, k) => table.facts(k)),
      facts,
    )
    t.match(table.sample(7), { supervised: facts[7]!.supervised, truncated: facts[7]!.truncated })
  }
  t.equal(await readTable(new OpenFile(path, 'r'), key.replace('ab', 'ac'), quiet), undefined, 'of another key')
})

t.test('a file that was torn, edited or lengthened is no table', async (t) => {
  const path = place('whole')
  const writer = new TableWriter(key, async () => new OpenFile(path, 'wx+'))
  for (let k = 0; k < 50; ++k) writer.add(someSample())
  await writer.finish(true)
  const whole = await readFile(path)
  const judge = async (bytes: Uint8Array) => {
    await writeFile(place('edited'), bytes)
    return await readTable(new OpenFile(place('edited'), 'r'), key, quiet)
  }
  t.ok(await judge(whole), 'canary: the whole one is a table')
  const wrong: number[] = []
  for (let at = 0; at < whole.length; at += 31) {
    const copy = Buffer.from(whole)
    copy[at] = copy[at]! ^ 16
    if ((await judge(copy)) !== undefined) wrong.push(at)
  }
  for (let length = 0; length < whole.length; length += 61) {
    if ((await judge(whole.subarray(0, length))) !== undefined) wrong.push(-length)
  }
  t.same(wrong, [], 'positions of bytes that were changed without being seen')
  t.equal(await judge(Buffer.concat([whole, Buffer.alloc(8)])), undefined)
  const rowsAt = whole.length - 48
  const counted = (rows: number, words: number) => {
    const copy = Buffer.from(whole)
    copy.writeDoubleLE(rows, rowsAt)
    copy.writeDoubleLE(words, rowsAt + 8)
    createHash('sha256')
      .update(copy.subarray(0, -32))
      .digest()
      .copy(copy, copy.length - 32)
    return copy
  }
  const words = whole.readDoubleLE(rowsAt + 8)
  t.ok(await judge(counted(50, words)), 'canary: sealed anew')
  for (const [rows, of] of [
    [49, words],
    [51, words],
    [50, words + 1],
    [-2, words + 169],
    [50 + 4 * words, -12 * words],
  ] as const)
    t.equal(await judge(counted(rows, of)), undefined, `sealed with counts that are not its own: ${rows}, ${of}`)
})

t.test('a writer counts rows, tokens and bytes as they come', async (t) => {
  const writer = new TableWriter('', () => scratchFile([folder]))
  t.same([writer.rows, writer.tokens, writer.bytes], [0, 0, 0])
  writer.add({ inputIds: Int32Array.of(1, 2, 3), labels: Int32Array.of(-100, 2, 3), supervised: 2, truncated: false })
  writer.add({ inputIds: Int32Array.of(4), labels: Int32Array.of(-100), supervised: 0, truncated: true })
  t.same([writer.rows, writer.tokens], [2, 4])
  t.ok(writer.bytes >= 4 * 4)
  const { table } = await writer.finish(false)
  t.match(
    [table.facts(0), table.facts(1)],
    [
      { tokens: 3, supervised: 2, truncated: false },
      { tokens: 1, supervised: 0, truncated: true },
    ],
  )
})

t.test('pages that the disk does not take stay in memory', async (t) => {
  const ids = { inputIds: Int32Array.from({ length: 200_000 }, (_, i) => i), labels: new Int32Array(200_000) }
  const sample = cut(ids, 200_000)
  const writer = new TableWriter('', async () => {
    throw new Error('full')
  })
  for (let k = 0; k < 40; ++k) {
    writer.add(sample)
    await writer.settle()
  }
  const { table, failure } = await writer.finish(false)
  t.match(failure, { message: 'full' })
  const bytesOf = ({ inputIds }: { inputIds: Int32Array }) => Buffer.from(inputIds.slice().buffer)
  for (const row of [39, 0, 1, 7, 20, 38]) t.ok(bytesOf(table.sample(row)).equals(bytesOf(sample)), `row ${row}`)
  t.equal(table.sample(39).supervised, sample.supervised)
})

t.test('a table whose file cannot be completed is good all the same, and says why the file is not', async (t) => {
  const path = place('incomplete')
  // Takes the words, which come first, and not the index behind them.
  class Full extends OpenFile {
    #writes = 0
    override async write(bytes: Uint8Array, position: number) {
      if (++this.#writes > 1) throw new Error('full')
      await super.write(bytes, position)
    }
  }
  const samples = Array.from({ length: 20 }, someSample)
  const writer = new TableWriter(key, async () => new Full(path, 'wx+'))
  for (const sample of samples) writer.add(sample)
  const { table, failure } = await writer.finish(true)
  t.match(failure, { message: 'full' })
  t.same(
    samples.map((_, k) => table.sample(k)),
    samples,
  )
  t.equal(await readTable(new OpenFile(path, 'r'), key, quiet), undefined)
})

const words = ['alpha', 'beta', 'gamma', 'delta', 'ähnlich', '12.5 %', '中文']
const rowsOf = (count: number, seed = 1) => {
  const draw = new Random(seed, 98)
  return Array.from({ length: count }, (_, i) => ({
    prompt: `${i}: ${words[draw.below(words.length)]}?`,
    completion: Array.from({ length: 1 + draw.below(20) }, () => words[draw.below(words.length)]).join(' '),
  }))
}
const options = { format: 'prompt-completion', maxLength: 32, tokenizer } as const
const samplesOf = (data: Dataset) => Array.from({ length: data.length }, (_, i) => data.sample(i))

t.test('prepared rows are those that are tokenised one by one', async (t) => {
  const rows = rowsOf(2000)
  const plain = await loadDataset(rows, { ...options, cache: false })
  const prepared = await loadDataset(rows, { ...options, cacheDir: place('cache-1') })
  const counts = plain.counts
  t.ok(counts.truncated > 0)
  t.equal(await prepared.prepare(), prepared)
  t.same(samplesOf(prepared), samplesOf(plain))
  t.same(prepared.counts, counts)
  const again = await loadDataset(rows, { ...options, cacheDir: place('cache-1') })
  t.same(samplesOf(await again.prepare()), samplesOf(plain), 'from the cache')
  t.same(again.counts, counts)
  t.equal((await readdir(place('cache-1/tokens'))).length, 1)
  const part = again.subset([5, 3, 5])
  t.same(
    samplesOf(await part.prepare()),
    [5, 3, 5].map((i) => plain.sample(i)),
  )
  const dropping = await loadDataset(rows, { ...options, overlong: 'drop', cacheDir: place('cache-1') })
  t.equal(dropping.length, 2000 - counts.truncated)
  t.equal((await readdir(place('cache-1/tokens'))).length, 1, 'dropping rows makes no other ids')
})

/** Prepares a set in a cache folder and tells what was heard. */
async function run(cacheDir: string, rows = rowsOf(300), more: Partial<DatasetOptions> = {}) {
  const warnings: string[] = []
  const data = await loadDataset(rows, { ...options, cacheDir, ...more } as DatasetOptions)
  await data.prepare({ onWarning: (message) => warnings.push(message) })
  return { data, warnings }
}
const tables = async (cacheDir: string) =>
  (await readdir(join(cacheDir, 'tokens'))).filter((name) => name.endsWith('.tokens'))

t.test('another set, option or tokenizer is another table', async (t) => {
  const cache = place('cache-keys')
  await run(cache)
  await run(cache)
  t.equal((await tables(cache)).length, 1)
  await run(cache, rowsOf(300, 2))
  await run(cache, rowsOf(300).reverse())
  await run(cache, rowsOf(300), { maxLength: 31 })
  await run(cache, rowsOf(300), { fields: { prompt: 'completion', completion: 'prompt' } })
  await run(cache, rowsOf(300), { format: 'text', fields: { text: 'prompt' } })
  t.equal((await tables(cache)).length, 6)
})

t.test('every file that shapes a tokenizer is in its fingerprint', async (t) => {
  const own = place('fingerprint')
  await mkdir(own)
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await cp(new URL(`../../assets/gsm-3m/${name}`, import.meta.url), join(own, name))
  }
  const seen = new Set([await tokenizerFingerprint(await loadTokenizer(own))])
  t.ok(seen.has(await tokenizerFingerprint(await loadTokenizer(own))), 'canary: nothing has changed')
  const files = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'generation_config.json']
  for (const name of [...files, 'config.json']) {
    const path = join(own, name)
    const text = await readFile(path, 'utf8').catch(() => '{}')
    await writeFile(path, `${text} `)
    seen.add(await tokenizerFingerprint(await loadTokenizer(own)))
  }
  await writeFile(join(own, 'chat_template.jinja'), '{{ messages[0].content }}')
  seen.add(await tokenizerFingerprint(await loadTokenizer(own)))
  t.equal(seen.size, 7)
})

t.test('without a folder of its own a set is kept when its share of the text is large', async (t) => {
  const folder = place('cache-share')
  process.env.FEDLORA_CACHE = folder
  t.teardown(() => {
    delete process.env.FEDLORA_CACHE
  })
  // 1.5 times what is kept: the whole is, half of it is not.
  const text = `${'12 '.repeat(100)}`
  const count = Math.ceil((1.5 * cachedFrom) / (text.length + 12))
  const path = place('share.jsonl')
  await writeFile(path, Array.from({ length: count }, () => `{"text":"${text}"}\n`).join(''))
  const kept = async () => (await readdir(join(folder, 'tokens')).catch(() => [])).length
  const data = await loadDataset(path, { format: 'text', tokenizer, maxLength: 8 })
  await data.subset(Array.from({ length: count >> 1 }, (_, i) => i)).prepare()
  t.equal(await kept(), 0)
  await (await loadDataset(path, { format: 'text', tokenizer, maxLength: 8 })).prepare()
  t.equal(await kept(), 1)
})

t.test('a damaged cache is said and made anew; one that cannot be used is done without', async (t) => {
  const cache = place('cache-damage')
  const { data } = await run(cache)
  const expected = samplesOf(data)
  const path = join(cache, 'tokens', (await tables(cache))[0]!)
  const whole = await readFile(path)
  const damages: Record<string, () => Promise<unknown>> = {
    flipped: () => writeFile(path, Buffer.from(whole.map((byte, i) => (i === 200 ? byte ^ 1 : byte)))),
    torn: () => writeFile(path, whole.subarray(0, whole.length >> 1)),
    empty: () => writeFile(path, ''),
    longer: () => appendFile(path, 'x'),
    'of other rows': async () => {
      await run(place('cache-other'), rowsOf(300, 5))
      const other = place('cache-other/tokens')
      await rename(join(other, (await readdir(other))[0]!), path)
    },
  }
  for (const [name, damage] of Object.entries(damages)) {
    await damage()
    const { data, warnings } = await run(cache)
    t.same(samplesOf(data), expected, name)
    t.match(warnings, [/is damaged: the rows are tokenised again/], name)
    t.ok((await readFile(path)).equals(whole), `${name}: made anew`)
  }
  await writeFile(place('a-file'), '')
  const unusable = await run(place('a-file/cache'))
  t.same(samplesOf(unusable.data), expected)
  t.match(unusable.warnings, [/cannot be used .*going on without/])
  t.same((await run(place('a-file/cache'))).warnings, [], 'said once')
})

t.test('what killed writers left is removed, what others write is not', async (t) => {
  const cache = place('cache-sweep')
  const tokens = join(cache, 'tokens')
  await mkdir(tokens, { recursive: true })
  const host = hostname().replace(/[^A-Za-z0-9-]/g, '-')
  const dead = spawnSync(process.execPath, ['-e', '']).pid
  const left = `.0123456789abcdef-${host}-${dead}.partial.1.aa.tmp`
  const alive = `.0123456789abcdef-${host}-${process.pid}.partial.1.bb.tmp`
  const elsewhere = `.0123456789abcdef-other-${dead}.partial.1.cc.tmp`
  const longAgo = `.0123456789abcdef-other-${dead}.partial.1.dd.tmp`
  for (const name of [left, alive, elsewhere, longAgo]) await writeFile(join(tokens, name), 'x')
  const before = new Date(Date.now() - 3 * 24 * 3600 * 1000)
  await utimes(join(tokens, longAgo), before, before)
  await run(cache)
  const names = await readdir(tokens)
  t.same(names.filter((name) => name.endsWith('.tmp')).sort(), [alive, elsewhere].sort())
})

t.test('the folder keeps to its limit: the longest unused go first', async (t) => {
  const cache = new TokenCache(place('cache-limit'), 2500)
  const write = async (name: string) => {
    const file = await cache.create(name)
    await file.write(Buffer.alloc(1000), 0)
    await cache.keep(name, file)
  }
  for (const [k, name] of ['one', 'two', 'three'].entries()) {
    await write(name)
    const used = new Date(1000 * (k + 1))
    if (name !== 'three') await utimes(cache.path(name), used, used)
  }
  t.same((await readdir(cache.folder)).sort(), ['three.tokens', 'two.tokens'])
  t.equal(defaultCacheFolder({ FEDLORA_CACHE: '/a/b' }), '/a/b')
  t.equal(defaultCacheFolder({ XDG_CACHE_HOME: '/x' }), '/x/fedlora')
  t.equal(defaultCacheFolder({ LOCALAPPDATA: '/l' }), join(homedir(), '.cache', 'fedlora'))
  const platform = Object.getOwnPropertyDescriptor(process, 'platform')!
  t.teardown(() => Object.defineProperty(process, 'platform', platform))
  Object.defineProperty(process, 'platform', { ...platform, value: 'win32' })
  t.equal(defaultCacheFolder({ LOCALAPPDATA: '/l' }), join('/l', 'fedlora'))
  t.equal(defaultCacheFolder({}), join(homedir(), '.cache', 'fedlora'))
})

t.test(
  'tokenising goes in slices: the program goes on meanwhile, an abort is heard, rows done stay done',
  async (t) => {
    const rows = rowsOf(6000)
    const data = await loadDataset(rows, { ...options, cache: false })
    let turns = 0
    let going = true
    const turn = () => {
      turns++
      if (going) setImmediate(turn)
    }
    setImmediate(turn)
    const controller = new AbortController()
    const reason = new Error('enough')
    const aborted = data.prepare({ signal: controller.signal })
    setTimeout(() => controller.abort(reason), 30)
    await t.rejects(aborted, reason)
    await t.rejects(data.prepare({ signal: AbortSignal.abort(reason) }), reason)
    await Promise.all([data.prepare(), data.subset([1, 2]).prepare(), data.prepare()])
    going = false
    t.ok(turns > 2, `the event loop turned ${turns} times`)
    const heard: DataProgress[] = []
    await t.rejects(
      loadDataset(
        (function* () {
          for (let i = 0; ; ++i) {
            if (i === 5000) controller.abort(reason)
            yield rows[i % rows.length]!
          }
        })(),
        { ...options, signal: controller.signal, onProgress: (progress) => heard.push(progress) },
      ),
      reason,
    )
  },
)

t.test('a row that cannot be tokenised is named before anything begins', async (t) => {
  const own = place('own-template')
  await mkdir(own)
  for (const name of ['tokenizer.json', 'tokenizer_config.json']) {
    await cp(new URL(`../../assets/gsm-3m/${name}`, import.meta.url), join(own, name))
  }
  const template =
    "{% if messages[0].role != 'user' %}{{ raise_exception('user first') }}{% endif %}{{ messages[1].content }}"
  await writeFile(join(own, 'chat_template.jinja'), template)
  const line = (role: string) =>
    JSON.stringify({
      messages: [
        { role, content: 'a' },
        { role: 'assistant', content: 'b' },
      ],
    })
  const path = place('chat.jsonl')
  await writeFile(path, [line('user'), '', line('system')].join('\n'))
  const data = await loadDataset(path, { format: 'messages', tokenizer: own, cache: false })
  await t.rejects(data.prepare(), {
    code: 'E_DATA',
    message: /chat\.jsonl, line 3: [\s\S]*user first/,
    details: { line: 3 },
  })
})

const textCodec: RowCodec = {
  encode: (row) => (row.odd === undefined ? Buffer.from(JSON.stringify(row)) : undefined),
  decode: (bytes) => JSON.parse(Buffer.from(bytes).toString()),
}

t.test('rows beyond the room in memory lie in a file', async (t) => {
  const store = new RowStore(textCodec, [place('spool')], 5000)
  store.begin(undefined)
  const rows = Array.from({ length: 500 }, (_, i) =>
    i % 50 === 7 ? { i, odd: () => i } : { i, text: 'ü'.repeat(i % 30) },
  )
  for (const row of rows) {
    store.add({ file: '(in memory)', unit: 'row', number: 1, row, problem: null })
    await store.settle()
  }
  await store.finish()
  t.ok(
    rows.every((row, i) =>
      row.odd === undefined ? JSON.stringify(store.row(i)) === JSON.stringify(row) : store.row(i) === row,
    ),
  )
  t.not(store.row(3), rows[3], 'canary: read again')
  t.same(await readdir(place('spool')), [], 'the file has no name')
})

t.test('a store counts the bytes of its rows’ text', async (t) => {
  const store = new RowStore(textCodec, [place('count')], 5000)
  t.equal(store.bytes, 0)
  store.begin(undefined)
  const row = { text: 'ü' }
  for (let i = 0; i < 3; ++i) store.add({ file: '(in memory)', unit: 'row', number: 1, row, problem: null })
  t.equal(store.bytes, 3 * Buffer.byteLength(JSON.stringify(row)))
})

t.test('a large file is read where it lies, and not after it was changed', async (t) => {
  const path = place('large.jsonl')
  const lines = Array.from({ length: 3000 }, (_, i) => JSON.stringify({ text: `${i} ${'ä'.repeat(2000)}` }))
  await writeFile(path, `\ufeff${lines.join('\r\n\n')}`)
  const data = await loadDataset(path, { format: 'text', cache: false })
  t.equal(data.length, 3000)
  t.ok(lines.every((line, i) => JSON.stringify(data.row(i)) === line))
  const { mtime } = await stat(path)
  await appendFile(path, '\n{"text":"more"}')
  await utimes(path, mtime, new Date(mtime.getTime() + 5000))
  t.throws(() => data.row(2), { code: 'E_DATA', message: /was changed after it was read/ })
  const spooled = await loadDataset([path, path], { format: 'text', cache: false, limit: 4000 })
  t.same(spooled.row(3500), { text: JSON.parse(lines[499]!).text })
})

t.test('a generator of many rows does not hold them', async (t) => {
  const whole = Int32Array.from({ length: 10_000 }, (_, i) => i)
  const data = await loadDataset(
    (function* () {
      for (let i = 0; i < 5000; ++i) yield { input_ids: whole.subarray(i, i + 1000), labels: null, at: BigInt(i) }
    })(),
    { format: 'tokens', cache: false },
  )
  t.same(data.sample(4321).inputIds, whole.subarray(4321, 5321))
  t.equal(data.row(17).at, 17n)
  t.ok((data.row(17).input_ids as Int32Array).buffer.byteLength < 20_000, 'not the whole buffer for each row')
})

t.test('a scratch file needs some folder that can be written', async (t) => {
  const closed = place('closed')
  await mkdir(closed)
  await chmod(closed, 0o500)
  t.ok(await scratchFile([place('a-file')]))
  const before = process.env.TMPDIR
  process.env.TMPDIR = place('a-file')
  t.teardown(() => {
    if (before === undefined) delete process.env.TMPDIR
    else process.env.TMPDIR = before
  })
  await t.rejects(scratchFile([]), { code: 'E_IO' })
  const kept = await loadDataset(
    (function* () {
      for (let i = 0; i < 3000; ++i) yield { text: 'x'.repeat(5000) + i }
    })(),
    { format: 'text', cache: false },
  )
  t.equal(String(kept.row(2999).text).length, 5004, 'rows stay in memory')
})

t.test('a cache file that cannot get its name is said, and nothing of it is left', async (t) => {
  const cache = place('cache-in-the-way')
  const { data } = await run(cache)
  const [name] = await tables(cache)
  await rm(join(cache, 'tokens', name!))
  await mkdir(join(cache, 'tokens', name!, 'in the way'), { recursive: true })
  const again = await run(cache)
  t.same(samplesOf(again.data), samplesOf(data))
  t.match(again.warnings, [/is damaged/, /cannot be written .*going on without/])
  t.same(await readdir(join(cache, 'tokens')), [name])
})

t.test('without anybody who hears warnings they are the process’s', async (t) => {
  const cache = place('cache-warning')
  await run(cache)
  await writeFile(join(cache, 'tokens', (await tables(cache))[0]!), 'x')
  const heard = new Promise((resolve) => process.once('warning', resolve))
  await (await loadDataset(rowsOf(300), { ...options, cacheDir: cache })).prepare()
  t.match(await heard, { name: 'FedloraWarning', message: /is damaged/ })
})

t.test('a row that fails leaves no file of the rows before it', async (t) => {
  const cacheFolder = place('cache-failed')
  const ids = { inputIds: new Int32Array(300_000), labels: new Int32Array(300_000) }
  const sample = cut(ids, 300_000)
  let files: string[] = []
  const tokenize = (row: number) => {
    // Long enough for the writer to be asked after every row.
    for (const end = performance.now() + 25; performance.now() < end; );
    if (row < 20) return sample
    files = readdirSync(join(cacheFolder, 'tokens'))
    throw new Error('the last row')
  }
  const work = { count: 21, tokenize, cacheFolder, key: async () => ({ key, keep: true }) }
  await t.rejects(prepareTable(work, {}), { message: 'the last row' })
  t.equal(files.length, 1, 'canary: there was one')
  t.same(await readdir(join(cacheFolder, 'tokens')), [])
})

t.test('rows that were asked for one by one are kept, up to a bound', (t) => {
  const rows = new TokenRows(20)
  const made: number[] = []
  const ask = (row: number) =>
    rows.sample(row, () => {
      made.push(row)
      return { ...cut({ inputIds: new Int32Array(2 ** 20), labels: new Int32Array(2 ** 20) }, 2 ** 20) }
    })
  const first = ask(0)
  t.equal(ask(0), first)
  for (const row of [1, 2, 3, 4, 0]) ask(row)
  t.same(made, [0, 1, 2, 3, 4], 'five rows of 1 Mi tokens')
  ask(5)
  t.same(made, [0, 1, 2, 3, 4, 5])
  for (const row of [6, 5, 7, 6, 5, 0]) ask(row)
  t.same(made, [0, 1, 2, 3, 4, 5, 6, 7, 0], 'after that they begin anew')
  t.end()
})
