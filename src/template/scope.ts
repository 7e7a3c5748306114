/**
 * Which variable a name means, decided before rendering as Jinja's compiler decides it: a body that assigns to a name has a variable of
 * its own, which starts as a copy of the outer one; what an `if` assigns belongs to the body around it; a macro sees the variables
 * around its definition as they are when it is called; every other name is looked up among what was passed to the template.
 */

import type { Expression, Statement, Target } from './nodes.js'

/** What becomes one function with slots for its variables: the template, a macro, a recursive loop, a loop's test, a block. */
export class FunctionScope {
  size = 0

  constructor(readonly depth: number) {}
}

export interface Variable {
  readonly slot: number
  /** Depth of the function that holds it. */
  readonly depth: number
}

/** How a variable gets its value when its body is entered. */
export type Load =
  | { readonly from: 'parameter' | 'nothing' }
  | { readonly from: 'context'; readonly name: string }
  | { readonly from: 'outer'; readonly variable: Variable }

export class Symbols {
  readonly loads = new Map<Variable, Load>()
  readonly #refs = new Map<string, Variable>()
  readonly #stores = new Set<string>()

  constructor(
    readonly scope: FunctionScope,
    readonly parent: Symbols | null,
    /** Variables of this body by name, shared with the copies for its branches. */
    readonly own = new Map<string, Variable>(),
  ) {}

  find(name: string): Variable | undefined {
    return this.#refs.get(name) ?? this.parent?.find(name)
  }

