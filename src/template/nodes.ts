/** The syntax tree. */

import type { Value } from './values.js'

export interface Arguments {
  readonly args: readonly Expression[]
  readonly named: readonly (readonly [name: string, value: Expression])[]
  /** `*list` */
  readonly rest: Expression | null
  /** `**dict` */
  readonly namedRest: Expression | null
}

export type BinaryOperator = '+' | '-' | '*' | '/' | '//' | '%' | '**'
export type CompareOperator = '==' | '!=' | '<' | '<=' | '>' | '>=' | 'in' | 'not in'

export interface Name {
  readonly kind: 'name'
  readonly name: string
}
/** `a.b` where it is assigned to. */
export interface NamespaceTarget {
  readonly kind: 'namespaceTarget'
  readonly name: string
  readonly attribute: string
}
export interface TupleNode {
  readonly kind: 'tuple'
  readonly items: readonly Expression[]
}
export interface Slice {
  readonly kind: 'slice'
  readonly start: Expression | null
  readonly stop: Expression | null
  readonly step: Expression | null
}
export interface Call extends Arguments {
  readonly kind: 'call'
  readonly callee: Expression
}
export interface Filter extends Arguments {
  readonly kind: 'filter'
  /** Null in a filter block: what the block has written. */
  readonly input: Expression | null
  readonly name: string
  readonly line: number
}
export interface Test extends Arguments {
  readonly kind: 'test'
  readonly input: Expression
  readonly name: string
  readonly line: number
}

export type Expression =
  | { readonly kind: 'constant'; readonly value: Value }
  | Name
  | NamespaceTarget
  | TupleNode
  | { readonly kind: 'list'; readonly items: readonly Expression[] }
  | { readonly kind: 'dict'; readonly pairs: readonly (readonly [Expression, Expression])[] }
  | {
      readonly kind: 'binary'
      readonly operator: BinaryOperator
      readonly left: Expression
      readonly right: Expression
    }
  | { readonly kind: 'and' | 'or'; readonly left: Expression; readonly right: Expression }
  | { readonly kind: 'not' | 'negative' | 'positive'; readonly operand: Expression }
  | {
      readonly kind: 'compare'
      readonly first: Expression
      readonly rest: readonly (readonly [CompareOperator, Expression])[]
    }
  | { readonly kind: 'concat'; readonly items: readonly Expression[] }
  | {
      readonly kind: 'conditional'
      readonly test: Expression
      readonly value: Expression
      readonly otherwise: Expression | null
    }
  | { readonly kind: 'attribute'; readonly object: Expression; readonly name: string }
  | { readonly kind: 'item'; readonly object: Expression; readonly index: Expression }
  | Slice
  | Call
  | Filter
  | Test

export type Target = Name | NamespaceTarget | TupleNode

export interface Printed {
  readonly expression: Expression
  readonly line: number
}
export interface Output {
  readonly kind: 'output'
  /** Texts, and expressions to be printed. */
  readonly items: readonly (string | Printed)[]
}
export interface If {
  readonly kind: 'if'
  readonly test: Expression
  readonly body: readonly Statement[]
  readonly elifs: readonly If[]
  readonly otherwise: readonly Statement[]
}
export interface For {
  readonly kind: 'for'
  readonly target: Target
  readonly iterable: Expression
  readonly body: readonly Statement[]
  readonly otherwise: readonly Statement[]
  readonly test: Expression | null
  readonly recursive: boolean
}
export interface Set {
  readonly kind: 'set'
  readonly target: Target
  readonly value: Expression
}
export interface SetBlock {
  readonly kind: 'setBlock'
  readonly target: Target
  readonly filter: Filter | null
  readonly body: readonly Statement[]
}
export interface Signature {
  readonly parameters: readonly string[]
  /** Of the last parameters. */
  readonly defaults: readonly Expression[]
}
export interface MacroNode extends Signature {
  readonly kind: 'macro'
  readonly name: string
  readonly body: readonly Statement[]
}
export interface CallBlock extends Signature {
  readonly kind: 'callBlock'
  readonly call: Call
  readonly body: readonly Statement[]
}
export interface FilterBlock {
  readonly kind: 'filterBlock'
  readonly filter: Filter
  readonly body: readonly Statement[]
}
export interface With {
  readonly kind: 'with'
  readonly targets: readonly Target[]
  readonly values: readonly Expression[]
  readonly body: readonly Statement[]
}
/** `{% generation %}`: what the assistant says. */
export interface Generation {
  readonly kind: 'generation'
  readonly body: readonly Statement[]
}
export interface Block {
  readonly kind: 'block'
  readonly name: string
  readonly body: readonly Statement[]
}
/** extends, include, import, from: there is nothing to load from. */
export interface Load {
  readonly kind: 'load'
  readonly tag: string
  readonly stores: readonly string[]
}

export type Statement = { readonly line: number } & (
  | Output
  | If
  | For
  | Set
  | SetBlock
  | MacroNode
  | CallBlock
  | FilterBlock
  | With
  | Generation
  | Block
  | Load
  | { readonly kind: 'break' | 'continue' }
)
