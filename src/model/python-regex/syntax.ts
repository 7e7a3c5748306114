/** The tree of a Python regular expression. */
import type { CharacterSet } from './characters.js'

/** Inline flags, as bits. */
export const flag = { i: 1, m: 2, s: 4, x: 8, a: 16, u: 32 } as const

export type Node =
  | { kind: 'character'; set: CharacterSet }
  /** `.` */
  | { kind: 'any' }
  /** `^ $ \A \Z \b \B` */
  | { kind: 'at'; where: '^' | '$' | 'A' | 'Z' | 'b' | 'B' }
  | { kind: 'repeat'; min: number; max: number; mode: 'greedy' | 'lazy' | 'possessive'; body: Sequence }
  /** `index` 0: not captured. `on` and `off` are flags that hold inside. */
  | { kind: 'group'; index: number; on: number; off: number; body: Sequence }
  | { kind: 'branch'; options: Sequence[] }
  | { kind: 'atomic'; body: Sequence }
  /** Look ahead, or behind by `width` characters. */
  | { kind: 'look'; negative: boolean; behind: number | undefined; body: Sequence }
  | { kind: 'reference'; group: number }
  | { kind: 'conditional'; group: number; yes: Sequence; no: Sequence }

export type Sequence = readonly Node[]

export interface Tree {
  body: Sequence
  /** Flags of the whole expression. */
  flags: number
  /** Numbers of the named groups. */
  names: ReadonlyMap<string, number>
  /** Captured groups, the whole match not counted. */
  groups: number
}

type Width = readonly [least: number, most: number]

/** Characters that a sequence may take; `groups` are the widths of the groups that are closed. */
export function widthOf(sequence: Sequence, groups: readonly (Width | undefined)[]): Width {
  let least = 0
  let most = 0
  for (const node of sequence) {
    const [a, b] = nodeWidth(node, groups)
    least += a
    most += b
  }
  return [least, most]
}

function nodeWidth(node: Node, groups: readonly (Width | undefined)[]): Width {
  switch (node.kind) {
    case 'character':
    case 'any':
      return [1, 1]
    case 'at':
    case 'look':
      return [0, 0]
    case 'repeat': {
      const [least, most] = widthOf(node.body, groups)
      return [least * node.min, most * node.max]
    }
    case 'group':
    case 'atomic':
      return widthOf(node.body, groups)
    case 'branch':
      return either(node.options.map((option) => widthOf(option, groups)))
    case 'conditional':
      return either([widthOf(node.yes, groups), widthOf(node.no, groups)])
    case 'reference':
      return groups[node.group] ?? [0, Number.POSITIVE_INFINITY]
  }
}

function either(widths: readonly Width[]): Width {
  return [Math.min(...widths.map(([least]) => least)), Math.max(...widths.map(([, most]) => most))]
}
