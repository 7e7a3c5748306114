/**
 * Wraps the addon's objects so that every failure leaves as a `FedloraError`: the native code is kept, and the stack is that of
 * the JavaScript caller (an error made on an engine thread has none of its own).
 */
import { type ErrorCode, errorCodes, FedloraError } from '../errors.js'

const rawOf = new WeakMap<object, object>()
const guardOf = new WeakMap<object, object>()

function unwrap(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(unwrap)
  return typeof value === 'object' && value !== null ? (rawOf.get(value) ?? unwrapFields(value)) : value
}

/** Request objects, and lists of them, may carry a native object in a field (`MergeRequest.adapter`). */
function unwrapFields(value: object): object {
  if (Object.getPrototypeOf(value) !== Object.prototype) return value
  const entries = Object.entries(value)
  if (!entries.some(([, field]) => typeof field === 'object' && field !== null && rawOf.has(field))) return value
  return Object.fromEntries(entries.map(([key, field]) => [key, unwrap(field)]))
}

/** A native failure as a `FedloraError` whose stack is `trace`'s; other errors become `E_INTERNAL`. */
export function toFedloraError(error: unknown, trace: Error): FedloraError {
  if (error instanceof FedloraError) return error
  const code = (error as { code?: unknown } | null)?.code
  const known = errorCodes.includes(code as ErrorCode)
  const message = error instanceof Error ? error.message : String(error)
  const failure = new FedloraError(known ? (code as ErrorCode) : 'E_INTERNAL', message, {}, error)
  failure.borrowStack(trace.stack)
  return failure
}

function isNativeObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && typeof (value as { dispose?: unknown }).dispose === 'function'
}

function wrapResult(value: unknown): unknown {
  return isNativeObject(value) ? guard(value) : value
}

/** The same object, its methods guarded; objects that they return are guarded too. */
export function guard<T extends object>(target: T): T {
  const known = guardOf.get(target)
  if (known !== undefined) return known as T
  const proxy = new Proxy(target, {
    get(raw, key) {
      let member: unknown
      try {
        member = Reflect.get(raw, key, raw)
      } catch (error) {
        throw toFedloraError(error, new Error())
      }
      if (typeof member !== 'function') return member
      return (...given: unknown[]) => {
        const callTrace = new Error()
        try {
          const result: unknown = member.apply(raw, given.map(unwrap))
          if (!(result instanceof Promise)) return wrapResult(result)
          return result.then(wrapResult, (error) => {
            throw toFedloraError(error, callTrace)
          })
        } catch (error) {
          throw toFedloraError(error, callTrace)
        }
      }
    },
  })
  rawOf.set(proxy, target)
  guardOf.set(target, proxy)
  return proxy as T
}
