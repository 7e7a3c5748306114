/**
 * Matches the tree of a Python regular expression, by backtracking, with the order of choices and the captures of Python's `re`: captures
 * of an earlier turn of a loop stay, a reference to a group that took no part fails, a loop ends after a turn that took nothing.
 */
import { FedloraError } from '../../errors.js'
import { contains, inCategory, lower } from './characters.js'
import { parsePattern } from './parse.js'
import { flag, type Node, type Sequence, type Tree } from './syntax.js'

/** Goes on behind position `at`; true when the rest matches. */
type Rest = (at: number) => boolean
/** Matches from `at` on and hands every end, in Python's order, to `rest`, until one is taken. */
type Matcher = (at: number, rest: Rest) => boolean

/** Expressions that need more turns than this on a module's name never end. */
const mostTurns = 2_000_000

/** Of so many turns that must be, those that take nothing are not taken one by one. */
const manyTurns = 100

class Run {
  readonly text: readonly number[]
  /** Begin and end of every group; −1: it took no part. */
  readonly marks: Int32Array
  #turns = 0

  constructor(
    readonly pattern: string,
    text: string,
    groups: number,
  ) {
    this.text = Array.from(text, (character) => character.codePointAt(0)!)
    this.marks = new Int32Array(2 * (groups + 1)).fill(-1)
  }

