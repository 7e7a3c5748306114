/** What a native failure looks like before `load.ts` wraps it. */
import type { ErrorCode } from '../../errors.js'

/** What a native failure looks like before it is wrapped. */
export interface NativeFailure extends Error {
  code: ErrorCode
}
