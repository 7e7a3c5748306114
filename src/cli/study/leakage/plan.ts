/** The trials of the study, in groups that share an attacker. */
import { type Arm, arms, lengths, rank, type Sizes } from './design.js'
import type { MembershipTrial, TokenTrial } from './trial.js'

export type TokenWish = Pick<TokenTrial, 'attack' | 'arm' | 'round' | 'rank' | 'length' | 'victim'>
export type MembershipWish = Pick<MembershipTrial, 'attack' | 'arm' | 'seed'>

export type Group =
  | { attack: 'tokens'; round: 'first' | 'later'; rank: number; wishes: TokenWish[] }
  | { attack: 'membership'; seed: number; clients: number; wishes: MembershipWish[] }

export const armOf = (name: string): Arm => arms.find((arm) => arm.name === name)!

const upTo = (count: number) => Array.from({ length: count }, (_, i) => i + 1)

function tokenGroup(
  round: 'first' | 'later',
  rank: number,
  victims: number,
  tried: readonly { arm: string; length: number }[],
): Group {
  const keys = new Set(tried.map((one) => JSON.stringify(one)))
  const distinct = [...keys].map((key) => JSON.parse(key) as { arm: string; length: number })
  const wishes = distinct.flatMap(({ arm, length }) =>
    upTo(victims).map((victim): TokenWish => ({ attack: 'tokens', arm, round, rank, length, victim })),
  )
  return { attack: 'tokens', round, rank, wishes }
}

/** All that a study of these sizes tries. */
export function groupsOf({ arms: names, victims, ranks, lengths: charted, seeds }: Sizes): Group[] {
  const at = (length: number) => names.map((arm) => ({ arm, length }))
  const bare = charted.map((length) => ({ arm: 'nothing', length }))
  // How a client works means nothing to the attack on membership, whose clients train for longer.
  const protections = names.map(armOf).filter(({ name, protection }) => name === protection.name)
  const clients = Math.max(...protections.map(({ protection }) => protection.cohort))
  return [
    tokenGroup('first', rank, victims, at(lengths.first)),
    ...ranks.map((one) => tokenGroup('later', one, victims, one === rank ? [...at(lengths.later), ...bare] : bare)),
    ...upTo(seeds).map((seed): Group => {
      const wishes = protections.map(({ name }): MembershipWish => ({ attack: 'membership', arm: name, seed }))
      return { attack: 'membership', seed, clients, wishes }
    }),
  ]
}
