/**
 * The page for people at `/`: three files of the package (assets/page), and the stream of server-sent events that they show. They load nothing
 * from elsewhere and run nothing that is not in them; what clients call themselves reaches the page as text.
 */
import { readFileSync } from 'node:fs'
import type { Standing } from '../link/standing.js'

export interface PageFile {
  body: Uint8Array
  headers: Readonly<Record<string, string>>
}

const types: Readonly<Record<string, { file: string; type: string }>> = {
  '/': { file: 'index.html', type: 'text/html; charset=utf-8' },
  '/page.css': { file: 'page.css', type: 'text/css; charset=utf-8' },
  '/page.js': { file: 'page.js', type: 'text/javascript; charset=utf-8' },
}

/** Of every file of the page, and of every other answer that a browser might show. */
export const pageHeaders: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-cache',
}

const files = new Map<string, PageFile>()

/** The file of the page at a path (without a query); undefined for any other path. It needs no proof of who asks: it holds no figures. */
export function pageFile(path: string): PageFile | undefined {
  const found = Object.hasOwn(types, path) ? types[path]! : undefined
  if (found === undefined) return undefined
  const known = files.get(path)
  if (known !== undefined) return known
  const body = readFileSync(new URL(`../../../assets/page/${found.file}`, import.meta.url))
  const headers = { ...pageHeaders, 'content-type': found.type, 'content-length': String(body.length) }
  const file = { body, headers }
  files.set(path, file)
  return file
}

/** Of the stream of events. */
export const streamHeaders: Readonly<Record<string, string>> = {
  ...pageHeaders,
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  'x-accel-buffering': 'no',
}

const pause = (milliseconds: number, signal: AbortSignal) =>
  new Promise<void>((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, milliseconds)
    signal.addEventListener('abort', done)
    if (signal.aborted) done()
  })

/**
 * The events of a page: how the federation stands, at once and whenever that has changed, at most every `every` milliseconds; a comment now and
 * then keeps proxies from ending a stream that has nothing to say. It ends with `signal`.
 */
export async function* standingStream(
  read: () => Standing | Promise<Standing>,
  signal: AbortSignal,
  { every = 1000, comment = 15_000 }: { every?: number; comment?: number } = {},
): AsyncGenerator<string> {
  let last = ''
  let quiet = 0
  while (!signal.aborted) {
    const text = JSON.stringify(await read())
    if (text !== last) {
      last = text
      quiet = 0
      yield `data: ${text}\n\n`
    } else if (quiet >= comment) {
      quiet = 0
      yield ': still here\n\n'
    }
    await pause(every, signal)
    quiet += every
  }
}
