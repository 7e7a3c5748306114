/**
 * A federation without rounds over HTTPS whose server, or whose clients, are killed with SIGKILL at a sample of all their writes, flushes, renames and
 * sends: nothing is lost, nothing counts twice, and the adapter is what the journal says. All points: `node scripts/kill-points.mjs --kind buffers`.
 */
import { isFound, survives } from './kill/survives.js'

const kind = 'buffers'
survives({ role: 'server', kind, kills: [['datasync#14'], [131, 47], [353]], least: 400 })
survives({ role: 'clients', kind, kills: [['rename#40'], [571, 83]], least: 900 })
isFound({ kind, variant: 'twice', kills: [['datasync#13'], ['datasync#15']] })
