/** Folders that stand for clients: readable where a name allows it, safe and different where it does not. */
import { createHash } from 'node:crypto'
import t from 'tap'
import { clientFolders } from '../../src/federated/simulate/client-folders.js'

const digest = (name: string) => createHash('sha256').update(name).digest('hex').slice(0, 16)
const one = (name: string) => clientFolders([name])[0]

t.test('names of letters, digits, - _ and dots inside are their own folders', async (t) => {
  for (const name of ['client-7', 'Alice_B', 'v1.2', 'x']) t.equal(one(name), name)
})

t.test('what a path would understand is escaped', async (t) => {
  t.equal(one('..'), '%2E%2E')
  t.equal(one('.'), '%2E')
  t.equal(one('.hidden'), '%2Ehidden')
  t.equal(one('end.'), 'end%2E')
  t.equal(one('a/b\\c'), 'a%2Fb%5Cc')
  t.equal(one("a b~*'!()%"), 'a%20b%7E%2A%27%21%28%29%25')
  t.equal(one('jürgen'), 'j%C3%BCrgen')
})

t.test('long, empty and device names end in a digest', async (t) => {
  t.equal(one('x'.repeat(80)), 'x'.repeat(80))
  t.equal(one('x'.repeat(81)), `${'x'.repeat(80)}~${digest('x'.repeat(81))}`)
  t.equal(one(''), `~${digest('')}`)
  t.equal(one('CON'), `CON~${digest('CON')}`)
  t.equal(one('lpt1.txt'), `lpt1.txt~${digest('lpt1.txt')}`)
  t.equal(one('console'), 'console')
})

t.test('names that differ have folders that differ, also where case does not count', async (t) => {
  t.same(clientFolders(['Ann', 'ann', 'anne']), [`Ann~${digest('Ann')}`, `ann~${digest('ann')}`, 'anne'])
  const long = 'y'.repeat(90)
  const names = ['a', 'A', '%2E', '.', '..', 'a/b', 'a%2Fb', '', 'CON', 'con', `${long}1`, `${long}2`]
  // Names that look like what the rule makes of others.
  names.push(`A~${digest('A')}`, `~${digest('')}`, '%2e')
  const folders = clientFolders(names).map((folder) => folder.toLowerCase())
  t.equal(new Set(folders).size, names.length)
  for (const folder of folders) t.match(folder, /^[\w%~-][\w.%~-]{0,96}$/)
  t.equal(
    new Set(names.map((name) => name.toLowerCase())).size,
    names.length - 3,
    'canary: the names alone would collide',
  )
})
