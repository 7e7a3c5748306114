// C++ as tokens, and what stands around one.

/**
 * @typedef {{ kind: 'word' | 'number' | 'punctuation' | 'text', text: string, start: number, end: number }} Token
 */

const patterns = [
  /(?<skip>\s+|\/\/.*|\/\*[\s\S]*?\*\/)/,
  /(?<directive>^[ \t]*#(?:.*\\\r?\n)*.*)/,
  /(?<text>(?:u8|[uUL])?R"([^(]*)\([\s\S]*?\)\2"|(?:u8|[uUL])?"(?:\\.|[^"\\])*"|[uUL]?'(?:\\.|[^'\\])+')/,
  /(?<number>\.?\d(?:[eEpP][+-]|['\w.])*)/,
  /(?<word>[A-Za-z_]\w*)/,
  /(?<punctuation><<=|>>=|<=>|->\*|\.\.\.|::|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|[^\s\w])/,
]
const lexeme = new RegExp(patterns.map(({ source }) => source).join('|'), 'gmy')

/** @returns {Token[]} without blanks, comments and directives */
export function tokenize(/** @type {string} */ source) {
  const tokens = []
  lexeme.lastIndex = 0
  while (lexeme.lastIndex < source.length) {
    const start = lexeme.lastIndex
    const groups = lexeme.exec(source)?.groups
    if (groups === undefined) throw new Error(`no C++ at offset ${start}: ${source.slice(start, start + 20)}`)
    for (const kind of /** @type {const} */ (['word', 'number', 'punctuation', 'text'])) {
      if (groups[kind] !== undefined) tokens.push({ kind, text: groups[kind], start, end: lexeme.lastIndex })
    }
  }
  return tokens
}

/** Index of the bracket that closes the one at `open`. */
export function closing(/** @type {Token[]} */ tokens, /** @type {number} */ open) {
  let depth = 0
  for (let i = open; i < tokens.length; i++) {
    if (tokens[i].kind !== 'punctuation') continue
    if ('([{'.includes(tokens[i].text)) depth++
    else if (')]}'.includes(tokens[i].text) && --depth === 0) return i
  }
  return tokens.length - 1
}

/** Whether the bracket that closes at `close` is that of if, for or while. */
export function headed(/** @type {Token[]} */ tokens, /** @type {number} */ close) {
  let depth = 0
  for (let i = close; i > 0; i--) {
    if (tokens[i].text === ')') depth++
    else if (tokens[i].text === '(' && --depth === 0) return ['if', 'for', 'while'].includes(tokens[i - 1].text)
  }
  return false
}

/** The name that ends at token `i`, with what qualifies it: a.b->c, N::x, x. Index of its first token, or undefined. */
export function nameBack(/** @type {Token[]} */ tokens, /** @type {number} */ i) {
  if (tokens[i].kind !== 'word') return undefined
  while (['.', '->', '::'].includes(tokens[i - 1]?.text) && tokens[i - 2]?.kind === 'word') i -= 2
  return i
}

const scopes = new Set(['namespace', 'class', 'struct', 'union', 'enum'])

/**
 * For each token the innermost braces around it: 'code' (a function's or a value's) or 'scope' (of a class, a namespace, an
 * enumeration; at the top).
 */
export function surroundings(/** @type {Token[]} */ tokens, /** @type {Set<number>} */ skipped) {
  const around = []
  const open = ['scope']
  let head = [] // of what may open next
  for (const [i, { text, kind }] of tokens.entries()) {
    if (text === '}' && kind === 'punctuation') open.pop()
    around.push(open.at(-1))
    if (kind === 'punctuation' && '{};'.includes(text)) {
      if (text === '{') open.push(head.some((word) => scopes.has(word)) ? 'scope' : 'code')
      head = []
    } else if (!skipped.has(i)) head.push(text)
  }
  return around
}
