/** Where `fedlora join` has its token from: never more than one place, and what is wrong names the place and not the token. */
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readToken } from '../../src/cli/join/token.js'
import { formatJoinToken } from '../../src/federated/https/join-token.js'
import { fedlora } from '../support/command.js'

const tokenOf = (host: string) =>
  formatJoinToken({
    address: `https://${host}:8443`,
    run: randomBytes(16).toString('hex'),
    key: randomBytes(32).toString('base64url'),
    secret: randomBytes(32).toString('base64url'),
  })
const [typed, filed, piped, exported] = ['typed', 'filed', 'piped', 'exported'].map(tokenOf) as [string, ...string[]]
const folder = t.testdir()
const file = join(folder, 'token.txt')
writeFileSync(file, `${filed}\n`)
const never = async () => t.fail('the standard input is not read') as never
const input = async () => `${piped}\n`

t.test('a file, the standard input, the environment, the command line', async (t) => {
  t.equal((await readToken({ 'token-file': file }, never, {})).trim(), filed)
  t.equal((await readToken({ 'token-file': '-' }, input, {})).trim(), piped)
  t.equal((await readToken({ token: '-' }, input, {})).trim(), piped)
  t.equal(await readToken({}, never, { FEDLORA_TOKEN: exported }), exported)
  t.equal(await readToken({ token: typed }, never, {}), typed)
  t.equal((await readToken({ 'token-file': file }, never, { FEDLORA_TOKEN: exported })).trim(), filed, 'a flag wins')
  t.equal(await readToken({ token: typed }, never, { FEDLORA_TOKEN: exported }), typed)
})

t.test('what is missing, double, empty or damaged is refused, and the token is not repeated', async (t) => {
  const empty = join(folder, 'empty.txt')
  const damaged = join(folder, 'damaged.txt')
  writeFileSync(empty, ' \n')
  writeFileSync(damaged, filed!.slice(0, -2))
  const wrong: [Parameters<typeof readToken>, code: string, words: RegExp][] = [
    [[{}, never, {}], 'E_ARGUMENT', /no join token: give --token-file FILE, or FEDLORA_TOKEN/],
    [[{}, never, { FEDLORA_TOKEN: '' }], 'E_ARGUMENT', /no join token/],
    [[{ token: typed, 'token-file': file }, never, {}], 'E_ARGUMENT', /leave one of them out/],
    [[{ token: '-', 'token-file': '-' }, never, {}], 'E_ARGUMENT', /leave one of them out/],
    [[{ 'token-file': join(folder, 'nothing') }, never, {}], 'E_MISSING', /'.*nothing' does not exist/],
    [[{ 'token-file': folder }, never, {}], 'E_MISSING', /cannot be read/],
    [[{ 'token-file': empty }, never, {}], 'E_TOKEN', /empty\.txt' is empty/],
    [[{ 'token-file': damaged }, never, {}], 'E_TOKEN', /^'.*damaged\.txt': /],
    [[{ token: '-' }, async () => 'yes', {}], 'E_TOKEN', /^the standard input: /],
    [[{}, never, { FEDLORA_TOKEN: exported!.slice(5) }], 'E_TOKEN', /^FEDLORA_TOKEN: /],
  ]
  for (const [given, code, message] of wrong) await t.rejects(readToken(...given), { code, message }, String(message))
  const error = await readToken({ 'token-file': damaged }, never, {}).catch((error: Error) => error)
  t.notMatch(JSON.stringify(error), filed!.slice(20, 40))
})

t.test('as a process', async (t) => {
  const places = ['--data', file, '--model', folder, '--folder', join(folder, 'client')]
  const none = await fedlora(['join', ...places], { environment: { FEDLORA_TOKEN: '' } })
  t.match(none, { code: 2, stderr: /no join token/ })
  const cut = await fedlora(['join', ...places], { environment: { FEDLORA_TOKEN: typed!.slice(0, -1) } })
  t.match(cut, { code: 2, stderr: /FEDLORA_TOKEN: .*check sum|FEDLORA_TOKEN: .*missing/ })
})
