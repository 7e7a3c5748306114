/** The section of docs/deployment.md on NATS as it is printed, on one machine: only ports, names of files and of the machine are others. */
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { parse, stringify } from 'yaml'
import { fedlora, objects } from '../support/command.js'
import { fencedBlocks } from '../support/fenced-blocks.js'
import { temporaryFolder } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'
import { begin } from './support/served.js'

const page = readFileSync(resolve('docs/deployment.md'), 'utf8')
const section = page.slice(page.indexOf('## Over NATS'), page.indexOf('## Firewalls'))
const blocks = fencedBlocks(section)
const commands = blocks
  .flatMap(({ text }) => text.match(/^\$ fedlora .*$/gm) ?? [])
  .map((line) => line.split(' ').slice(2))

/** The one command of the section that begins like this. */
function printed(...beginning: string[]): string[] {
  const found = commands.filter((words) => beginning.every((word, i) => words[i] === word))
  if (found.length !== 1) throw new Error(`${found.length} commands begin with ${beginning.join(' ')}`)
  return found[0]!
}

t.test('a first federation over NATS, as the page tells it', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-deployment')
  const init = printed('nats', 'init')
  const flagOf = (flag: string) => init[init.indexOf(flag) + 1]!
  const names = flagOf('--clients').split(',')
  const nats = await natsOf(t, root, 'fedlora', names)
  t.equal((await fedlora(init, { cwd: t.testdir() })).code, 0, 'as printed')

  const { text } = blocks.find(({ info }) => info === 'file=nats.yaml')!
  const config = parse(text)
  t.match(config.nats, { url: /^nats:/, credentials: `./${flagOf('--folder')}/server.seed`, monitor: /^http:/ })
  config.nats = { ...config.nats, url: nats.servers, credentials: nats.files.server, monitor: nats.monitor }
  config.listen = { admin: { port: 0 } }
  writeFileSync(join(root, 'nats.yaml'), stringify(config))
  cpSync(resolve('assets/gsm-3m'), join(root, 'SmolLM2-135M-Instruct'), { recursive: true })
  const rows = Array.from({ length: 6 }, (_, i) =>
    JSON.stringify({ instruction: `Add one to ${i}.`, output: `${i + 1}` }),
  )
  writeFileSync(join(root, 'notes.jsonl'), rows.join('\n'))

  const server = begin(t, printed('serve'), root)
  await server.seen('listening')
  const status = await fedlora(printed('federation', 'status'), { cwd: root })
  t.match(status.stdout, /"discharge-letters": waiting: 2 more clients; 0 of 2 have joined/)
  const clients = names.map((name) => {
    const words = printed('join').map((word) => (word === 'hospital-a.json' ? nats.files.clients[name]! : word))
    return begin(
      t,
      words.map((word) => (word === './federation' ? `./federation-${name}` : word)),
      root,
    )
  })
  for (const client of clients) t.match(await client.ended, { code: 0 })
  t.match(await server.ended, { code: 0 })
  t.equal(objects((await server.ended).stdout).filter(({ type }) => type === 'round').length, 2)
  t.ok(readFileSync(join(root, 'server', 'adapter', 'adapter_model.safetensors')).length > 0)
})
