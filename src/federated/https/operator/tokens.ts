/**
 * Who may see and who may act, on the operator's side of a server. Two tokens lie in the server's folder, in files that only its owner reads:
 *
 *   operator.token   sees everything and acts
 *   observer.token   sees everything
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { FedloraError } from '../../../errors.js'
import { exists, ioError } from '../../../files/atomic.js'
import { writeSecret } from '../../../files/secret-file.js'

export type Role = 'operator' | 'observer'
const roles: readonly Role[] = ['operator', 'observer']

const hashOf = (text: string) => createHash('sha256').update(text).digest()

/** The token of a role; made when there is none. @throws FedloraError `E_IO`. */
async function openRoleToken(folder: string, role: Role): Promise<string> {
  const path = join(folder, `${role}.token`)
  if (!(await exists(path))) await writeSecret(path, `${randomBytes(32).toString('base64url')}\n`)
  const token = await readFile(path, 'utf8').catch((error) => {
    throw ioError(error, `cannot read '${path}'`)
  })
  if (token.trim().length >= 32) return token.trim()
  throw new FedloraError('E_FORMAT', `'${path}' holds no token; remove it, and the server makes another`, { path })
}

export class Roles {
  private constructor(readonly tokens: Readonly<Record<Role, Buffer>>) {}

  static async open(folder: string): Promise<Roles> {
    const [operator, observer] = await Promise.all(roles.map((role) => openRoleToken(folder, role)))
    return new Roles({ operator: hashOf(operator!), observer: hashOf(observer!) })
  }

  /**
   * The role of whoever sent `Authorization: Bearer …`, compared in constant time.
   * @throws FedloraError `E_AUTH` for nobody, and for an observer who would act.
   */
  of(authorization: string | undefined, wanted: Role): Role {
    const token = /^Bearer ([A-Za-z0-9_-]{1,200})$/.exec(authorization ?? '')?.[1]
    const hash = hashOf(token ?? '')
    const role = roles.find((role) => timingSafeEqual(hash, this.tokens[role]))
    if (token === undefined || role === undefined) {
      throw new FedloraError(
        'E_AUTH',
        'expected Authorization: Bearer with the token in operator.token or observer.token of the server’s folder',
      )
    }
    if (wanted === 'operator' && role !== 'operator') {
      throw new FedloraError('E_AUTH', 'an observer only looks; acting takes the token in operator.token', {
        status: 403,
      })
    }
    return role
  }
}
