/** A federation carried by a real NATS server from end to end: the doors of the package, real training, the adapter of `simulate`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { joinFederation } from '../../src/client/index.js'
import { simulate } from '../../src/federated/index.js'
import { loadModel } from '../../src/model/load.js'
import { checkDurable, connectNats, NatsLink, NatsServer, namesOf, tokenOf } from '../../src/nats/index.js'
import { createServer } from '../../src/server/index.js'
import { goldenFolder } from '../support/golden-model.js'
import { temporaryFolder, tokenRows } from '../support/train.js'
import { natsOf, skipNats } from './support/nats-server.js'

t.test('two clients, two rounds, through NATS', { skip: skipNats }, async (t) => {
  const root = temporaryFolder('nats-federation')
  const path = goldenFolder('llama')
  using model = await loadModel(path, { quantization: 'nf4', threads: 1 })
  const clients = ['a', 'b']
  const nats = await natsOf(t, root, 'test', clients)
  await checkDurable(nats.monitor)
  const names = namesOf('test')
  const adapter = { rank: 4, seed: 2 }
  const federation = { rounds: 2, seed: 3, local: { steps: 2, batchSize: 2, learningRate: 1e-3 } }
  const rows = await Promise.all(clients.map((_, i) => tokenRows(4 + i, 263, 7 * i)))

  const server = await createServer({
    folder: join(root, 'server'),
    listen: { host: '127.0.0.1', port: 0, admin: { port: 0 } },
    clients: { minimum: 2, minimumAnswers: 2 },
    model: { path, quantization: 'nf4' },
    adapter,
    data: { format: 'tokens' },
    federation,
  })
  const connection = await connectNats({ servers: nats.servers, credentials: nats.seeds.server })
  const served = await NatsServer.open({ connection, names, door: server.door, registry: server.door })
  const results = await Promise.all(
    clients.map(async (client, i) => {
      const own = await connectNats({
        servers: nats.servers,
        credentials: nats.seeds.clients[client]!,
        inbox: names.inbox(tokenOf(client)),
      })
      const link = await NatsLink.open({ connection: own, names, client, key: `key of ${client}` })
      const result = await joinFederation({ link, data: rows[i]!, model, folder: join(root, client) })
      await own.close()
      return result
    }),
  )
  t.same(
    results.map(({ counted }) => counted),
    [2, 2],
  )
  await server.over
  await served.close()
  await server.close()
  await connection.close()

  const folder = join(root, 'simulated')
  const run = simulate({
    model,
    adapter,
    clients: clients.map((name, i) => ({ name, train: rows[i]! })),
    ...federation,
    outputDir: folder,
  })
  using _ = (await run).adapter
  const file = join('adapter', 'adapter_model.safetensors')
  t.ok(readFileSync(join(root, 'server', file)).equals(readFileSync(join(folder, file))), "simulate's bits")
})
