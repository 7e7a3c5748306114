/** Typed access to a foreign JSON object (`config.json`, `adapter_config.json`): what is wrong is named by file, field, got and expected. */
import { describeValue } from '../errors/describe.js'
import { FedloraError } from '../errors.js'
import type { Json } from '../files/json.js'

export class Fields {
  /** `where` is the file, for messages; `prefix` the path of this object inside it. */
  constructor(
    readonly values: Json,
    readonly where: string,
    readonly prefix = '',
    /** The fields that were asked for. */
    readonly read = new Set<string>(),
  ) {}

  /** True when the field is there and not null. */
  has(field: string): boolean {
    this.read.add(field)
    return this.values[field] !== undefined && this.values[field] !== null
  }

  /** The same file with other values for some fields. */
  with(values: Json): Fields {
    return new Fields({ ...this.values, ...values }, this.where, this.prefix, this.read)
  }

  fail(field: string, expected: string): never {
    const got = describeValue(this.values[field])
    throw new FedloraError('E_CONFIG', `${this.where}: ${this.prefix}${field} is ${got}, expected ${expected}`, {
      file: this.where,
      field: `${this.prefix}${field}`,
      got: this.values[field],
      expected,
    })
  }

  #get<T>(field: string, fallback: T | undefined, expected: string, accepts: (value: unknown) => value is T): T {
    this.read.add(field)
    const value = this.values[field]
    if (value === undefined || value === null) {
      if (fallback === undefined) this.fail(field, expected)
      return fallback
    }
    if (!accepts(value)) this.fail(field, expected)
    return value
  }

  /** A whole number from `least` to `most`; null and absent give the fallback, or fail without one. */
  integer(field: string, fallback?: number, least = 1, most = 2 ** 31 - 1): number {
    return this.#get(
      field,
      fallback,
      `a whole number from ${least} to ${most}`,
      (value): value is number =>
        Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most,
    )
  }

  /** A finite number above zero. */
  positive(field: string, fallback?: number): number {
    return this.#get(
      field,
      fallback,
      'a number above 0',
      (value): value is number => typeof value === 'number' && Number.isFinite(value) && value > 0,
    )
  }

  /** A finite number of any sign. */
  number(field: string, fallback?: number): number {
    return this.#get(
      field,
      fallback,
      'a number',
      (value): value is number => typeof value === 'number' && Number.isFinite(value),
    )
  }

  boolean(field: string, fallback?: boolean): boolean {
    return this.#get(field, fallback, 'true or false', (value): value is boolean => typeof value === 'boolean')
  }

  string(field: string, fallback?: string): string {
    return this.#get(field, fallback, 'a string', (value): value is string => typeof value === 'string')
  }

  /** A nested object, or undefined when absent or null. */
  object(field: string): Fields | undefined {
    this.read.add(field)
    const value = this.values[field]
    if (value === undefined || value === null) return undefined
    if (typeof value !== 'object' || Array.isArray(value)) this.fail(field, 'an object')
    return new Fields(value as Json, this.where, `${this.prefix}${field}.`)
  }

  /** A list of strings, or undefined when absent or null. */
  strings(field: string): string[] | undefined {
    return this.#list(field, 'a list of strings', (item): item is string => typeof item === 'string')
  }

  /** A list of finite numbers above zero. */
  positives(field: string): number[] {
    const expected = 'a list of numbers above 0'
    const isPositive = (item: unknown): item is number => typeof item === 'number' && Number.isFinite(item) && item > 0
    return this.#list(field, expected, isPositive) ?? this.fail(field, expected)
  }

  /** A list of zeros and ones (or false and true) as booleans, or undefined when absent or null. */
  flags(field: string): boolean[] | undefined {
    const isFlag = (item: unknown): item is boolean | number => [0, 1, false, true].includes(item as number)
    return this.#list(field, 'a list of 0 and 1', isFlag)?.map(Boolean)
  }

  #list<T>(field: string, expected: string, accepts: (item: unknown) => item is T): T[] | undefined {
    this.read.add(field)
    const value = this.values[field]
    if (value === undefined || value === null) return undefined
    if (!Array.isArray(value) || !value.every(accepts)) this.fail(field, expected)
    return value as T[]
  }

  /** One token id or a list of them; absent or null: none. Ids below 0 are how some configs say "none" (`pad_token_id: -1`). */
  tokenIds(field: string): number[] {
    const value = this.values[field]
    if (value === undefined || value === null) return []
    const list = Array.isArray(value) ? value : [value]
    if (list.some((id) => !Number.isSafeInteger(id))) this.fail(field, 'a token id or a list of token ids')
    return (list as number[]).filter((id) => id >= 0)
  }
}
