/**
 * A robust rule in the place of the mean. Each client's vectors lie end to end in a file until the round ends; the rule sees them as one
 * update, so that a client is selected with all it sent or with nothing. Clients are taken in the order of their names: ties go to the first
 * of them, and the order of answers changes no bit.
 */
import type { Combined, WholeRule } from '../../aggregation/rule.js'
import { chooseVectorRule } from '../../aggregation/rules/index.js'
import { UpdateFile, type UpdateSet } from '../../aggregation/update-set.js'
import { FedloraError } from '../../errors.js'
import type { Vectors } from '../algorithms/algorithm.js'
import type { RobustConfig } from '../robust-options.js'
import type { Collector } from './collect.js'

type Layout = readonly (readonly [name: string, length: number])[]

const layoutOf = (vectors: Readonly<Vectors>): Layout =>
  Object.keys(vectors)
    .sort()
    .map((name) => [name, vectors[name]!.length])

/** The most f that a rule holds against among n updates; at least 0. */
function mostFaulty(robust: RobustConfig, n: number): number {
  switch (robust.rule) {
    case 'krum':
      return Math.max(0, Math.floor((n - 3) / 2))
    case 'multikrum':
      return Math.max(0, Math.min(Math.floor((n - 3) / 2), n - 2 - (robust.m ?? 1)))
    case 'bulyan':
      return Math.max(0, Math.floor((n - 3) / 4))
    default:
      return Math.max(0, Math.floor((n - 1) / 2))
  }
}

/** The rule with the options that it has among n updates; `root` is added where it is known. */
function ruleFor(robust: RobustConfig, n: number, root?: Float32Array): { rule: WholeRule; options: object } {
  const { rule, ...given } = robust
  const f = 'f' in given || ['krum', 'multikrum', 'trimmedmean', 'bulyan'].includes(rule)
  const options = {
    ...given,
    ...(f && { f: (given as { f?: number }).f ?? mostFaulty(robust, n) }),
    ...(root && { root }),
  }
  return chooseVectorRule(rule, options) as { rule: WholeRule; options: object }
}

/**
 * Why n answers are not enough for a rule, in words; undefined: they are.
 * @param n - of clients that are averaged: the root of fltrust is none.
 */
function lacksForRule(robust: RobustConfig, n: number): string | undefined {
  if (robust.rule === 'fltrust') return n < 1 ? 'nobody but the root answered' : undefined
  const { rule, options } = ruleFor(robust, n)
  const lacking = rule.lacks?.(n, options)
  return lacking === undefined ? undefined : `rule ${robust.rule}: ${lacking}`
}

/**
 * @param most - updates of a round in which everybody answers: a cohort, or a buffer.
 * @throws FedloraError `E_CONFIG` when so many are too few for the rule, or its root is nobody.
 */
export function checkRobust(robust: RobustConfig | undefined, names: readonly string[], most: number): void {
  if (robust === undefined) return
  if (robust.rule === 'fltrust' && !names.includes(robust.root)) {
    const message = `robust.root: got '${robust.root}', expected the name of a client: ${names.slice(0, 20).join(', ')}`
    throw new FedloraError('E_CONFIG', message, { root: robust.root })
  }
  const lacking = lacksForRule(robust, robust.rule === 'fltrust' ? most - 1 : most)
  if (lacking === undefined) return
  const message = `robust: ${lacking}, and a round has ${most} at most; ask more clients in a round (cohort, asynchronous.buffer), or lower f`
  throw new FedloraError('E_CONFIG', message, { rule: robust.rule, most })
}

export class RobustCollector implements Collector {
  readonly #robust: RobustConfig
  readonly #folders: readonly string[]
  #file: UpdateFile | undefined
  #layout: Layout = []
  readonly #weights = new Map<string, number>()
  #combined: { value: Float32Array; selected: string[] | undefined } | undefined

  /** @param folders - the first that can be written takes the file of a round; at last the system's for temporary files. */
  constructor(robust: RobustConfig, folders: readonly string[]) {
    this.#robust = robust
    this.#folders = folders
  }

  begin(): void {
    this.#file?.reset()
    this.#weights.clear()
    this.#combined = undefined
  }

  async add(client: string, vectors: Readonly<Vectors>, weight: number): Promise<void> {
    const layout = layoutOf(vectors)
    if (this.#weights.size === 0) this.#layout = layout
    if (JSON.stringify(layout) !== JSON.stringify(this.#layout)) {
      const message = `client ${client} sent ${JSON.stringify(layout)}, others sent ${JSON.stringify(this.#layout)}: a robust rule compares like with like`
      throw new FedloraError('E_SHAPE', message, { client, got: layout, expected: this.#layout })
    }
    const joined = new Float32Array(layout.reduce((sum, [, length]) => sum + length, 0))
    let at = 0
    for (const [name, length] of layout) {
      joined.set(vectors[name]!, at)
      at += length
    }
    this.#file ??= await UpdateFile.create(this.#folders)
    await this.#file.add(client, joined)
    this.#weights.set(client, weight)
  }

  /** Those whose updates are combined, in the order of their names. */
  get #clients(): string[] {
    const { rule } = this.#robust
    const root = rule === 'fltrust' ? this.#robust.root : undefined
    return [...this.#weights.keys()].filter((client) => client !== root).sort()
  }

  lacks(): string | undefined {
    if (this.#robust.rule === 'fltrust' && !this.#weights.has(this.#robust.root))
      return `rule fltrust: the root, client ${this.#robust.root}, did not answer`
    return lacksForRule(this.#robust, this.#clients.length)
  }

  /** The clients that the rule selected, when it selects; known when a mean was asked for. */
  get selected(): readonly string[] | undefined {
    return this.#combined?.selected
  }

  mean(name: string): Float32Array | null {
    if (this.#weights.size === 0) return null
    this.#combined ??= this.#combine()
    let at = 0
    for (const [one, length] of this.#layout) {
      if (one === name) return this.#combined.value.subarray(at, at + length)
      at += length
    }
    return null
  }

  #combine(): { value: Float32Array; selected: string[] | undefined } {
    const file = this.#file!
    const ids = this.#clients
    const updates: UpdateSet = {
      ids,
      lengthOf: (id) => file.lengthOf(id),
      read: (id, begin, end, into) => file.read(id, begin, end, into),
    }
    const value = new Float32Array(this.#layout.reduce((sum, [, length]) => sum + length, 0))
    const root = this.#robust.rule === 'fltrust' ? file.read(this.#robust.root, 0, value.length) : undefined
    const { rule, options } = ruleFor(this.#robust, ids.length, root)
    const weights = ids.map((id) => this.#weights.get(id)!)
    const { selected }: Combined = rule.combine(updates, weights, value, options)
    return { value, selected: selected?.map((place) => ids[place]!) }
  }

  dispose(): void {
    this.#file?.dispose()
  }
}
