// A training service. The run belongs to the server: browsers watch it through Server-Sent Events, come late, leave, come back.
//
//   curl -X POST localhost:3000/train -H 'content-type: application/json' -d '[{"instruction":"Greet.","output":"Hello!"}]'
//   curl -N localhost:3000/events
//   curl -N -X POST localhost:3000/generate -H 'content-type: application/json' -d '{"instruction":"Greet."}'
import express from 'express'
import { isFedloraError, loadDataset, loadModel, train } from 'fedlora'

const model = await loadModel(process.env.MODEL ?? 'model', { quantization: 'nf4' })
const adapter = model.createAdapter({ rank: 8 })
let run

const app = express()
app.use(express.json({ limit: '10mb' }))

app.post('/train', async (request, response) => {
  if (run !== undefined) return response.status(409).json({ error: 'a run is under way, or was: see /events' })
  const data = await loadDataset(request.body, { format: 'alpaca', tokenizer: model })
  run = train(adapter, data, { maxSteps: Number(process.env.STEPS ?? 20), batchSize: 4, learningRate: 1e-3 })
  run.catch((error) => console.error(error.message)) // viewers are told by the events
  response.status(202).json({ rows: data.length })
})

app.get('/events', async (_request, response) => {
  if (run === undefined) return response.status(404).json({ error: 'nothing runs; POST /train first' })
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
  // From the first event on, however late this viewer came. Leaving ends the loop and not the run.
  const events = run.events()
  response.on('close', () => events.return())
  for await (const event of events) response.write(`data: ${JSON.stringify(event)}\n\n`)
  response.end()
})

app.post('/generate', async (request, response) => {
  const abort = new AbortController()
  response.on('close', () => abort.abort())
  response.type('text/plain')
  for await (const piece of model.generate(request.body, {
    adapter,
    format: 'alpaca',
    maxTokens: 100,
    signal: abort.signal,
  })) {
    response.write(piece)
  }
  response.end()
})

app.use((error, _request, response, _next) => {
  const known = isFedloraError(error)
  if (response.headersSent) return response.end()
  response.status(known ? 400 : 500).json({ code: known ? error.code : 'E_INTERNAL', message: error.message })
})

const server = app.listen(Number(process.env.PORT ?? 3000), () => console.log(`listening on ${server.address().port}`))
process.once('SIGTERM', () => server.close(() => process.exit()))
