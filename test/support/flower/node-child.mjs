// A node in a process of its own, to be killed: URL, key and folder.
import { runFlowerNode } from '../../../dist/flower/index.js'

const [url, key, folder] = process.argv.slice(2)
const pace = { shortest: 0.005, longest: 0.02, poll: 0.005, heartbeat: 30, grace: 0.02 }
const run = runFlowerNode({
  url,
  key,
  folder,
  idle: 0.2,
  pace,
  work({ kind, arrays }) {
    const metrics = { loss: 0.5, 'num-examples': 10n }
    if (kind !== 'train') return { metrics }
    return {
      arrays: new Map([...arrays].map(([name, { shape, data }]) => [name, { shape, data: data.map((x) => x + 1) }])),
      metrics,
    }
  },
})
console.log('started')
await run
