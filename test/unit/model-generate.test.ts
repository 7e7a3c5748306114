/** Stop strings are cut exactly, wherever the pieces break. */
import t from 'tap'
import { flattenBatch, flattenIds } from '../../src/model/batch.js'
import { StopFilter } from '../../src/model/stop-filter.js'

function filtered(pieces: string[], stops: string[]): string {
  const filter = new StopFilter(stops)
  let out = ''
  for (const piece of pieces) {
    const { text, stopped } = filter.push(piece)
    out += text
    if (stopped) return out
  }
  return out + filter.finish()
}

/** Every way to cut a text into pieces of one to three characters, by a small fixed sequence of lengths. */
function cut(text: string, lengths: number[]): string[] {
  const pieces: string[] = []
  for (let at = 0, i = 0; at < text.length; i++) {
    const length = lengths[i % lengths.length]!
    pieces.push(text.slice(at, at + length))
    at += length
  }
  return pieces
}

t.test('the text ends before the first stop string', (t) => {
  const text = 'one\n\ntwo ### three <<end>> four'
  for (const lengths of [[1], [2], [3], [1, 2, 3], [31], [7, 1]]) {
    t.equal(filtered(cut(text, lengths), ['<<end>>']), 'one\n\ntwo ### three ')
    t.equal(filtered(cut(text, lengths), ['<<end>>', '###', 'xyz']), 'one\n\ntwo ')
    t.equal(filtered(cut(text, lengths), ['\n\n']), 'one')
    t.equal(filtered(cut(text, lengths), ['absent']), text)
    t.equal(filtered(cut(text, lengths), []), text)
    t.equal(filtered(cut('aab', lengths), ['aabb']), 'aab', 'a beginning that comes to nothing')
    t.equal(filtered(cut('aaab', lengths), ['aab']), 'a', 'overlapping beginnings')
  }
  t.end()
})

t.test('nothing of a stop string is given out early', (t) => {
  const filter = new StopFilter(['stop'])
  t.same(filter.push('do s'), { text: 'do ', stopped: false })
  t.same(filter.push('to'), { text: '', stopped: false })
  t.same(filter.push('ve'), { text: 'stove', stopped: false })
  t.end()
})

t.test('rows become one batch; bad ones are refused', (t) => {
  const batch = flattenBatch([[1, 2, 3], Int32Array.of(4)], [[-100, 2, 3], [-100]], 5)
  t.same([...batch.ids], [1, 2, 3, 4])
  t.same([...batch.labels], [-100, 2, 3, -100])
  t.same([...batch.lengths], [3, 1])
  t.same([...flattenBatch([[0, 4]], [[0, 4]], 5).labels], [0, 4], 'the first and the last token of a vocabulary')
  t.throws(() => flattenIds([], 5), { code: 'E_ARGUMENT' })
  t.throws(() => flattenIds([[-1]], 5), {
    code: 'E_ARGUMENT',
    message: 'inputIds[0][0] is -1, expected a token id of the model',
  })
  t.throws(() => flattenIds([[1], 7 as never], 5, 'p'), {
    code: 'E_ARGUMENT',
    message: /^p\[1\]: got 7, expected a row/,
  })
  t.throws(() => flattenIds(null as never, 5), { code: 'E_ARGUMENT', message: /^inputIds: got null, expected a list/ })
  t.throws(() => flattenBatch([[1]], [[5]], 5), { code: 'E_ARGUMENT', message: /^labels\[0\]\[0\] is 5/ })
  t.throws(() => flattenBatch([[1]], [[1], [1]], 5), {
    code: 'E_SHAPE',
    message: 'labels has 2 rows, expected 1 as inputIds has',
  })
  t.throws(() => flattenBatch([[1, 2]], [[1]], 5), {
    code: 'E_SHAPE',
    message: 'labels[0] has 1 entries, expected 2 as inputIds[0] has',
  })
  t.throws(() => flattenBatch([[1]], [], 5), { code: 'E_ARGUMENT', message: /^labels: got \[\]/ })
  t.throws(() => flattenIds([[]], 5), { code: 'E_ARGUMENT', message: /inputIds\[0\]/ })
  t.throws(() => flattenIds([[5]], 5), { code: 'E_ARGUMENT', message: /inputIds\[0\]\[0\] is 5/ })
  t.throws(() => flattenIds([[1.5]], 5), { code: 'E_ARGUMENT' })
  t.throws(() => flattenIds([[Number.NaN]], 5), { code: 'E_ARGUMENT' })
  t.throws(() => flattenBatch([[1]], [[1, 2]], 5), { code: 'E_SHAPE' })
  t.throws(() => flattenBatch([[1]], [[-1]], 5), { code: 'E_ARGUMENT' })
  t.end()
})
