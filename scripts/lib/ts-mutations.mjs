// The faults that are tried on TypeScript: for every expression of a source, what a slip of the hand could have written instead.
//
//   arithmetic      + ↔ -   * ↔ /   % → *   & ↔ |   << ↔ >>   += ↔ -=   ++ ↔ --        number     n → n + 1, n - 1
//   relational      < → <=   <= → <   > → >=   >= → >   === ↔ !==                       boolean    true ↔ false   !a → a   -a → a
//   logical         && ↔ ||   a ?? b → a                                                text       'a' → ''
//   condition       c → !(c) in if, while and ?:                                        list       [a, b] → []   ...a → nothing
//   call            a.filter(f), a.slice(i) → a   Math.min ↔ Math.max   some ↔ every    return     its value → 0, '', [], false, undefined
//   statement       f() → nothing   await f() → f()
//
// Types, imports, templates, the words of errors and of describe(), and texts with a space (they are for people) are left alone.
import ts from 'typescript'

/** 'a b, c d' as a → b, c → d. */
const table = (/** @type {string} */ text) =>
  new Map(text.split(', ').map((pair) => /** @type {[string, string]} */ (pair.split(' '))))

const binary = table(
  '+ -, - +, * /, / *, % *, ** *, & |, | &, ^ &, << >>, >> <<, >>> >>, < <=, <= <, > >=, >= >, === !==, !== ===, && ||, || &&, ' +
    '+= -=, -= +=, *= /=, /= *=',
)
const kindOf = (/** @type {string} */ operator) =>
  /^(&&|\|\|)$/.test(operator) ? 'logical' : /^([<>]=?|[!=]==)$/.test(operator) ? 'relational' : 'arithmetic'
/** Methods whose removal leaves a value of the same kind. */
const removable = new Set(['filter', 'slice', 'subarray', 'sort', 'toSorted', 'reverse', 'trim', 'flat', 'toLowerCase'])
const swapped = table('min max, max min, floor ceil, ceil floor, round floor, some every, every some')

/** @typedef {ts.Node} Node */
const isText = (/** @type {Node} */ node) => ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)
const isEquality = (/** @type {Node} */ node) =>
  ts.isBinaryExpression(node) && /^[!=]==$/.test(node.operatorToken.getText())
const isNegation = (/** @type {Node} */ node) =>
  ts.isPrefixUnaryExpression(node) && node.operator === SyntaxKind.ExclamationToken

const { SyntaxKind } = ts
const quietKinds = new Set([
  SyntaxKind.InterfaceDeclaration,
  SyntaxKind.TypeAliasDeclaration,
  SyntaxKind.EnumDeclaration,
  SyntaxKind.ImportDeclaration,
  SyntaxKind.ExportDeclaration,
  SyntaxKind.HeritageClause,
  SyntaxKind.TemplateExpression,
  SyntaxKind.TaggedTemplateExpression,
  SyntaxKind.ComputedPropertyName,
])

/** Nothing in here is tried. */
function isQuiet(/** @type {Node} */ node) {
  if (ts.isTypeNode(node) || quietKinds.has(node.kind)) return true
  if (ts.isNewExpression(node)) return /Error$/.test(node.expression.getText())
  if (ts.isVariableDeclaration(node) || ts.isPropertyAssignment(node)) return node.name.getText() === 'message'
  if (!ts.isCallExpression(node)) return false
  const name = ts.isPropertyAccessExpression(node.expression) ? node.expression.name.text : node.expression.getText()
  return node.expression.kind === SyntaxKind.ImportKeyword || name === 'ioError' || name === 'super'
}

/** It is written to, not read: [a, b] = …, a[i]++. */
function isTarget(/** @type {Node} */ node) {
  const { parent } = node
  if (ts.isBinaryExpression(parent)) {
    return (
      parent.left === node &&
      parent.operatorToken.kind >= SyntaxKind.FirstAssignment &&
      parent.operatorToken.kind <= SyntaxKind.LastAssignment
    )
  }
  return ts.isForOfStatement(parent) && parent.initializer === node
}

