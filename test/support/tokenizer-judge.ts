/** Compares the addon's tokenizers with what Python's `tokenizers` made of the same strings. */
import { crc32 } from 'node:zlib'
import { native } from '../../src/native/load.js'

/** What becomes of one string: see test/parity/python/make_tokenizers.py. */
export interface Expected {
  ids: number[]
  begins: number[]
  ends: number[]
  special: number[]
  /** null where the library panics. */
  decoded: string | null
  skipped: string | null
}

/** The strings of one kind of tokenizer on which anything differs, each with what differs; those without expectation are left out. */
export async function differences(
  tokenizer: Uint8Array,
  texts: readonly string[],
  expected: (index: number) => Expected | null,
): Promise<string[]> {
  const opened = await native().openTokenizer(tokenizer, '{}')
  const out: string[] = []
  for (const [index, text] of texts.entries()) {
    const want = expected(index)
    if (want === null) continue
    const got = results(opened, text, want)
    const wrong = (Object.keys(got) as (keyof Expected)[]).filter((key) => !equal(got[key], want[key]))
    if (wrong.length > 0) out.push(`${index} ${JSON.stringify(text.slice(0, 60))}: ${wrong.join(', ')}`)
  }
  opened.dispose()
  return out
}

/** The strings whose check sums differ from those of the golden file. */
export async function changedSums(
  tokenizer: Uint8Array,
  texts: readonly string[],
  sums: readonly number[],
): Promise<string[]> {
  const opened = await native().openTokenizer(tokenizer, '{}')
  const out = texts.filter((text, index) => {
    const got = results(opened, text, { decoded: '', skipped: '' })
    return crc32(JSON.stringify([got.ids, got.begins, got.ends, got.special, got.decoded, got.skipped])) !== sums[index]
  })
  opened.dispose()
  return out
}

type Opened = Awaited<ReturnType<ReturnType<typeof native>['openTokenizer']>>

function results(opened: Opened, text: string, want: Pick<Expected, 'decoded' | 'skipped'>): Expected {
  const plain = opened.encode(text, { specialTokens: false, offsets: true, continues: false })
  const special = opened.encode(text, { specialTokens: true, offsets: false, continues: false }).ids
  return {
    ids: [...plain.ids],
    begins: [...plain.begins!],
    ends: [...plain.ends!],
    special: [...special],
    decoded: want.decoded === null ? null : opened.decode(special, false),
    skipped: want.skipped === null ? null : opened.decode(special, true),
  }
}

function equal(a: Expected[keyof Expected], b: Expected[keyof Expected]): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}
