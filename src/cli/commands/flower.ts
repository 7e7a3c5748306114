/** `fedlora flower`: makes the key of a node, and joins the federations of a Flower server with it. */

import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { keygenFlower } from '../../flower/key/keygen.js'
import { type Command, configFlag, text } from '../command.js'
import { flowerJoinFlags, flowerSections, joinFlowerServer } from '../flower-join.js'
import { shownPath } from '../words.js'

export const flower: Command = {
  name: 'flower',
  words: [
    {
      name: 'action',
      description: 'keygen: makes a key, NAME and NAME.pub; join: takes part in the federations of the server at URL',
      choices: ['keygen', 'join'],
      required: true,
    },
    {
      name: 'subject',
      description: 'SUBJECT: NAME of the key, or URL of the server (https://host:port)',
      required: true,
    },
  ],
  flags: { ...configFlag, ...flowerJoinFlags },
  sections: flowerSections,
  ignoredSections: ['split', 'federation'],
  async run(context) {
    const { flags, output } = context
    const subject = text(flags, 'subject')!
    if (flags.action === 'join') return { ...(await joinFlowerServer(subject, context)) }
    const made = await keygenFlower(resolve(subject), hostname())
    output.text(`private key: ${shownPath(made.privateFile)} (stays here)`)
    output.text(
      `public key:  ${shownPath(made.publicFile)} (for the operator: flwr supernode register ${shownPath(made.publicFile)})`,
    )
    return made
  },
}
