/** What may stand where a tokenizer is wanted. */
import { FedloraError } from '../../errors.js'
import { loadTokenizer } from './load-tokenizer.js'
import { Tokenizer } from './tokenizer.js'

/** Something that has a tokenizer, at once or when asked, such as a loaded model. */
export interface TokenizerOwner {
  readonly tokenizer: Tokenizer | (() => Tokenizer | Promise<Tokenizer>)
}

/** What may stand where a tokenizer is wanted: one, a folder, a loaded model, or an object with the path of a folder. */
export type TokenizerLike = Tokenizer | string | TokenizerOwner | { readonly path: string }

/** Whether {@link resolveTokenizer} can make something of `value`. */
export function isTokenizerLike(value: unknown): value is TokenizerLike {
  if (typeof value === 'string') return value !== ''
  if (typeof value !== 'object' || value === null) return false
  const { tokenizer, path } = value as { tokenizer?: unknown; path?: unknown }
  const owner = tokenizer instanceof Tokenizer || typeof tokenizer === 'function'
  return value instanceof Tokenizer || owner || typeof path === 'string'
}

/** The tokenizer of any {@link TokenizerLike}. */
export async function resolveTokenizer(source: TokenizerLike): Promise<Tokenizer> {
  if (!isTokenizerLike(source)) {
    const message = 'tokenizer: expected a Tokenizer, the folder of one, or a loaded model'
    throw new FedloraError('E_ARGUMENT', message, { field: 'tokenizer' })
  }
  if (source instanceof Tokenizer) return source
  if (typeof source === 'string') return loadTokenizer(source)
  const { tokenizer, path } = source as Partial<TokenizerOwner & { path: string }>
  if (typeof tokenizer === 'function') return tokenizer.call(source)
  return tokenizer ?? loadTokenizer(path as string)
}
