/** The metadata of a GGUF file by typed keys: what is missing or of another type is said by its name. */
import { FedloraError } from '../errors.js'
import type { GgufContents, GgufElement, GgufField } from '../native/binding.js'
import { native } from '../native/load.js'

/** Whether a path names a GGUF file. */
export function isGgufPath(path: string): boolean {
  return /\.gguf$/i.test(path)
}

export class GgufMetadata {
  readonly path: string
  readonly tensors: GgufContents['tensors']
  readonly #fields: ReadonlyMap<string, GgufField>

  constructor(path: string, { fields, tensors }: GgufContents) {
    this.path = path
    this.tensors = tensors
    this.#fields = new Map(fields.map((field) => [field.name, field]))
  }

  has(name: string): boolean {
    return this.#fields.has(name)
  }

  /** Whether the key holds a list. */
  isList(name: string): boolean {
    return this.#fields.get(name)?.list === true
  }

  /** Names of all keys, in file order. */
  get names(): readonly string[] {
    return [...this.#fields.keys()]
  }

  /** @throws FedloraError `E_FORMAT`. */
  fail(name: string, expected: string): never {
    const field = this.#fields.get(name)
    const got = field === undefined ? 'nothing' : field.list ? `a list of ${field.type}` : `${field.value}`.slice(0, 80)
    throw new FedloraError(
      'E_FORMAT',
      `${this.path}: ${name}: expected ${expected}, got ${got}; get the file anew, or convert the model again`,
      {
        path: this.path,
        field: name,
      },
    )
  }

  #one<T extends GgufElement>(name: string, expected: string, is: (value: unknown) => value is T): T | undefined {
    const field = this.#fields.get(name)
    if (field === undefined) return undefined
    if (field.list || !is(field.value)) this.fail(name, expected)
    return field.value
  }

  #all<T extends GgufElement>(
    name: string,
    expected: string,
    is: (value: unknown) => value is T,
  ): readonly T[] | undefined {
    const field = this.#fields.get(name)
    if (field === undefined) return undefined
    const { list, value } = field
    if (!list || !Array.isArray(value) || (value.length > 0 && !is(value[0]))) this.fail(name, expected)
    return value as T[]
  }

  text(name: string): string | undefined {
    return this.#one(name, 'a text', isText)
  }

  flag(name: string): boolean | undefined {
    return this.#one(name, 'true or false', (value): value is boolean => typeof value === 'boolean')
  }

  /** A whole number from 0 on. */
  whole(name: string): number | undefined {
    return this.#one(
      name,
      'a whole number',
      (value): value is number => Number.isSafeInteger(value) && (value as number) >= 0,
    )
  }

  /** A finite number. */
  number(name: string): number | undefined {
    return this.#one(name, 'a number', (value): value is number => Number.isFinite(value))
  }

  /** Tokens that end a turn or a text, each once. */
  endTokenIds(): number[] {
    const ids = ['eos', 'eot', 'eom'].map((name) => this.whole(`tokenizer.ggml.${name}_token_id`))
    return [...new Set(ids.filter((id) => id !== undefined))]
  }

  texts(name: string): readonly string[] | undefined {
    return this.#all(name, 'a list of texts', isText)
  }

  flags(name: string): readonly boolean[] | undefined {
    return this.#all(name, 'a list of true and false', (value): value is boolean => typeof value === 'boolean')
  }

  numbers(name: string): readonly number[] | undefined {
    return this.#all(name, 'a list of numbers', (value): value is number => typeof value === 'number')
  }
}

const isText = (value: unknown): value is string => typeof value === 'string'

/**
 * Reads the header of a file.
 * @param lists - also the long lists: the vocabulary.
 * @throws FedloraError `E_FORMAT`, `E_VERSION`, `E_SHAPE`, `E_DTYPE`, `E_MISSING`, `E_IO`.
 */
export function readGguf(path: string, lists = false): GgufMetadata {
  return new GgufMetadata(path, native().readGguf(path, lists))
}
