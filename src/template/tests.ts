/** Tests, the words after `is`. Those that look at other tables get them from the engine. */

import { binary } from './arithmetic.js'
import { compare, contains, equals } from './comparison.js'
import { isIterable, size } from './iterate.js'
import { type Native, native, table } from './native.js'
import { isFloat, isInt, isNumber } from './numbers.js'
import { str } from './print.js'
import { textMethods } from './text-methods.js'
import { Callable, Dict, isText, Loop, Markup, Range, Tuple, Undefined, type Value } from './values.js'

const remainder = (value: Value, by: Value) => binary('%', value, by)
const textTest = (name: string) => (value: Value) => textMethods.get(name)!.invoke(str(value), [], null)

function same(a: Value, b: Value): boolean {
  return a === b || (a instanceof Undefined && b instanceof Undefined && a === b)
}

function isSequence(value: Value): boolean {
  const indexed = [Array, Tuple, Dict, Range, Markup, Undefined]
  return typeof value === 'string' || indexed.some((kind) => value instanceof kind)
}

const comparisons: readonly Native[] = (
  [
    ['==', 'eq', 'equalto'],
    ['!=', 'ne'],
    ['>', 'gt', 'greaterthan'],
    ['>=', 'ge'],
    ['<', 'lt', 'lessthan'],
    ['<=', 'le'],
  ] as const
).flatMap((names) =>
  names.map((name) => native(name, '/other', (value: Value, other: Value) => compare(names[0], value, other))),
)

export const tests = table(
  ...comparisons,
  native('boolean', '', (value: Value) => typeof value === 'boolean'),
  native(
    'callable',
    '/',
    (value: Value) => value instanceof Callable || value instanceof Loop || value instanceof Undefined,
  ),
  native('defined', '', (value: Value) => !(value instanceof Undefined)),
  native('divisibleby', 'num', (value: Value, by: Value) => equals(remainder(value, by), 0)),
  native('escaped', '', (value: Value) => value instanceof Markup),
  native('even', '', (value: Value) => equals(remainder(value, 2), 0)),
  native('false', '', (value: Value) => value === false),
  native('float', '', (value: Value) => isFloat(value)),
  native('in', 'seq', (value: Value, sequence: Value) => contains(sequence, value)),
  native('integer', '', (value: Value) => isInt(value) && typeof value !== 'boolean'),
  native('iterable', '', (value: Value) => isIterable(value)),
  native('lower', '', textTest('islower')),
  native('mapping', '', (value: Value) => value instanceof Dict),
  native('none', '', (value: Value) => value === null),
  native('number', '', (value: Value) => isNumber(value)),
  native('odd', '', (value: Value) => equals(remainder(value, 2), 1)),
  native('sameas', 'other', same),
  native('sequence', '', (value: Value) => isSequence(value) && size(value) !== undefined),
  native('string', '', (value: Value) => isText(value)),
  native('true', '', (value: Value) => value === true),
  native('undefined', '', (value: Value) => value instanceof Undefined),
  native('upper', '', textTest('isupper')),
)
