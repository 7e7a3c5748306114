/** Names on the wire: paths, header fields and the version of the protocol, the same for server and client. */

/** Raised when the meaning of anything on the wire changes. */
export const protocolVersion = 1

/** Header field of every request and answer: the version that it is written in. */
export const versionField = 'fedlora-protocol'

export const paths = {
  enroll: '/v1/enroll',
  describe: '/v1/run',
  next: '/v1/next',
  say: '/v1/words',
  blobs: '/v1/blobs/',
} as const

/** A field of a message, joined as RFC 9110 §5.2 says when it came more than once; undefined when it did not come. */
export function fieldOf(headers: NodeJS.Dict<string | string[]>, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

const decimal = /^(0|[1-9]\d{0,15})$/

/** A count of bytes or seconds as fields carry it; undefined for anything else. */
export function wholeNumber(text: string | undefined | null): number | undefined {
  if (typeof text !== 'string' || !decimal.test(text)) return undefined
  const value = Number(text)
  return Number.isSafeInteger(value) ? value : undefined
}
