/** The page of a server: what it may load, that it is whole, and the stream that it shows. `scripts/check-page.mjs` looks at it in a browser. */
import t from 'tap'
import { pageFile, pageHeaders, standingStream } from '../../src/federated/https/page.js'
import type { Standing } from '../../src/federated/link/standing.js'

const text = (path: string) => Buffer.from(pageFile(path)!.body).toString('utf8')
const paths = ['/', '/page.css', '/page.js']

/** Everything in the files of a page that reaches out of it, or makes markup of text. */
function strays(files: readonly string[]): string[] {
  const outside = /(?:https?:)?\/\/(?!www\.w3\.org\/2000\/svg)[\w-]+\.\w+[^\s'"]*/g
  const markup =
    /innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|\bon\w+=|style="|@import/g
  return files.flatMap((file) => [...file.matchAll(outside), ...file.matchAll(markup)].map(([found]) => found))
}

const standing: Standing = {
  name: 'cardiology',
  run: '0'.repeat(32),
  state: 'waiting',
  waitsFor: '2 more clients',
  round: 0,
  rounds: 3,
  deadline: null,
  clients: [],
  history: [],
  problems: [],
  bytesUp: 0,
  bytesDown: 0,
}

t.test('three files, each with a policy that lets it load nothing from elsewhere', async (t) => {
  for (const path of paths) {
    const { headers, body } = pageFile(path)!
    t.match(headers['content-security-policy'], /^default-src 'none'; script-src 'self'; style-src 'self';/)
    t.match(headers, { 'x-content-type-options': 'nosniff', 'content-length': String(body.length) })
  }
  t.match(pageFile('/')!.headers['content-type'], /^text\/html/)
  t.match(pageFile('/page.js')!.headers['content-type'], /^text\/javascript/)
  t.notMatch(pageHeaders['content-security-policy'], /unsafe|\*|http/)
  for (const path of ['/index.html', '/page.js/', '/../package.json', '/__proto__', '/constructor', ''])
    t.equal(pageFile(path), undefined, path)
})

t.test('nothing in it reaches outside, and nothing becomes markup', async (t) => {
  t.same(strays(paths.map(text)), [])
  t.equal(
    strays(['<script src="https://cdn.example.org/x.js">', 'a.innerHTML = b', '<p onclick=x>']).length,
    3,
    'canary',
  )
})

t.test('what the script looks for is on the page, and everything has a name', async (t) => {
  const page = text('/')
  const ids = [...page.matchAll(/ id="([\w-]+)"/g)].map(([, id]) => id!)
  t.equal(new Set(ids).size, ids.length)
  const wanted = [...text('/page.js').matchAll(/element\('([\w-]+)'\)/g)].map(([, id]) => id!)
  t.ok(wanted.length > 10)
  t.same(
    wanted.filter((id) => !ids.includes(id)),
    [],
  )
  for (const [, label] of page.matchAll(/(?:aria-labelledby|for)="([\w-]+)"/g)) t.ok(ids.includes(label!), label!)
  t.match(page, /<html lang="en">/)
  t.match(page, /role="status" aria-live="polite"/)
})

t.test('the stream: at once, when something has changed, and a sign of life in between', async (t) => {
  const end = new AbortController()
  const pieces: string[] = []
  let reads = 0
  const read = () => {
    reads++
    if (reads === 8) end.abort()
    return { ...standing, round: reads < 4 ? 0 : 1 }
  }
  for await (const piece of standingStream(read, end.signal, { every: 1, comment: 2 })) pieces.push(piece)
  t.same(JSON.parse(pieces[0]!.slice('data: '.length)), standing)
  t.equal(pieces.filter((piece) => piece.startsWith('data: ')).length, 2, 'one event a change')
  t.equal(pieces.filter((piece) => piece.startsWith(': ')).length, 3)
  for (const piece of pieces) t.ok(piece.endsWith('\n\n') && !piece.slice(0, -2).includes('\n'))
  t.equal(reads, 8, 'it ends with the signal')
})
