/**
 * Keys are made while garbage is collected. Node 20 stands still for ever when a collection meets the export of a key of `generateKeyPair`, as JWK: both
 * want the lock of that key. With such keys this program ends once in four times.
 */
import { spawn } from 'node:child_process'
import { pathToFileURL } from 'node:url'
import t from 'tap'
import { follow } from '../support/programs.js'

const keys = pathToFileURL('dist/federated/https/keys.js').href

/** A small young generation, and garbage of varying size between two keys: collections come at any place. */
const program = `
  import { makeSigningKey } from ${JSON.stringify(keys)}
  for (let i = 0; i < 4000; i++) {
    for (let j = i % 97; j > 0; j--) 'x'.repeat(j) + j
    makeSigningKey()
  }`

t.test('four thousand keys', async (t) => {
  const words = ['--max-semi-space-size=1', '--input-type=module', '-e', program]
  const child = spawn('env', ['-u', 'NODE_OPTIONS', process.execPath, ...words])
  t.match(await follow(child, { patience: 120 }), { code: 0, hung: false, stderr: '' })
})
