/**
 * A federation over HTTPS whose server, or whose clients, are killed with SIGKILL at a sample of all their writes, flushes, renames and sends; nothing is
 * lost, nothing counts twice, and the adapter has the bits of the one that nobody disturbed. All points: `node scripts/kill-points.mjs`.
 */
import { isFound, survives } from './kill/survives.js'

/** The points of lives of worlds: `count` of the first, evenly from `first` on, and for the second of each pair one while it recovers. */
const sample = (count: number, first: number, step: number) =>
  Array.from({ length: count }, (_, i) => (i % 2 === 0 ? [first + i * step] : [first + i * step, 20 + 9 * i]))

const has = ['open', 'writeFile/half', 'sync', 'rename', '_writeGeneric', '_writeGeneric/half']
survives({ role: 'server', kills: [['datasync#13'], ...sample(3, 37, 161)], least: 400, has })
survives({ role: 'clients', kills: [['rename#40'], ...sample(3, 61, 311)], least: 900, has })

const masked = { kind: 'masked', where: ', where updates travel masked' } as const
survives({ ...masked, role: 'server', kills: [['datasync#21', 30], [601]], least: 1000 })
survives({ ...masked, role: 'clients', kills: [['rename#33'], [1103, 41]], least: 1500 })

for (const variant of ['lost', 'twice']) isFound({ variant, kills: [['datasync#13']] })
