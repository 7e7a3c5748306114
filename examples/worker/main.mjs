// Training in a worker thread. The engine has threads of its own, so that this is never needed to keep the event loop free; a worker is
// for code around the training that computes, or to end everything at once with terminate().
import { Worker } from 'node:worker_threads'
import { FedloraError } from 'fedlora'

const worker = new Worker(new URL('./worker.mjs', import.meta.url), {
  workerData: { model: process.env.MODEL ?? 'model', steps: Number(process.env.STEPS ?? 20) },
})
worker.on('message', (message) => {
  if (message.type === 'step') console.log(`step ${message.step}: loss ${message.loss.toFixed(4)}`)
  else if (message.type === 'result') console.log(`done: ${message.steps} steps`)
  else if (message.type === 'failed') {
    const error = FedloraError.from(message.error) // its code and details came along
    console.error(`${error.code}: ${error.message}`)
    process.exitCode = 1
  }
})
