/** The commands of docs/deployment.md as they are printed, on one machine: only port, name and token are others. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { serverSections } from '../../src/cli/serve/sections.js'
import { fedlora, objects } from '../support/command.js'
import { fencedBlocks } from '../support/fenced-blocks.js'
import { begin, freePort } from './support/served.js'

const page = readFileSync(resolve('docs/deployment.md'), 'utf8')
/** Without the section on NATS, which nats-deployment.test.ts runs. */
const overHttps = page.slice(0, page.indexOf('## Over NATS')) + page.slice(page.indexOf('## Firewalls'))
const blocks = fencedBlocks(overHttps)
const commands = blocks
  .filter(({ language }) => language === 'console')
  .flatMap(({ text }) => text.match(/^\$ fedlora .*$/gm) ?? [])
  .map((line) =>
    line
      .replace(/\s+#.*$/, '')
      .split(' ')
      .slice(2),
  )

/** The one command of the page that begins like this. */
function printed(...beginning: string[]): string[] {
  const found = commands.filter((words) => beginning.every((word, i) => words[i] === word))
  if (found.length !== 1) throw new Error(`${found.length} commands begin with ${beginning.join(' ')}`)
  return found[0]!
}

t.test('a first federation, from the file to the adapter', async (t) => {
  const root = t.testdir({})
  const { text } = blocks.find(({ info }) => info === 'file=federation.yaml')!
  const config = parse(text)
  config.listen = { host: '127.0.0.1', port: await freePort(), admin: { port: 0 } }
  config.tls.names = ['127.0.0.1']
  writeFileSync(join(root, 'federation.yaml'), stringify(config))
  cpSync(resolve('assets/gsm-3m'), join(root, 'SmolLM2-135M-Instruct'), { recursive: true })
  const rows = Array.from({ length: 6 }, (_, i) =>
    JSON.stringify({ instruction: `Add one to ${i}.`, output: `${i + 1}` }),
  )
  writeFileSync(join(root, 'notes.jsonl'), rows.join('\n'))

  const invite = async (name: string) => {
    const { stdout } = await fedlora(printed('federation', 'invite', '--config', 'federation.yaml', '--name', name), {
      cwd: root,
    })
    t.match(stdout, /^fedlora_\S+\n$/, 'one word')
    return stdout.trim()
  }
  const tokens = [await invite('hospital-a'), await invite('hospital-b')]
  const server = begin(t, printed('serve'), root)
  await server.seen('listening')
  const waiting = await fedlora(printed('federation', 'status'), { cwd: root })
  t.match(waiting.stdout, /"discharge-letters": waiting: 2 more clients; 0 of 2 have joined/)
  const clients = tokens.map((token, i) => {
    writeFileSync(join(root, `token-${i}.txt`), `${token}\n`, { mode: 0o600 })
    const words = printed('join').map((word) => (word === 'token.txt' ? `token-${i}.txt` : word))
    return begin(
      t,
      words.map((word) => (word === './federation' ? `./federation-${i}` : word)),
      root,
    )
  })
  for (const client of clients) t.match(await client.ended, { code: 0 })
  t.match(await server.ended, { code: 0 })
  t.equal(objects((await server.ended).stdout).filter(({ type }) => type === 'round').length, 2)
  const table = await fedlora(printed('federation', 'clients'), { cwd: root })
  t.match(table.stdout, /hospital-a .*\nhospital-b /)
  const adapter = JSON.parse(readFileSync(join(root, 'server', 'adapter', 'adapter_config.json'), 'utf8'))
  t.equal(adapter.r, 8)
})

t.test('flags and fields that the page names are there', async (t) => {
  const join = (await import('../../src/cli/commands/join.js')).join
  const federation = (await import('../../src/cli/commands/federation.js')).federation
  const { nats } = await import('../../src/cli/commands/nats.js')
  const known = Object.keys({ ...join.flags, ...federation.flags, ...nats.flags })
  const named = [...page.matchAll(/`--([a-z-]+)/g)].map(([, flag]) => flag!)
  t.ok(named.length > 12)
  const unknown = (flags: readonly string[]) => flags.filter((flag) => ![...known, 'adapter', 'json'].includes(flag))
  t.same(unknown(named), [])
  t.same(unknown(['approve', 'aprove']), ['aprove'], 'canary')
  const actions = federation.words![0]!.choices!
  for (const words of commands.filter(([name]) => name === 'federation')) t.ok(actions.includes(words[1]!), words[1]!)
  for (const section of ['listen', 'tls', 'clients', 'limits']) t.ok(section in (await serverSections()))
})
