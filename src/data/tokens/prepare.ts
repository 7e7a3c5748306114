/** Tokenises rows into a table without holding up the event loop, or takes the table from the cache. */
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type OpenFile, scratchFile } from '../../files/open-file.js'
import type { Sample } from '../ids/sample.js'
import { type DataProgress, Slices } from '../progress.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { TokenCache } from './token-cache.js'
import { TableWriter } from './token-file.js'
import type { TokenTable } from './token-table.js'

export interface PrepareOptions {
  /** Ends the work soon after it fires, by rejecting with its reason. */
  signal?: AbortSignal | undefined
  /** Told how far the work is, about twice a second. */
  onProgress?: ((progress: DataProgress) => void) | undefined
  /** Told what went wrong and was got over, such as a damaged cache. Default: `process.emitWarning`. */
  onWarning?: ((message: string) => void) | undefined
}

/** Raised whenever the same row, options and tokenizer give other tokens than before: tables of another version are not looked at. */
export const tokensVersion = 2

/** Text of a data set from which on its tokens are kept on disk: 4 MiB. */
export const cachedFrom = 4 * 2 ** 20

/** What the rows of a table are, for {@link prepareTable}. */
export interface Work {
  readonly count: number
  /** Row k as ids. */
  tokenize(row: number): Sample
  /** Where the tables of such rows are kept; undefined: nowhere. */
  readonly cacheFolder: string | undefined
  /** Digest of everything that decides the table, and whether the table is worth keeping. Asked once, when there is a folder. */
  key(): Promise<{ key: string; keep: boolean }>
}

const said = new Set<string>()

/** Says it once in this process. */
function warnOnce(what: string, warn: (message: string) => void): void {
  if (said.has(what)) return
  said.add(what)
  warn(what)
}

/**
 * SHA-256 over what decides the ids of a text: the tokenizer's files, the day where its chat template asks the clock, and as a proof that
 * they are what is in memory, a few ids.
 */
export async function tokenizerFingerprint(tokenizer: Tokenizer): Promise<string> {
  const hash = createHash('sha256')
  const names = ['tokenizer.json', 'tokenizer_config.json', 'special_tokens_map.json', 'chat_template.jinja']
  for (const name of [...names, 'generation_config.json', 'config.json']) {
    const bytes = await readFile(join(tokenizer.folder, name)).catch(() => null)
    hash.update(JSON.stringify([name, bytes?.length ?? null]))
    if (bytes !== null) hash.update(bytes)
  }
  hash.update(tokenizer.digest ?? '')
  hash.update(tokenizer.chatTemplate?.fingerprint() ?? '')
  const probe = tokenizer.encode(' Ein Maß, 12.5 %\n\tif (x) { y }\u3000中文 🙂e\u0301')
  return hash.update(JSON.stringify([probe, tokenizer.eosToken ?? null, tokenizer.specialPrefix])).digest('hex')
}

/** The table of `work`'s rows. @throws what `tokenize` throws; the signal's reason when aborted. */
export async function prepareTable(work: Work, options: PrepareOptions): Promise<TokenTable> {
  const { signal, onProgress } = options
  const warn = options.onWarning ?? ((message: string) => process.emitWarning(message, { type: 'FedloraWarning' }))
  const cache = work.cacheFolder === undefined ? undefined : new TokenCache(work.cacheFolder)
  const { key, keep } = cache === undefined ? { key: '', keep: false } : await work.key()
  if (cache !== undefined && keep) {
    const slices = new Slices('checking', signal, onProgress)
    const found = await cache.open(key, async (done, total) => {
      slices.report(done, total, 0, 0, done === total)
      if (slices.due) await slices.breathe()
    })
    if (found === 'damaged') warn(`the cache file ${cache.path(key)} is damaged: the rows are tokenised again`)
    else if (found !== undefined && found.rows === work.count) return found
  }
  let file: OpenFile | undefined
  const open = async () => {
    if (cache !== undefined && keep) {
      try {
        file = await cache.create(key)
        return file
      } catch (error) {
        warnOnce(
          `the cache folder ${cache.folder} cannot be used (${(error as Error).message}): going on without`,
          warn,
        )
      }
    }
    return await scratchFile(cache === undefined ? [] : [cache.folder])
  }
  const writer = new TableWriter(key, open)
  try {
    await tokenizeAll(work, writer, new Slices('tokenizing', signal, onProgress))
    const { table, failure } = await writer.finish(keep)
    if (cache !== undefined && file !== undefined) {
      const kept = failure === undefined ? await cache.keep(key, file).catch((error: unknown) => error) : failure
      if (kept !== undefined) {
        await cache.forget(file)
        warnOnce(
          `the cache folder ${cache.folder} cannot be written (${(kept as Error).message}): going on without`,
          warn,
        )
      }
    }
    return table
  } catch (error) {
    if (file !== undefined) await cache?.forget(file)
    throw error
  }
}

async function tokenizeAll(work: Work, writer: TableWriter, slices: Slices): Promise<void> {
  for (let row = 0; row < work.count; ++row) {
    writer.add(work.tokenize(row))
    if (!slices.due) continue
    slices.report(row + 1, work.count, row + 1, writer.tokens)
    await writer.settle()
    await slices.breathe()
  }
  await writer.settle()
  slices.report(work.count, work.count, work.count, writer.tokens, true)
}
