/** What an operator may ask and do. */
import { z } from 'zod'
import { FedloraError } from '../../../errors.js'
import { parseOptions } from '../../../options/parse.js'
import type { Standing } from '../../link/standing.js'
import type { Route } from '../server/router.js'
import { type OperatorRoute, readCommand, streamStanding } from './listener.js'
import type { Audit } from './log.js'
import type { Metrics } from './metrics.js'

/** A federation as its operator holds it. */
export interface Operations {
  standing(): Standing | Promise<Standing>
  /** A join token as it is pasted. */
  invite(name: string, seconds: number): Promise<string>
  revoke(name: string): Promise<void>
  pause(who: string): Promise<void>
  resume(who: string): Promise<void>
  abandonRound(who: string): Promise<void>
  stop(who: string, why?: string): Promise<void>
  /** Path of the adapter as it stands. */
  exportAdapter(): Promise<{ path: string }>
  /** Whether it can take answers: undefined, or what is in the way. */
  trouble(): Promise<string | undefined>
}

const name = z.string().min(1).max(200)
const inviteSchema = z.strictObject({ name, seconds: z.number().min(1).max(3.2e7).default(86_400) })
const nameSchema = z.strictObject({ name })
const nothingSchema = z.strictObject({})
const stopSchema = z.strictObject({ why: z.string().max(1000).optional() })

export function operatorRoutes(operations: Operations, metrics: Metrics, audit: Audit): Route<OperatorRoute>[] {
  const get = (path: string, run: OperatorRoute['run'], role?: OperatorRoute['role']): Route<OperatorRoute> => ({
    name: path,
    method: 'GET',
    path,
    handle: { role, run },
  })

  /** A command that changes something: it is noted before it is done, and again when it failed. */
  const act = <S extends z.ZodType>(
    verb: string,
    schema: S,
    run: (given: z.output<S>, who: string) => Promise<unknown>,
  ) => ({
    name: verb,
    method: 'POST',
    path: `/v1/admin/${verb}`,
    handle: {
      role: 'operator' as const,
      async run({ request, role }: Parameters<OperatorRoute['run']>[0]) {
        const given = parseOptions(schema, await readCommand(request), verb)
        const about = { ...(given as object), address: request.socket.remoteAddress }
        audit.note(role, verb, about)
        try {
          return (await run(given, role)) ?? { done: verb }
        } catch (error) {
          audit.note(role, `${verb} failed`, { ...about, why: (error as Error).message })
          throw error
        }
      },
    },
  })

  return [
    get('/healthz', async () => ({ healthy: true })),
    get('/readyz', async () => {
      const trouble = await operations.trouble()
      if (trouble === undefined) return { ready: true }
      throw new FedloraError('E_UNREACHABLE', trouble)
    }),
    get('/metrics', async ({ response }) => {
      const { type, text } = await metrics.text()
      response.writeHead(200, { 'content-type': type }).end(text)
      return undefined
    }),
    get('/v1/standing', ({ response }) => streamStanding(response, () => operations.standing()), 'observer'),
    get('/v1/admin/status', async () => await operations.standing(), 'observer'),
    get('/v1/admin/clients', async () => (await operations.standing()).clients, 'observer'),
    act('invite', inviteSchema, async ({ name, seconds }) => ({ name, token: await operations.invite(name, seconds) })),
    act('revoke', nameSchema, ({ name }) => operations.revoke(name)),
    act('pause', nothingSchema, (_, who) => operations.pause(who)),
    act('resume', nothingSchema, (_, who) => operations.resume(who)),
    act('abandon-round', nothingSchema, (_, who) => operations.abandonRound(who)),
    act('stop', stopSchema, ({ why }, who) => operations.stop(who, why)),
    act('export', nothingSchema, () => operations.exportAdapter()),
  ]
}
