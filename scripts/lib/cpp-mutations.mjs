// Every one-place change of a C++ source that a test should notice. Works on tokens, not on a syntax tree; the code is formatted by
// clang-format, which tells apart what the grammar leaves open: a binary operator has blanks on both sides, a pointer, a
// reference and the bracket of a template have none before. What slips through does not compile and is not counted.

import { closing, headed, nameBack, surroundings, tokenize } from './cpp-tokens.mjs'

/**
 * @typedef {import('./cpp-tokens.mjs').Token} Token
 * @typedef {import('./mutants.mjs').Change} Change
 */

/** @type {Record<string, [kind: string, ...after: string[]]>} binary operators, blanks on both sides */
const operators = {
  '+': ['arithmetic', '-'],
  '-': ['arithmetic', '+'],
  '*': ['arithmetic', '/'],
  '/': ['arithmetic', '*'],
  '%': ['arithmetic', '*'],
  '+=': ['arithmetic', '-='],
  '-=': ['arithmetic', '+='],
  '*=': ['arithmetic', '/='],
  '/=': ['arithmetic', '*='],
  '<<': ['bits', '>>'],
  '>>': ['bits', '<<'],
  '&': ['bits', '|'],
  '|': ['bits', '&'],
  '^': ['bits', '|'],
  '&=': ['bits', '|='],
  '|=': ['bits', '&='],
  '^=': ['bits', '|='],
  '<': ['relation', '<=', '>='],
  '<=': ['relation', '<', '>'],
  '>': ['relation', '>=', '<='],
  '>=': ['relation', '>', '<'],
  '==': ['relation', '!='],
  '!=': ['relation', '=='],
  '&&': ['logic', '||'],
  '||': ['logic', '&&'],
}

const notCallees = new Set([
  'if',
  'for',
  'while',
  'switch',
  'return',
  'sizeof',
  'alignof',
  'decltype',
  'catch',
  'noexcept',
])
const notStatements = new Set(
  'return if else for while do switch case default throw try catch using namespace struct class enum union template public private protected friend typedef static constexpr const auto extern inline goto delete'.split(
    ' ',
  ),
)
/** Calls that tell the machine or the allocator what will come: their absence costs time and changes no result. */
const hints = /^(reserve|shrink_to_fit|\w*prefetch\w*|madvise)$/
/** f(a, b) == f(b, a), or 0 together. */
const symmetric = /^(min|max|swap|equal|memcmp)$/

/** Tokens of declarations, in which a change either does not compile or is no change of the program. */
function declared(/** @type {Token[]} */ tokens) {
  const skipped = new Set()
  const skip = (/** @type {number} */ from, /** @type {number} */ to) => {
    for (let i = from; i <= to; i++) skipped.add(i)
  }
  for (let i = 0; i < tokens.length; i++) {
    const { text } = tokens[i]
    if (['static_assert', 'alignas', 'asm', '__attribute__'].includes(text)) skip(i, closing(tokens, i + 1))
    else if (text === '[' && tokens[i + 1]?.text === '[') skip(i, closing(tokens, i))
    else if (text === 'operator') skip(i, i + 1)
    else if (text === 'using') {
      while (tokens[i] && tokens[i].text !== ';') skipped.add(i++)
    } else if (text === 'template' && tokens[i + 1]?.text === '<') {
      let depth = 0
      do {
        skipped.add(++i)
        depth += tokens[i].text === '<' ? 1 : tokens[i].text === '>' ? -1 : tokens[i].text === '>>' ? -2 : 0
      } while (depth > 0 && i < tokens.length - 1)
    }
  }
  return skipped
}

