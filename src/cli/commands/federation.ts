/** `fedlora federation`: what the operator of a server asks and says, whether it runs or not. */

import { type Operator, operate } from '../../server/operate.js'
import { type Command, configFlag } from '../command.js'
import type { Output } from '../output.js'
import { planServer, serverFlags, serverSections } from '../serve/sections.js'
import { clientsTable, standingLines } from '../serve/standing.js'
import { UsageError } from '../usage.js'
import { formatTime, shownPath } from '../words.js'

const actions = ['invite', 'status', 'clients', 'revoke', 'pause', 'resume', 'abandon-round', 'stop', 'export'] as const
type Action = (typeof actions)[number]

function nameOf(flags: Record<string, unknown>, action: Action): string {
  if (typeof flags.name === 'string' && flags.name !== '') return flags.name
  throw new UsageError(`fedlora federation ${action}: --name NAME is required: whom?`, { flag: 'name' })
}

async function show(action: 'status' | 'clients', operator: Operator, output: Output) {
  const standing = await operator.standing()
  const { runs } = operator
  if (action === 'clients') output.text(clientsTable(standing))
  else for (const line of standingLines(standing, runs)) output.text(line)
  return { runs, ...standing }
}

async function invite(operator: Operator, name: string, hours: number, output: Output) {
  const token = await operator.invite(name, 3600 * hours)
  const expires = new Date(Date.now() + 3_600_000 * hours)
  output.note(`for ${name}, once, until ${formatTime(expires)}:`)
  output.text(token)
  return { name, token, expires: expires.toISOString() }
}

/** Commands of one word. */
const verbs = { pause: 'pause', resume: 'resume', 'abandon-round': 'abandonRound' } as const

export const federation: Command = {
  name: 'federation',
  words: [
    {
      name: 'action',
      description:
        'invite: a join token for the client --name; revoke: shuts it out; pause, resume: rounds; abandon-round: the one under way; stop: ends the federation with what it has; export: writes the adapter of the last round that has ended',
      choices: actions,
      required: true,
    },
  ],
  flags: {
    ...configFlag,
    ...serverFlags,
    name: { type: 'string', value: 'NAME', description: 'the client, as the federation calls it (invite, revoke)' },
    hours: { type: 'number', value: 'N', description: 'hours in which a token must be used (invite)', default: 24 },
  },
  sections: serverSections,
  async run({ flags, config, output }) {
    const action = flags.action as Action
    const hours = flags.hours as number
    if (!(hours > 0)) throw new UsageError(`--hours: got ${hours}, expected a number above 0`, { flag: 'hours' })
    const name = action === 'invite' || action === 'revoke' ? nameOf(flags, action) : ''
    const plan = await planServer(flags, config)
    return await operate(plan.config, async (operator) => {
      if (action === 'status' || action === 'clients') return await show(action, operator, output)
      if (action === 'invite') return await invite(operator, name, hours, output)
      if (action === 'revoke') {
        await operator.revoke(name)
        output.text(`${name} is shut out; a new invitation lets it in again`)
        return { name }
      }
      if (action === 'export') {
        const path = await operator.exportAdapter()
        output.text(`adapter: ${shownPath(path)}`)
        return { adapter: path }
      }
      if (action === 'stop') {
        // The server ends with it, and can be asked nothing more.
        await operator.stop()
        output.text('the federation is over with what it has')
        return { state: 'finished' }
      }
      await operator[verbs[action]]()
      const { state, round, rounds } = await operator.standing()
      output.text(`${state} after round ${round} of ${rounds}`)
      return { state, round, rounds }
    })
  },
}
