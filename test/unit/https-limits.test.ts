import t from 'tap'
import { Nonces } from '../../src/federated/https/nonces.js'
import { limitsSchema } from '../../src/federated/https/options.js'
import { TokenBuckets } from '../../src/federated/https/server/buckets.js'
import { Budget, Shares } from '../../src/federated/https/server/budget.js'
import { findRoute } from '../../src/federated/https/server/router.js'
import { Waiting } from '../../src/federated/https/server/waiting.js'

t.test('buckets: so many at once, so many a second, and who rests is forgotten', async (t) => {
  const buckets = new TokenBuckets({ perSecond: 2, burst: 3 }, 4)
  t.same(
    [1, 2, 3].map(() => buckets.take('a', 10)),
    [0, 0, 0],
  )
  t.equal(buckets.take('a', 10), 0.5, 'half a second until the next')
  t.equal(buckets.wait('a', 10.25), 0.25)
  t.equal(buckets.take('b', 10), 0, 'others have their own')
  t.equal(buckets.take('a', 10.5), 0)
  t.equal(buckets.take('a', 10.5), 0.5)
  t.equal(buckets.take('a', 9), 0.5, 'a clock that goes back gives nothing')
  t.equal(buckets.size, 1, 'b has all its tokens again')
  buckets.take('c', 20)
  t.equal(buckets.size, 1, 'and a has')
  for (const key of 'defgh') buckets.take(key, 20)
  t.equal(buckets.size, 4, 'bounded')
})

t.test('nonces count once for as long as their date is accepted, and no more are kept than fit', async (t) => {
  const nonces = new Nonces(300, 4)
  t.equal(nonces.use('a', 0), 'new')
  t.equal(nonces.use('a', 0), 'seen')
  t.equal(nonces.use('a', 299), 'seen')
  t.equal(nonces.use('a', 301), 'seen', 'in the next generation')
  t.equal(nonces.use('a', 599), 'seen')
  t.equal(nonces.use('a', 601), 'new', 'after two lifetimes at the latest')
  for (const nonce of 'bcd') nonces.use(nonce, 601)
  t.equal(nonces.use('e', 601), 'full', 'refused, not forgotten')
  t.equal(nonces.use('a', 601), 'seen')
  t.equal(nonces.use('e', 2000), 'new')
  t.equal(nonces.size, 1)
})

t.test('budgets and shares come back once', async (t) => {
  const budget = new Budget(10)
  const six = budget.take(6)!
  t.equal(budget.take(5), undefined)
  t.ok(budget.take(4))
  six()
  six()
  t.equal(budget.used, 4)
  t.ok(new Budget(10).take(11), 'alone, even what is too large')
  const shares = new Shares(2)
  const first = shares.take('a')!
  t.ok(shares.take('a'))
  t.equal(shares.take('a'), undefined)
  t.ok(shares.take('b'))
  first()
  first()
  t.ok(shares.take('a'))
  t.equal(shares.take('a'), undefined)
})

t.test('routes: exact paths, nothing decoded, methods told', async (t) => {
  const routes = [
    { name: 'run', method: 'GET', path: '/v1/run', handle: 1 },
    { name: 'down', method: 'GET', path: '/v1/blobs/', last: /^[0-9a-f]{4}$/, handle: 2 },
    { name: 'up', method: 'PATCH', path: '/v1/blobs/', last: /^[0-9a-f]{4}$/, handle: 3 },
  ]
  const find = (method: string, target: string) => findRoute(routes, method, target)
  t.equal(find('GET', '/v1/run').route.handle, 1)
  t.equal(find('GET', '/v1/run?x=1').query.get('x'), '1')
  t.match(find('PATCH', '/v1/blobs/ab12'), { route: { handle: 3 }, last: 'ab12' })
  t.throws(() => find('PUT', '/v1/blobs/ab12'), { code: 'E_UNSUPPORTED', details: { methods: ['GET', 'PATCH'] } })
  const nowhere = [
    '',
    '*',
    'x',
    '/',
    '/v1/run/',
    '//v1/run',
    '/v1/../v1/run',
    '/v1/%72un',
    '/V1/run',
    '/v1/blobs/',
    '/v1/blobs/..%2f',
    '/v1/blobs/../run',
    '/v1/blobs/ab12/',
    '/v1/blobs/AB12',
    '/v1/run\u0000',
    'http://x/v1/run',
    `/${'a'.repeat(5000)}`,
  ]
  for (const target of nowhere) t.throws(() => find('GET', target), { code: 'E_MISSING' }, target.slice(0, 40))
})

t.test('waiting: one request a client, no more than there are places', async (t) => {
  const gone = new AbortController()
  const until = (signal: AbortSignal) =>
    new Promise<string>((resolve) => signal.addEventListener('abort', () => resolve('none')))
  const waiting = new Waiting(1, 1000)
  const first = waiting.wait('a', 1000, gone.signal, until)
  t.equal(waiting.size, 1)
  const second = waiting.wait('a', 1000, gone.signal, until)
  t.equal(await first, 'none', 'the same client has asked again')
  t.ok(waiting.pause > 0, 'no place: ask again later')
  t.equal(await waiting.wait('b', 1000, gone.signal, until), 'none', 'no place: answered at once')
  gone.abort()
  t.equal(await second, 'none', 'nobody listens any more')
  t.equal(waiting.size, 0)
  t.equal(waiting.pause, 0)
  t.equal(await waiting.wait('a', 0.01, new AbortController().signal, until), 'none', 'as long as it wants')
  t.equal(await waiting.wait('a', 1, new AbortController().signal, async () => 'news'), 'news')
})

t.test(
  'connections of a server that was told nothing take at most 225 MiB, and those that wait leave room for others',
  async (t) => {
    const { connections, waiting } = limitsSchema.parse({})
    t.ok(connections * 150 * 1024 <= 225 * 2 ** 20)
    t.ok(2 * waiting <= connections)
  },
)