/** Parentheses around it would end the short circuit of an optional chain that goes on. */
function isInsideChain(/** @type {Node} */ node) {
  const parent = /** @type {any} */ (node.parent)
  return (parent.flags & ts.NodeFlags.OptionalChain) !== 0 && parent.expression === node
}

/** What a function of this return type can give at least: source text, or undefined when it gives nothing. */
function emptyOf(/** @type {ts.TypeNode | undefined} */ type) {
  if (type === undefined) return 'undefined'
  const text = type.getText().replace(/^(?:Promise|AsyncGenerator)<(.*)>$/s, '$1')
  if (text === 'void' || text === 'never') return undefined
  if (text === 'number') return '0'
  if (text === 'string') return "''"
  if (text === 'boolean') return 'false'
  return /\[\]$/.test(text) ? '[]' : 'undefined'
}

function enclosingFunction(/** @type {Node} */ node) {
  for (let at = node.parent; at !== undefined; at = at.parent) if (ts.isFunctionLike(at)) return at
  return undefined
}

/**
 * @typedef {import('./mutants.mjs').Change & { statement: boolean }} TsChange `after` replaces an expression, or a whole statement
 */

/**
 * Every fault in a source, outer ones before inner ones.
 * @param {string} file
 * @param {string} source
 */
export function findMutations(file, source) {
  const tree = ts.createSourceFile(file, source, ts.ScriptTarget.Latest, true)
  /** @type {TsChange[]} */
  const found = []
  const seen = new Set()

  function add(
    /** @type {ts.Node} */ node,
    /** @type {string} */ kind,
    /** @type {string} */ after,
    statement = false,
  ) {
    if (!statement && (isTarget(node) || isInsideChain(node))) return
    const start = node.getStart(tree)
    const end = node.getEnd()
    const key = `${start} ${end} ${after}`
    if (seen.has(key) || after === source.slice(start, end)) return
    seen.add(key)
    found.push({ file, kind, start, end, after, statement })
  }

  function binaryExpression(/** @type {ts.BinaryExpression} */ node) {
    const { left, right, operatorToken } = node
    const operator = operatorToken.getText(tree)
    const [a, b] = [left.getText(tree), right.getText(tree)]
    if (operator === '??') add(node, 'logical', a)
    if ((operator === '+' || operator === '+=') && (isText(left) || isText(right))) return
    const other = binary.get(operator)
    if (other !== undefined) add(node, kindOf(operator), `${a} ${other} ${b}`)
  }

  /**
   * The text of a list without one of its elements.
   * @param {Node} node
   * @param {ts.NodeArray<Node>} elements
   * @param {Node} element
   */
  function without(node, elements, element) {
    const rest = elements.filter((other) => other !== element).map((other) => other.getText(tree))
    const { pos, end } = elements
    return source.slice(node.getStart(tree), pos) + rest.join(', ') + source.slice(end, node.getEnd())
  }

  function callExpression(/** @type {ts.CallExpression} */ node) {
    const { expression, arguments: list } = node
    for (const argument of list) if (ts.isSpreadElement(argument)) add(node, 'list', without(node, list, argument))
    if (!ts.isPropertyAccessExpression(expression)) return
    const object = expression.expression.getText(tree)
    const method = expression.name.text
    const values = list.map((argument) => argument.getText(tree))
    if (removable.has(method) && expression.questionDotToken === undefined) add(node, 'call', object)
    if ((method === 'slice' || method === 'subarray') && values.length === 2)
      add(node, 'call', `${object}.${method}(${values[0]})`)
    if (object === 'Math' && (method === 'abs' || method === 'sqrt')) add(node, 'call', values[0] ?? '')
    const isMath = /^(min|max|floor|ceil|round)$/.test(method)
    if (swapped.has(method) && expression.questionDotToken === undefined && (!isMath || object === 'Math')) {
      add(node, 'call', `${object}.${swapped.get(method)}(${values.join(', ')})`)
    }
  }

  function literal(/** @type {Node} */ node) {
    const { name, propertyName } = /** @type {any} */ (node.parent)
    if (name === node || propertyName === node || ts.isLiteralTypeNode(node.parent)) return
    if (ts.isNumericLiteral(node)) {
      const value = Number(node.text)
      add(node, 'number', String(value + 1))
      add(node, 'number', value === 0 ? '-1' : String(value - 1))
    } else if (node.kind === SyntaxKind.TrueKeyword) add(node, 'boolean', 'false')
    else if (node.kind === SyntaxKind.FalseKeyword) add(node, 'boolean', 'true')
    else if (ts.isStringLiteral(node) && node.text !== '' && !node.text.includes(' ')) add(node, 'text', "''")
  }

  function statement(/** @type {ts.ExpressionStatement} */ node) {
    const { expression } = node
    if (
      ts.isStringLiteral(expression) ||
      (ts.isCallExpression(expression) && expression.expression.kind === SyntaxKind.SuperKeyword)
    )
      return
    add(node, 'statement', '', true)
    if (ts.isAwaitExpression(expression)) add(node, 'statement', expression.expression.getText(tree), true)
  }

  function condition(/** @type {Node} */ node) {
    if (!isEquality(node) && !isNegation(node)) add(node, 'condition', `!(${node.getText(tree)})`)
  }

  function visit(/** @type {Node} */ node) {
    if (isQuiet(node)) return
    if (ts.isExpressionStatement(node)) statement(node)
    else if (ts.isBinaryExpression(node)) binaryExpression(node)
    else if (ts.isCallExpression(node)) callExpression(node)
    else if (ts.isIfStatement(node) || ts.isWhileStatement(node) || ts.isDoStatement(node)) condition(node.expression)
    else if (ts.isConditionalExpression(node)) condition(node.condition)
    else if (ts.isPrefixUnaryExpression(node) || ts.isPostfixUnaryExpression(node)) unary(node)
    else if (ts.isArrayLiteralExpression(node)) listOf(node, node.elements, '[]')
    else if (ts.isObjectLiteralExpression(node)) listOf(node, node.properties)
    else if (ts.isReturnStatement(node)) returned(node)
    else literal(node)
    // The words of an option stand in no mutant; what the option is called on may.
    const isDescription = ts.isCallExpression(node) && /\.(describe|meta)$/.test(node.expression.getText(tree))
    if (isDescription) visit(node.expression)
    else ts.forEachChild(node, visit)
  }

  function unary(/** @type {ts.PrefixUnaryExpression | ts.PostfixUnaryExpression} */ node) {
    const operand = node.operand.getText(tree)
    const operator = ts.tokenToString(node.operator)
    if (operator === '!') return add(node, 'boolean', operand)
    if (operator === '-') return add(node, 'arithmetic', operand)
    if (operator !== '++' && operator !== '--') return
    if (ts.isForStatement(node.parent) && node.parent.incrementor === node) return
    const other = operator === '++' ? '--' : '++'
    add(node, 'arithmetic', ts.isPrefixUnaryExpression(node) ? other + operand : operand + other)
  }

  /**
   * @param {Node} node
   * @param {ts.NodeArray<Node>} elements
   * @param {string} [empty]
   */
  function listOf(node, elements, empty) {
    if (isTarget(node) || elements.length === 0) return
    if (empty !== undefined) add(node, 'list', empty)
    for (const element of elements) {
      if (ts.isSpreadElement(element) || ts.isSpreadAssignment(element))
        add(node, 'list', without(node, elements, element))
    }
  }

  function returned(/** @type {ts.ReturnStatement} */ { expression }) {
    if (expression === undefined || expression.getText(tree) === 'undefined') return
    const empty = emptyOf(enclosingFunction(expression)?.type)
    if (empty !== undefined) add(expression, 'return', empty)
  }

  ts.forEachChild(tree, visit)
  return found
}
