/** Statements to functions of a frame. */

import { type Body, compileEnter, within } from './body.js'
import { deeper, step } from './budget.js'
import { compileCall, compileExpression, compilePrint } from './compile-expression.js'
import { compileAssignment, compileTarget } from './compile-target.js'
import { TemplateError } from './errors.js'
import { iterate } from './iterate.js'
import { LoopRound } from './loop.js'
import { compileMacro } from './macro.js'
import type { Block, CallBlock, FilterBlock, For, Generation, If, Output, SetBlock, Statement, With } from './nodes.js'
import { str } from './print.js'
import { breakLoop, type Evaluate, type Execute, Frame, goOn, nextRound, type Signal } from './runtime.js'
import { analyse, analyseExpression, FunctionScope, Symbols, undeclared, walkStatements, walkTarget } from './scope.js'
import { Lazy, Loop, truth, type Value } from './values.js'

export function compileBody(body: readonly Statement[], place: Body): Execute {
  const statements = body.map((node) => compileStatement(node, place))
  return (frame) => {
    for (const statement of statements) {
      const signal = statement(frame)
      if (signal !== goOn) return signal
    }
    return goOn
  }
}

function compileStatement(node: Statement, place: Body): Execute {
  const run = compileKind(node, place)
  const { line } = node
  return (frame) => {
    frame.context.line = line
    return run(frame)
  }
}

function compileKind(node: Statement, place: Body): Execute {
  switch (node.kind) {
    case 'output':
      return compileOutput(node, place)
    case 'if':
      return compileIf(node, place)
    case 'for':
      return compileFor(node, place, node.line)
    case 'set':
      return continuing(compileAssignment(node.target, compileExpression(node.value, place), place))
    case 'setBlock':
      return compileSetBlock(node, place)
    case 'macro': {
      const make = compileMacro(node, node.name, place, compileBody)
      return continuing(compileAssignment({ kind: 'name', name: node.name }, make, place))
    }
    case 'callBlock':
      return compileCallBlock(node, place)
    case 'filterBlock':
      return compileFilterBlock(node, place)
    case 'with':
      return compileWith(node, place)
    case 'generation':
      return compileGeneration(node, place)
    case 'block':
      return compileBlock(node)
    case 'load':
      return () => {
        throw new TemplateError('unsupported', `the tag ${node.tag} is not supported: there is nothing to load from`)
      }
    case 'break':
    case 'continue': {
      if (!place.inLoop) throw new TemplateError('syntax', `${node.kind} outside of a loop`, node.line)
      const signal = node.kind === 'break' ? breakLoop : nextRound
      return () => signal
    }
  }
}

function continuing(run: (frame: Frame) => void): Execute {
  return (frame) => {
    run(frame)
    return goOn
  }
}

function compileOutput(node: Output, place: Body): Execute {
  const items = node.items.map((item) =>
    typeof item === 'string' ? item : { print: compilePrint(item.expression, place), line: item.line },
  )
  return (frame) => {
    const { context } = frame
    for (const item of items) {
      if (typeof item === 'string') context.write(item)
      else {
        context.line = item.line
        context.write(item.print(frame))
      }
    }
    return goOn
  }
}

function compileIf(node: If, place: Body): Execute {
  const soft = { ...place, soft: true }
  const branches = [node, ...node.elifs].map((branch) => ({
    test: compileExpression(branch.test, soft),
    body: compileBody(branch.body, soft),
  }))
  const otherwise = compileBody(node.otherwise, soft)
  return (frame) => {
    for (const { test, body } of branches) if (truth(test(frame))) return body(frame)
    return otherwise(frame)
  }
}

/** The items that a loop's test lets through; the test is a function of its own. */
function compileLoopTest(node: For, place: Body): (frame: Frame, items: Value) => Value {
  if (node.test === null) return (_, items) => items
  const scope = new FunctionScope(place.symbols.scope.depth + 1)
  const symbols = place.symbols.inner(scope)
  walkTarget(node.target, (name) => symbols.parameter(name))
  analyseExpression(node.test, symbols)
  const enter = compileEnter(symbols)
  const assign = compileTarget(node.target, symbols)
  const test = compileExpression(node.test, within(place, symbols))
  function* passing(outer: Frame, items: Value): Generator<Value> {
    const frame = new Frame(outer.context, outer, scope.size)
    enter(frame)
    for (const item of iterate(items)) {
      step()
      assign(frame, item)
      if (truth(test(frame))) yield item
    }
  }
  return (frame, items) => new Lazy('loop', passing(frame, items))
}

