/** Apache Parquet, read in a thread of its own: rows as the JSON Lines that would have them. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { stat } from 'node:fs/promises'
import { Worker } from 'node:worker_threads'
import { FedloraError } from '../../errors.js'
import { type ByteSource, readError } from './bytes.js'

/** What the thread says: rows, and the share of all that was told by now; or why it cannot, with the code of a system call that failed. */
export type ParquetAnswer = { lines: Uint8Array; share: number } | { code: string | undefined; message: string }

/** The thread's file. @throws FedloraError `E_LOAD` when a bundler has taken this one out of its package. */
function threadFile(): URL {
  const here: string | undefined = import.meta.url // bundlers that write CommonJS leave it undefined
  const file = here === undefined ? undefined : new URL('./parquet-thread.js', here)
  if (file !== undefined && existsSync(file)) return file
  throw new FedloraError(
    'E_LOAD',
    'fedlora was moved out of its own package by a bundler: Parquet is read by a file beside this one, in a thread. Keep it a dependency that is loaded at run time: ' +
      'esbuild --external:fedlora, `externals` in webpack, `external` in Rollup',
  )
}

function damaged(file: string, cause: { message: string }): FedloraError {
  const message = `${file}: cannot be read as Parquet: ${cause.message}; write it again, with snappy, gzip, zstd, brotli, LZ4 or no compression`
  return new FedloraError('E_DATA', message, { file }, cause)
}

/** @throws FedloraError `E_MISSING`, `E_IO` here; `E_LOAD`, `E_DATA` (damaged, encrypted, of an unknown kind), `E_IO` from the pieces. */
export async function openParquet(file: string): Promise<ByteSource> {
  const { size } = await stat(file).catch((error: unknown) => {
    throw readError(file, error)
  })
  let share = 0
  async function* pieces(): AsyncGenerator<Buffer> {
    const thread = new Worker(threadFile(), { workerData: file, execArgv: [] }) // loaders of the program are none of its business
    try {
      for (;;) {
        const answered = once(thread, 'message') as Promise<[ParquetAnswer]>
        thread.postMessage('next')
        const [answer] = await answered.catch((error: Error) => {
          throw damaged(file, error)
        })
        if ('message' in answer) throw answer.code === undefined ? damaged(file, answer) : readError(file, answer)
        if (answer.lines.length === 0) return
        share = answer.share
        yield Buffer.from(answer.lines.buffer)
      }
    } finally {
      await thread.terminate()
    }
  }
  return { pieces: pieces(), at: undefined, size, consumed: () => share * size }
}