/** An integer literal one larger and one smaller, a real one twice as large; the suffix stays. */
function otherConstants(/** @type {string} */ text) {
  const integer = /^(0[xX][\da-fA-F']+|0[bB][01']+|[\d']+)([uUlLzZ]*)$/.exec(text)
  if (!integer) return [/^[\d.]*0\.?0*[fF]?$/.test(text) && Number.parseFloat(text) === 0 ? '1.0f' : `(2 * ${text})`]
  const value = BigInt(integer[1].replaceAll("'", ''))
  const print = (/** @type {bigint} */ n) => (/^0[xX]/.test(text) ? `0x${n.toString(16)}` : String(n)) + integer[2]
  return value > 0n ? [print(value + 1n), print(value - 1n)] : [print(1n)]
}

/** Last token of the statement that begins at `from` when it is a call or an assignment and not a declaration; else undefined. */
function effect(/** @type {Token[]} */ tokens, /** @type {number} */ from) {
  if (tokens[from].kind !== 'word' && !['*', '++', '--', '('].includes(tokens[from].text)) return undefined
  if (notStatements.has(tokens[from].text)) return undefined
  for (let i = from, assigned = false; i < tokens.length; i++) {
    const { text, kind } = tokens[i]
    if (text === ';')
      return assigned || tokens[i - 1].text === ')' || /^(\+\+|--)$/.test(tokens[i - 1].text) ? i : undefined
    if (kind === 'punctuation' && /^([-+*/%&|^]|<<|>>)?=$/.test(text)) assigned = true
    // Two names in a row, or a name behind a template's bracket: a declaration.
    const previous = tokens[i - 1]
    if (!assigned && i > from && kind === 'word' && (previous.kind === 'word' || /^(>|&|\*|&&)$/.test(previous.text))) {
      if (!(previous.text === '*' && i - 1 === from)) return undefined
    }
    if ('([{'.includes(text) && kind === 'punctuation') {
      if (text === '{' && !assigned) return undefined
      i = closing(tokens, i)
    } else if (text === '}' || text === ':') return undefined
  }
  return undefined
}

/**
 * All changes of a source, in the order of their places.
 * @param {string} file
 * @param {string} source
 * @returns {Change[]}
 */
export function findMutations(file, source) {
  const tokens = tokenize(source)
  const skipped = declared(tokens)
  const around = surroundings(tokens, skipped)
  /** Whether a field's initial value stands here, or a parameter's: part of its declaration. */
  const isField = (/** @type {number} */ i) => {
    let first = i
    while (first > 0 && !/^[{};:]$/.test(tokens[first - 1].text)) first--
    return around[i] === 'scope' && !tokens.slice(first, i).some(({ text }) => text === 'constexpr')
  }
  /** @type {Change[]} */
  const changes = []
  const blank = (/** @type {number} */ offset) => /\s/.test(source[offset] ?? ' ')
  const replace = (
    /** @type {string} */ kind,
    /** @type {number} */ from,
    /** @type {number} */ to,
    /** @type {string} */ after,
  ) => {
    changes.push({ file, kind, start: tokens[from].start, end: tokens[to].end, after })
  }
  /** Tokens of the head of a `for`, whose parts are no statements. */
  let head = -1
  const textOf = (/** @type {number} */ from, /** @type {number} */ to) =>
    source.slice(tokens[from].start, tokens[to].end)

  for (const [i, { kind, text, start, end }] of tokens.entries()) {
    if (skipped.has(i)) continue
    if (text === 'for' && tokens[i + 1]?.text === '(') head = closing(tokens, i + 1)
    const previous = tokens[i - 1]?.text ?? ';'
    const next = tokens[i + 1]?.text ?? ''
    if ((kind === 'number' || text === 'true' || text === 'false') && isField(i)) continue
    if (kind === 'number') {
      for (const after of otherConstants(text)) replace('constant', i, i, after)
    } else if (text === 'true' || text === 'false') {
      replace('constant', i, i, text === 'true' ? 'false' : 'true')
    } else if (
      kind === 'word' &&
      (text === 'min' || text === 'max') &&
      previous === '::' &&
      tokens[i - 2]?.text === 'std'
    ) {
      replace('bound', i, i, text === 'min' ? 'max' : 'min')
    } else if (kind === 'punctuation' && operators[text] && blank(start - 1) && blank(end)) {
      const [name, ...afters] = operators[text]
      for (const after of afters) replace(name, i, i, after)
    } else if (text === '!' && kind === 'punctuation') {
      replace('logic', i, i, '')
    } else if (text === '-' && kind === 'punctuation' && !blank(end)) {
      replace('arithmetic', i, i, '')
    } else if ((text === 'if' || text === 'while') && next === '(') {
      const close = closing(tokens, i + 1)
      const condition = textOf(i + 1, close)
      if (!/;|^\(const\b/.test(condition))
        replace('condition', i + 1, close, text === 'if' ? `(!${condition})` : `(false && ${condition})`)
    } else if (text === ',' && kind === 'punctuation') {
      const left = nameBack(tokens, i - 1)
      let right = i + 1
      while (['.', '->', '::'].includes(tokens[right + 1]?.text) && tokens[right + 2]?.kind === 'word') right += 2
      const opens = left !== undefined && tokens[left - 1]?.text === '(' ? tokens[left - 2] : undefined
      const ends =
        [',', ')'].includes(tokens[right + 1]?.text) && tokens[right]?.kind === 'word' && tokens[i + 1].kind === 'word'
      if (
        left !== undefined &&
        opens?.kind === 'word' &&
        ends &&
        !notCallees.has(opens.text) &&
        !symmetric.test(opens.text)
      ) {
        replace('arguments', left, right, `${textOf(i + 1, right)}, ${textOf(left, i - 1)}`)
      }
    }
    // A statement begins behind ; { } and behind the bracket of a condition.
    const begins =
      around[i] === 'code' &&
      i > head &&
      ([';', '{', '}', 'else'].includes(previous) || (previous === ')' && headed(tokens, i - 1)))
    const last = begins ? effect(tokens, i) : undefined
    if (last !== undefined && !tokens.slice(i, last).some(({ text }) => hints.test(text)))
      replace('statement', i, last, ';')
  }
  return changes
}
