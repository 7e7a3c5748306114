/** Which handler answers a request: a table of methods and exact paths, one of which may end in a name. Nothing is normalised or decoded. */
import { FedloraError } from '../../../errors.js'

export interface Route<Handler> {
  /** What stands in logs and metrics for all paths of the route. */
  name: string
  method: string
  path: string
  /** What the last part of the path is like, where it is a name. */
  last?: RegExp
  handle: Handler
}

export interface Match<Handler> {
  route: Route<Handler>
  /** The last part of the path; '' where the route has none. */
  last: string
  query: URLSearchParams
}

/** @throws FedloraError `E_MISSING` for a path that there is not, `E_UNSUPPORTED` for a method that it does not have. */
export function findRoute<Handler>(routes: readonly Route<Handler>[], method: string, target: string): Match<Handler> {
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const there = routes.flatMap((route) => {
    if (route.last === undefined) return route.path === path ? [{ route, last: '' }] : []
    const last = path.startsWith(route.path) ? path.slice(route.path.length) : ''
    return route.last.test(last) ? [{ route, last }] : []
  })
  const found = there.find(({ route }) => route.method === method)
  if (found !== undefined) return { ...found, query: new URLSearchParams(mark < 0 ? '' : target.slice(mark)) }
  const shown = path.length > 100 ? `${path.slice(0, 100)}…` : path
  if (there.length === 0) throw new FedloraError('E_MISSING', `there is nothing at '${shown}'`)
  const methods = there.map(({ route }) => route.method)
  throw new FedloraError('E_UNSUPPORTED', `'${shown}' takes ${methods.join(', ')}, got ${method}`, { methods })
}
