/** Where two values of JSON differ first. */

export interface Difference {
  /** As `layers[0].width`; '' for the whole. */
  path: string
  a: unknown
  b: unknown
}

/** @param same - whether two values that are no objects count as equal. */
export function firstDifference(
  a: unknown,
  b: unknown,
  path = '',
  same: (a: unknown, b: unknown) => boolean = Object.is,
): Difference | undefined {
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null)
    return same(a, b) ? undefined : { path, a, b }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
    const inner = Array.isArray(a) ? `${path}[${key}]` : path === '' ? key : `${path}.${key}`
    const found = firstDifference(a[key as keyof typeof a], b[key as keyof typeof b], inner, same)
    if (found !== undefined) return found
  }
  return undefined
}
