/** A federation with workers, whose server or whose worker is killed with SIGKILL at a sample of all their writes and sends: nothing is lost, nothing counts twice, equal bits. */
import { isFound, survives } from './kill/survives.js'
import { skipNats as skip } from './support/nats-server.js'

const kind = 'workers'
survives({ role: 'server', kind, kills: [['datasync#9', 40], [333]], least: 500, skip })
survives({ role: 'worker', kind, kills: [[9], [22, 17], [41], ['_writeGeneric/half#30']], least: 60, skip })
isFound({ kind, variant: 'unsummed', kills: [['datasync#15'], ['datasync#16']], skip })
