// The list of error codes exists twice, in C++ and in TypeScript; the two must be one list.
import { readFileSync } from 'node:fs'
import t from 'tap'
import { errorCodes, FedloraError, isFedloraError } from '../../src/errors.js'

/** The codes of error_codes.def, in their order. */
function codesOf(text: string): string[] {
  return [...text.matchAll(/^ERROR_CODE\((E_[A-Z_]+),/gm)].map(([, code]) => code!)
}

const definition = readFileSync(new URL('../../native/base/error_codes.def', import.meta.url), 'utf8')

t.test('error_codes.def and src/errors.ts hold the same codes in the same order', async (t) => {
  t.ok(errorCodes.length > 0)
  t.same(codesOf(definition), [...errorCodes])
  t.equal(new Set(errorCodes).size, errorCodes.length, 'no code twice')
  t.equal(definition.match(/ERROR_CODE\(E_/g)?.length, errorCodes.length, 'the pattern above missed none')
})

t.test('canary: a code that is missing, added or out of order is seen', async (t) => {
  const lines = definition.split('\n')
  const first = lines.findIndex((line) => line.startsWith('ERROR_CODE('))
  const removed = lines.filter((_, index) => index !== first)
  t.notSame(codesOf(removed.join('\n')), [...errorCodes])
  t.notSame(codesOf(`${definition}\nERROR_CODE(E_ANOTHER, "x")\n`), [...errorCodes])
  t.notSame(codesOf([...lines].reverse().join('\n')), [...errorCodes])
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