  #define(name: string, load: Load): Variable {
    let variable = this.own.get(name)
    if (variable === undefined) {
      variable = { slot: this.scope.size++, depth: this.scope.depth }
      this.own.set(name, variable)
    }
    this.#refs.set(name, variable)
    this.loads.set(variable, load)
    return variable
  }

  store(name: string): void {
    this.#stores.add(name)
    if (this.#refs.has(name)) return
    const outer = this.parent?.find(name)
    this.#define(name, outer === undefined ? { from: 'nothing' } : { from: 'outer', variable: outer })
  }

  parameter(name: string): Variable {
    this.#stores.add(name)
    return this.#define(name, { from: 'parameter' })
  }

  load(name: string): void {
    if (this.find(name) === undefined) this.#define(name, { from: 'context', name })
  }

  branch(): Symbols {
    const copy = new Symbols(this.scope, this.parent, this.own)
    for (const [name, variable] of this.#refs) copy.#refs.set(name, variable)
    for (const [variable, load] of this.loads) copy.loads.set(variable, load)
    for (const name of this.#stores) copy.#stores.add(name)
    return copy
  }

  /** Takes what the branches of an `if` define. What only a branch assigns starts as the name is outside. */
  join(branches: readonly Symbols[]): void {
    const stores = new Set<string>()
    for (const branch of branches) for (const name of branch.#stores) if (!this.#stores.has(name)) stores.add(name)
    for (const branch of branches) {
      for (const [name, variable] of branch.#refs) this.#refs.set(name, variable)
      for (const [variable, load] of branch.loads) this.loads.set(variable, load)
      for (const name of branch.#stores) this.#stores.add(name)
    }
    for (const name of stores) {
      const outer = this.parent?.find(name)
      const load: Load = outer === undefined ? { from: 'context', name } : { from: 'outer', variable: outer }
      this.loads.set(this.find(name)!, load)
    }
  }

  inner(scope = this.scope): Symbols {
    return new Symbols(scope, this)
  }
}

export type Access = 'load' | 'store'

/** The names in an expression. */
function walkExpression(node: Expression | null, visit: (name: string, access: Access) => void): void {
  if (node === null) return
  const each = (...nodes: readonly (Expression | null)[]) => {
    for (const child of nodes) walkExpression(child, visit)
  }
  switch (node.kind) {
    case 'constant':
      break
    case 'name':
    case 'namespaceTarget':
      visit(node.name, 'load')
      break
    case 'tuple':
    case 'list':
    case 'concat':
      each(...node.items)
      break
    case 'dict':
      each(...node.pairs.flat())
      break
    case 'binary':
    case 'and':
    case 'or':
      each(node.left, node.right)
      break
    case 'not':
    case 'negative':
    case 'positive':
      each(node.operand)
      break
    case 'compare':
      each(node.first, ...node.rest.map(([, operand]) => operand))
      break
    case 'conditional':
      each(node.test, node.value, node.otherwise)
      break
    case 'attribute':
      each(node.object)
      break
    case 'item':
      each(node.object, node.index)
      break
    case 'slice':
      each(node.start, node.stop, node.step)
      break
    default: {
      const subject = node.kind === 'call' ? node.callee : node.input
      each(subject, ...node.args, ...node.named.map(([, value]) => value), node.rest, node.namedRest)
    }
  }
}

/** The names that a target assigns to; the namespaces of `a.b` are only read. */
export function walkTarget(target: Target, visit: (name: string, access: Access) => void): void {
  if (target.kind === 'name') visit(target.name, 'store')
  else if (target.kind === 'namespaceTarget') visit(target.name, 'load')
  else for (const item of target.items) walkTarget(item as Target, visit)
}

/** Which of `names` are read in `body` before anything there assigns to them. */
export function undeclared(body: readonly Statement[], names: readonly string[]): ReadonlySet<string> {
  const watched = new Set(names)
  const found = new Set<string>()
  const visit = (name: string, access: Access) => {
    if (access === 'store') watched.delete(name)
    else if (watched.has(name)) found.add(name)
  }
  walkStatements(body, visit)
  return found
}

/** Every name in statements and what they hold, in the order of Jinja's tree; named blocks stand apart. */
export function walkStatements(body: readonly Statement[], visit: (name: string, access: Access) => void): void {
  const expressions = (...nodes: readonly (Expression | null)[]) => {
    for (const node of nodes) walkExpression(node, visit)
  }
  for (const node of body) {
    switch (node.kind) {
      case 'output':
        for (const item of node.items) if (typeof item !== 'string') expressions(item.expression)
        break
      case 'if':
        for (const branch of [node, ...node.elifs]) {
          expressions(branch.test)
          walkStatements(branch.body, visit)
        }
        walkStatements(node.otherwise, visit)
        break
      case 'for':
        walkTarget(node.target, visit)
        expressions(node.iterable)
        walkStatements(node.body, visit)
        walkStatements(node.otherwise, visit)
        expressions(node.test)
        break
      case 'set':
        walkTarget(node.target, visit)
        expressions(node.value)
        break
      case 'setBlock':
        walkTarget(node.target, visit)
        expressions(node.filter)
        walkStatements(node.body, visit)
        break
      case 'callBlock':
        expressions(node.call)
        for (const name of node.parameters) visit(name, 'store')
        expressions(...node.defaults)
        walkStatements(node.body, visit)
        break
      case 'macro':
        for (const name of node.parameters) visit(name, 'store')
        expressions(...node.defaults)
        walkStatements(node.body, visit)
        break
      case 'filterBlock':
        walkStatements(node.body, visit)
        expressions(node.filter)
        break
      case 'with':
        for (const target of node.targets) walkTarget(target, visit)
        expressions(...node.values)
        walkStatements(node.body, visit)
        break
      case 'generation':
        walkStatements(node.body, visit)
        break
    }
  }
}

/** Enters the names of `body` into the symbols of the body that it is. What bodies within it assign is theirs. */
export function analyse(body: readonly Statement[], symbols: Symbols): void {
  const visit = (name: string, access: Access) => (access === 'load' ? symbols.load(name) : symbols.store(name))
  const expressions = (...nodes: readonly (Expression | null)[]) => {
    for (const node of nodes) walkExpression(node, visit)
  }
  for (const node of body) {
    switch (node.kind) {
      case 'output':
        for (const item of node.items) if (typeof item !== 'string') expressions(item.expression)
        break
      case 'if': {
        expressions(node.test)
        const then = symbols.branch()
        analyse(node.body, then)
        const elifs = symbols.branch()
        for (const elif of node.elifs) analyse([{ ...elif, line: node.line }], elifs)
        const otherwise = symbols.branch()
        analyse(node.otherwise, otherwise)
        symbols.join([then, elifs, otherwise])
        break
      }
      case 'for':
        expressions(node.iterable)
        break
      case 'set':
        expressions(node.value)
        walkTarget(node.target, visit)
        break
      case 'setBlock':
        expressions(node.filter)
        walkTarget(node.target, visit)
        break
      case 'macro':
        symbols.store(node.name)
        break
      case 'callBlock':
        expressions(node.call)
        break
      case 'filterBlock':
        expressions(node.filter)
        break
      case 'with':
        expressions(...node.values)
        break
      case 'load':
        for (const name of node.stores) symbols.store(name)
        break
    }
  }
}

/** Enters the names of an expression. */
export function analyseExpression(node: Expression, symbols: Symbols): void {
  walkExpression(node, (name) => symbols.load(name))
}
