/** How fast a tokenizer opens, and turns text into ids and back: the questions and answers of GSM8K, or a file of text. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { loadTokenizer } from '../../data/tokenizer/load-tokenizer.js'
import type { Tokenizer } from '../../data/tokenizer/tokenizer.js'
import { FedloraError } from '../../errors.js'
import { baseModelFolder, gsm8kFolder } from '../demo/assets.js'
import { type Measurement, medianSeconds } from './measure.js'

export interface TokenizerBench {
  /** Folder of the tokenizer; default: the demo's. */
  folder?: string | undefined
  /** A file of UTF-8 text, which is taken line by line; default: GSM8K. */
  text?: string | undefined
  threads: number
  rounds: number
}

async function textsOf(path: string | undefined): Promise<string[]> {
  if (path !== undefined) return (await readFile(path, 'utf8')).split('\n')
  const lines = (await readFile(join(gsm8kFolder, 'train.jsonl'), 'utf8')).split('\n').filter((line) => line !== '')
  return lines.flatMap((line) => Object.values(JSON.parse(line) as Record<string, string>))
}

/** Texts of which no word came before: each is the letters and digits of a number that is not used again. */
function unseen(bytes: number): string[] {
  const texts: string[] = []
  for (let i = 0, size = 0; size < bytes; i++) {
    const text = Array.from({ length: 60 }, (_, j) => ((i * 60 + j + 1) * 2654435761).toString(36)).join(' ')
    texts.push(text)
    size += text.length
  }
  return texts
}

function check(tokenizer: Tokenizer, texts: readonly string[], ids: Int32Array): void {
  const whole = texts.reduce((count, text) => count + tokenizer.encode(text).length, 0)
  if (whole !== ids.length) {
    throw new FedloraError('E_INTERNAL', `bench tokenizer: ${whole} ids one by one, ${ids.length} together`)
  }
}

export async function benchTokenizer(options: TokenizerBench): Promise<Measurement[]> {
  const folder = options.folder ?? baseModelFolder
  const open = await medianSeconds(options.rounds, () => loadTokenizer(folder))
  const tokenizer = await loadTokenizer(folder)
  const given = await textsOf(options.text)
  const lines: Measurement[] = []
  for (const [name, texts] of [
    [options.text ?? 'GSM8K', given],
    ['no word twice', unseen(1e6)],
  ] as const) {
    const megabytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0) / 1e6
    const rate = async (work: () => unknown) =>
      Number((megabytes / (await medianSeconds(options.rounds, work))).toPrecision(3))
    const { ids } = await tokenizer.encodeMany(texts)
    check(tokenizer, texts, ids)
    lines.push({
      text: name,
      MB: Number(megabytes.toFixed(2)),
      ids: ids.length,
      'encode MB/s': await rate(() => texts.map((text) => tokenizer.encode(text).length)),
      'offsets MB/s': await rate(() => texts.map((text) => tokenizer.encodeWithOffsets(text).ids.length)),
      'many, 1 thread': await rate(() => tokenizer.encodeMany(texts, { threads: 1 })),
      [`many, ${options.threads} threads`]: await rate(() => tokenizer.encodeMany(texts, { threads: options.threads })),
      'decode MB/s': await rate(() => tokenizer.decode(ids)),
      'open ms': Number((1000 * open).toPrecision(3)),
    })
  }
  return lines
}