function compileFor(node: For, place: Body, line: number): Execute {
  walkStatements([{ ...node, line }], (name, kind) => {
    if (name === 'loop' && kind === 'store') {
      throw new TemplateError('syntax', "can't assign to special loop variable in for-loop target", line)
    }
  })
  const iterable = compileExpression(node.iterable, place)
  const filter = compileLoopTest(node, place)
  const scope = node.recursive ? new FunctionScope(place.symbols.scope.depth + 1) : place.symbols.scope
  const symbols = place.symbols.inner(scope)
  const usesLoop = node.recursive || undeclared(node.body, ['loop']).has('loop')
  const loopSlot = usesLoop ? symbols.parameter('loop').slot : -1
  walkTarget(node.target, (name) => symbols.parameter(name))
  analyse(node.body, symbols)
  const enter = compileEnter(symbols)
  const assign = compileTarget(node.target, symbols)
  const body = compileBody(node.body, { ...within(place, symbols), inLoop: true })
  const elseSymbols = place.symbols.inner(scope)
  analyse(node.otherwise, elseSymbols)
  const enterElse = compileEnter(elseSymbols)
  const otherwise = compileBody(
    node.otherwise,
    within({ ...place, inLoop: place.inLoop && !node.recursive }, elseSymbols),
  )

  /** One pass over `items`; the else branch runs when no round came to its end. */
  const run = (frame: Frame, items: Value, loop: LoopRound | null): Signal => {
    if (loop !== null) frame.slots[loopSlot] = new Loop(loop)
    let completed = false
    for (const item of loop ?? iterate(items)) {
      step()
      assign(frame, item)
      enter(frame)
      const signal = body(frame)
      if (signal === breakLoop) break
      if (signal === goOn) completed = true
    }
    if (completed || node.otherwise.length === 0) return goOn
    enterElse(frame)
    return otherwise(frame)
  }
  if (!node.recursive) {
    return (frame) => {
      const items = filter(frame, iterable(frame))
      return run(frame, items, usesLoop ? new LoopRound(items, 0, null) : null)
    }
  }
  return (frame) => {
    const recurse = (items: Value, depth: number): string =>
      deeper(() => {
        const inner = new Frame(frame.context, frame, scope.size)
        const passed = filter(frame, items)
        const round = new LoopRound(passed, depth, (more) => recurse(more, depth + 1))
        return frame.context.capture(() => run(inner, passed, round)).text
      })
    frame.context.write(recurse(iterable(frame), 0))
    return goOn
  }
}

/** A body whose text is caught for what `compileUse` makes of it; one that is left early is not used. */
function compileCaptured(
  body: readonly Statement[],
  place: Body,
  compileUse: (within: Body, text: () => string) => (frame: Frame) => void,
): Execute {
  const symbols = place.symbols.inner()
  analyse(body, symbols)
  const enter = compileEnter(symbols)
  const inner = within(place, symbols)
  const run = compileBody(body, inner)
  let text = ''
  const use = compileUse({ ...inner, block: () => text }, () => text)
  return (frame) => {
    enter(frame)
    const written = frame.context.capture(() => run(frame))
    if (written.result !== goOn) return written.result
    text = written.text
    use(frame)
    return goOn
  }
}

function compileSetBlock({ body, filter, target }: SetBlock, place: Body): Execute {
  return compileCaptured(body, place, (inner, text) => {
    const value: Evaluate = filter === null ? text : compileExpression(filter, inner)
    return compileAssignment(target, value, place)
  })
}

function compileFilterBlock({ body, filter }: FilterBlock, place: Body): Execute {
  return compileCaptured(body, place, (inner) => {
    const print = compilePrint(filter, inner)
    return (frame) => frame.context.write(print(frame))
  })
}

function compileWith(node: With, place: Body): Execute {
  const symbols = place.symbols.inner()
  for (const target of node.targets) walkTarget(target, (name) => symbols.parameter(name))
  analyse(node.body, symbols)
  const enter = compileEnter(symbols)
  const assignments = node.targets.map((target, i) => {
    return [compileTarget(target, symbols), compileExpression(node.values[i]!, place)] as const
  })
  const body = compileBody(node.body, within(place, symbols))
  return (frame) => {
    enter(frame)
    for (const [assign, value] of assignments) assign(frame, value(frame))
    return body(frame)
  }
}

function compileCallBlock(node: CallBlock, place: Body): Execute {
  const makeCaller = compileMacro(node, '', place, compileBody)
  const call = compileCall(node.call, place, ['caller', makeCaller])
  return continuing((frame) => frame.context.write(str(call(frame))))
}

function compileGeneration(node: Generation, place: Body): Execute {
  const make = compileMacro({ parameters: [], defaults: [], body: node.body }, '', place, compileBody)
  return (frame) => {
    const { context } = frame
    const begin = context.written
    const text = make(frame).call([], null) as string
    context.spans.push([begin, begin + text.length])
    context.write(text)
    return goOn
  }
}

/** A named block is rendered where it stands, and sees what the top of the template has assigned. */
function compileBlock(node: Block): Execute {
  const scope = new FunctionScope(0)
  const symbols = new Symbols(scope, null)
  analyse(node.body, symbols)
  const enter = compileEnter(symbols)
  const body = compileBody(node.body, { symbols, soft: false, top: false, inLoop: false })
  return (frame) => {
    const inner = new Frame(frame.context, null, scope.size)
    enter(inner)
    return body(inner)
  }
}
