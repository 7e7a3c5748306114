// The engine's error codes exist twice, in C++ and in TypeScript; the two must be one list.
import { readFileSync } from 'node:fs'
import { Worker } from 'node:worker_threads'
import t from 'tap'
import { engineCodes, errorCodes, FedloraError, isFedloraError } from '../../src/errors.js'

/** The codes of error_codes.def, in their order. */
function codesOf(text: string): string[] {
  return [...text.matchAll(/^ERROR_CODE\((E_[A-Z_]+),/gm)].map(([, code]) => code!)
}

const definition = readFileSync(new URL('../../native/base/error_codes.def', import.meta.url), 'utf8')

t.test('error_codes.def and src/errors.ts hold the same codes in the same order', async (t) => {
  t.ok(engineCodes.length > 0)
  t.same(codesOf(definition), [...engineCodes])
  t.equal(new Set(errorCodes).size, errorCodes.length, 'no code twice')
  t.equal(definition.match(/ERROR_CODE\(E_/g)?.length, engineCodes.length, 'the pattern above missed none')
})

t.test('canary: a code that is missing, added or out of order is seen', async (t) => {
  const lines = definition.split('\n')
  const first = lines.findIndex((line) => line.startsWith('ERROR_CODE('))
  const removed = lines.filter((_, index) => index !== first)
  t.notSame(codesOf(removed.join('\n')), [...engineCodes])
  t.notSame(codesOf(`${definition}\nERROR_CODE(E_ANOTHER, "x")\n`), [...engineCodes])
  t.notSame(codesOf([...lines].reverse().join('\n')), [...engineCodes])
})

t.test('FedloraError carries code, details and cause', async (t) => {
  const cause = new Error('below')
  const error = new FedloraError('E_SHAPE', 'what, where', { got: 3 }, cause)
  t.match(error, { name: 'FedloraError', code: 'E_SHAPE', message: 'what, where', details: { got: 3 }, cause })
  t.ok(error instanceof Error)
  t.ok(isFedloraError(error))
  t.ok(isFedloraError(error, 'E_SHAPE'))
  t.notOk(isFedloraError(error, 'E_IO'))
  t.notOk(isFedloraError(cause))
  t.notOk('cause' in new FedloraError('E_IO', 'alone'), 'no cause when none was given')
})

t.test('an error survives JSON: message, code, details and causes', async (t) => {
  const below = new FedloraError('E_IO', 'below', { errno: 'ENOSPC' })
  const error = new FedloraError(
    'E_DATA',
    'rows.jsonl, line 7: …',
    { file: 'rows.jsonl', line: 7, big: 2n ** 70n },
    below,
  )
  const json = JSON.parse(JSON.stringify({ error })).error
  t.match(json, { name: 'FedloraError', code: 'E_DATA', message: 'rows.jsonl, line 7: …' })
  t.same(json.details, { file: 'rows.jsonl', line: 7, big: String(2n ** 70n) })
  t.match(json.cause, { code: 'E_IO', message: 'below', details: { errno: 'ENOSPC' } })
  t.ok(isFedloraError(json, 'E_DATA'))
  for (const revived of [FedloraError.from(json), FedloraError.from(JSON.stringify(error))]) {
    t.ok(revived instanceof FedloraError)
    t.match(revived, { code: 'E_DATA', message: error.message, details: { line: 7 } })
  }
  const loop: Record<string, unknown> = {}
  loop.self = loop
  t.match(JSON.stringify(new FedloraError('E_DATA', 'a loop', loop)), /"a loop"/, 'never throws')
  const odd = new FedloraError('E_INTERNAL', 'odd', {}, new Error('plain cause'))
  t.match(odd.toJSON().cause, { name: 'Error', message: 'plain cause' })
})

t.test('an error survives structuredClone and a worker', async (t) => {
  const error = new FedloraError('E_MEMORY', 'needs 3 GiB\nand more', { needed: 3 }, new Error('below'))
  t.match(error.stack, /^FedloraError \[E_MEMORY\]: needs 3 GiB\nand more\n {4}at /)
  const clone = structuredClone(error)
  t.equal(clone.message, error.message)
  t.ok(isFedloraError(clone, 'E_MEMORY'))
  t.match(
    clone,
    { name: 'FedloraError', code: 'E_MEMORY', cause: { message: 'below' } },
    'the code is back on the clone',
  )
  t.notOk(isFedloraError(structuredClone(error), 'E_IO'))
  t.match(FedloraError.from(structuredClone(error)), { code: 'E_MEMORY', message: error.message, stack: error.stack })
  const errors = new URL('../../dist/errors.js', import.meta.url).href
  const source = `
    const { FedloraError } = await import(${JSON.stringify(errors)})
    const { parentPort } = await import('node:worker_threads')
    parentPort.postMessage(new FedloraError('E_SHAPE', 'from a worker', { got: 3 }))
    throw new FedloraError('E_IO', 'uncaught in a worker')`
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), { execArgv: [], env: {} })
  const posted = new Promise((resolve) => worker.once('message', resolve))
  const thrown = new Promise((resolve) => worker.once('error', resolve))
  t.ok(isFedloraError(await posted, 'E_SHAPE'), 'posted')
  t.ok(isFedloraError(await thrown, 'E_IO'), 'thrown')
})

t.test('canary: what is no error of ours is not taken for one', async (t) => {
  const plain = new Error('FedloraError [E_IO]: only its message says so')
  plain.stack = `Error: ${plain.message}`
  for (const value of [plain, structuredClone(new Error('x')), { code: 'E_IO', message: 'x' }, 'E_IO', '{', null, 7]) {
    t.notOk(isFedloraError(value), String(value))
    t.equal(FedloraError.from(value), undefined)
  }
  t.notOk(isFedloraError({ name: 'FedloraError', code: 'E_NOPE', message: 'x' }), 'a code that does not exist')
})