  /** Counts a turn of a loop. */
  turn(): void {
    if (++this.#turns <= mostTurns) return
    throw new FedloraError(
      'E_CONFIG',
      `the regular expression '${this.pattern}' does not come to an end on '${String.fromCodePoint(...this.text)}'; write it without repetitions inside repetitions`,
      { pattern: this.pattern },
    )
  }
}

function compileSequence(run: Run, sequence: Sequence, flags: number): Matcher {
  const parts = sequence.map((node) => compile(run, node, flags))
  if (parts.length === 1) return parts[0]!
  const from = (index: number, at: number, rest: Rest): boolean =>
    index === parts.length ? rest(at) : parts[index]!(at, (end) => from(index + 1, end, rest))
  return (at, rest) => from(0, at, rest)
}

/** The first end of `body`, or undefined; its captures stay. */
function once(body: Matcher, at: number): number | undefined {
  let end: number | undefined
  body(at, (reached) => {
    end = reached
    return true
  })
  return end
}

/** Does `attempt`; when it fails, the captures are as before. */
function undoing(run: Run, attempt: () => boolean): boolean {
  const before = run.marks.slice()
  if (attempt()) return true
  run.marks.set(before)
  return false
}

function compile(run: Run, node: Node, flags: number): Matcher {
  switch (node.kind) {
    case 'character':
    case 'any': {
      const accepts = acceptor(node, flags)
      return (at, rest) => at < run.text.length && accepts(run.text[at]!) && rest(at + 1)
    }
    case 'at':
      return (at, rest) => stands(run.text, at, node.where, flags) && rest(at)
    case 'group': {
      const body = compileSequence(run, node.body, innerFlags(flags, node.on, node.off))
      return node.index === 0 ? body : capture(run, node.index, body)
    }
    case 'branch': {
      const options = node.options.map((option) => compileSequence(run, option, flags))
      return (at, rest) => options.some((option) => option(at, rest))
    }
    case 'atomic': {
      const body = compileSequence(run, node.body, flags)
      return (at, rest) =>
        undoing(run, () => {
          const end = once(body, at)
          return end !== undefined && rest(end)
        })
    }
    case 'look':
      return look(run, node, compileSequence(run, node.body, flags))
    case 'reference':
      return reference(run, node.group, flags)
    case 'conditional': {
      const yes = compileSequence(run, node.yes, flags)
      const no = compileSequence(run, node.no, flags)
      return (at, rest) => (run.marks[2 * node.group + 1]! >= 0 ? yes : no)(at, rest)
    }
    case 'repeat':
      return repeat(run, node, flags)
  }
}

function innerFlags(flags: number, on: number, off: number): number {
  const types = flag.a | flag.u
  return ((on & types ? flags & ~types : flags) | on) & ~off
}

function acceptor(node: Node & { kind: 'character' | 'any' }, flags: number): (character: number) => boolean {
  if (node.kind === 'any') return (character) => Boolean(flags & flag.s) || character !== 10
  const ignoreCase = Boolean(flags & flag.i)
  const ascii = Boolean(flags & flag.a)
  return (character) => contains(node.set, character, ignoreCase, ascii)
}

function stands(text: readonly number[], at: number, where: string, flags: number): boolean {
  const newline = 10
  const end = text.length
  switch (where) {
    case '^':
      return at === 0 || (Boolean(flags & flag.m) && text[at - 1] === newline)
    case '$':
      return at === end || (text[at] === newline && (at === end - 1 || Boolean(flags & flag.m)))
    case 'A':
      return at === 0
    case 'Z':
      return at === end
    default: {
      const word = (index: number) =>
        index >= 0 && index < end && inCategory('w', text[index]!, Boolean(flags & flag.a))
      return end > 0 && (word(at - 1) !== word(at)) === (where === 'b')
    }
  }
}

function capture(run: Run, index: number, body: Matcher): Matcher {
  const { marks } = run
  return (at, rest) =>
    body(at, (end) => {
      const [from, to] = [marks[2 * index]!, marks[2 * index + 1]!]
      marks[2 * index] = at
      marks[2 * index + 1] = end
      if (rest(end)) return true
      marks[2 * index] = from
      marks[2 * index + 1] = to
      return false
    })
}

function look(run: Run, node: Node & { kind: 'look' }, body: Matcher): Matcher {
  return (at, rest) => {
    const begin = at - (node.behind ?? 0)
    if (node.negative) {
      const before = run.marks.slice()
      const found = begin >= 0 && once(body, begin) !== undefined
      run.marks.set(before)
      return !found && rest(at)
    }
    return undoing(run, () => begin >= 0 && once(body, begin) !== undefined && rest(at))
  }
}

function reference(run: Run, group: number, flags: number): Matcher {
  const same = (character: number) => (flags & flag.i ? lower(character, Boolean(flags & flag.a)) : character)
  return (at, rest) => {
    const [from, to] = [run.marks[2 * group]!, run.marks[2 * group + 1]!]
    if (to < 0 || at + to - from > run.text.length) return false
    for (let i = from; i < to; i++) if (same(run.text[i]!) !== same(run.text[at + i - from]!)) return false
    return rest(at + to - from)
  }
}

function repeat(run: Run, node: Node & { kind: 'repeat' }, flags: number): Matcher {
  const { min, max, mode } = node
  const body = compileSequence(run, node.body, flags)
  if (mode === 'possessive') return possessive(run, body, min, max)
  /** `last`: where the turn before began, once the least are done. */
  const turn = (count: number, at: number, last: number, rest: Rest): boolean => {
    run.turn()
    if (count < min) return body(at, (end) => turn(end === at && min > manyTurns ? min : count + 1, end, last, rest))
    const again = () => count < max && at !== last && body(at, (end) => turn(count + 1, end, at, rest))
    return mode === 'greedy' ? again() || rest(at) : rest(at) || again()
  }
  return (at, rest) => turn(0, at, -1, rest)
}

function possessive(run: Run, body: Matcher, min: number, max: number): Matcher {
  return (start, rest) =>
    undoing(run, () => {
      let at = start
      for (let count = 0; count < max; count++) {
        run.turn()
        const end = once(body, at)
        if (end === undefined && count < min) return false
        if (end === undefined || end === at) break
        at = end
      }
      return rest(at)
    })
}

/** What a match took: the whole and its groups. */
export interface PatternMatch {
  /** The text of a group by number or name; undefined when it took no part. */
  group(of: number | string): string | undefined
}

/** A Python regular expression. */
export class PythonPattern {
  readonly #tree: Tree

  /**
   * @param what - where the expression stands, for messages.
   * @throws FedloraError `E_CONFIG` for what Python refuses, `E_UNSUPPORTED` for `\N{…}`.
   */
  constructor(
    readonly source: string,
    what = 'pattern',
  ) {
    this.#tree = parsePattern(source, what)
  }

  #match(text: string, whole: boolean): PatternMatch | undefined {
    const { body, flags, groups, names } = this.#tree
    const run = new Run(this.source, text, groups)
    const matcher = capture(run, 0, compileSequence(run, body, flags))
    if (!matcher(0, (end) => !whole || end === run.text.length)) return undefined
    return {
      group: (of) => {
        const index = typeof of === 'string' ? (names.get(of) ?? groups + 1) : of
        const [from, to] = [run.marks[2 * index] ?? -1, run.marks[2 * index + 1] ?? -1]
        return to < 0 ? undefined : String.fromCodePoint(...run.text.slice(from, to))
      },
    }
  }

  /** As `re.match`: from the beginning. */
  match(text: string): PatternMatch | undefined {
    return this.#match(text, false)
  }

  /** As `re.fullmatch`: all of the text. */
  fullmatch(text: string): PatternMatch | undefined {
    return this.#match(text, true)
  }
}
