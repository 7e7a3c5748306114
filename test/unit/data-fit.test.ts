/** A data set made ready for a model: which ids and lengths a model takes, and what it is asked for. */
import t from 'tap'
import { fitToModel, type RowTaker } from '../../src/data/fit.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'

const tokenizer = await loadTokenizer(new URL('../../assets/gsm-3m', import.meta.url).pathname)

/** A model of 50 ids and 8 positions, which counts how often its tokenizer is asked for. */
function taker(): RowTaker & { asked: number } {
  return {
    config: { maxPositions: 8, vocabulary: 50 },
    asked: 0,
    async tokenizer() {
      this.asked++
      return tokenizer
    },
  }
}
const ofIds = (...rows: number[][]) =>
  loadDataset(
    rows.map((input_ids) => ({ input_ids })),
    { format: 'tokens' },
  )

t.test('ids from the first to the last of the vocabulary are taken, the next is refused with its place', async (t) => {
  const model = taker()
  const data = await ofIds([0, 1], [49, 0])
  t.same((await fitToModel(data, model)).sample(1).inputIds, Int32Array.of(49, 0))
  t.equal(model.asked, 0, 'rows of ids need no tokenizer')
  await t.rejects(fitToModel(await ofIds([0], [1, 50]), model), {
    code: 'E_ARGUMENT',
    message: /row 2: token id 50, but the model's vocabulary has 50 \(0 to 49\)/,
    details: { row: 2, id: 50, vocabulary: 50 },
  })
  const narrow = { ...model, config: { ...model.config, vocabulary: 49 } }
  await t.rejects(fitToModel(data, narrow), { code: 'E_ARGUMENT' }, 'what fits one model is checked again for another')
})

t.test('no row is longer than the positions; a maxLength beyond them is refused', async (t) => {
  const data = await ofIds(Array.from({ length: 12 }, (_, i) => i))
  const fitted = await fitToModel(data, taker())
  t.same([...fitted.sample(0).inputIds], [0, 1, 2, 3, 4, 5, 6, 7])
  const exact = await loadDataset([{ input_ids: [1] }], { format: 'tokens', maxLength: 8 })
  t.equal((await fitToModel(exact, taker())).length, 1)
  const beyond = await loadDataset([{ input_ids: [1] }], { format: 'tokens', maxLength: 9 })
  await t.rejects(fitToModel(beyond, taker()), { code: 'E_CONFIG' })
})

t.test('texts get the model’s tokenizer, unless they have one; what is no data set is refused', async (t) => {
  const model = { ...taker(), config: { maxPositions: 8, vocabulary: 100000 } }
  const bare = await loadDataset([{ text: 'one' }], { format: 'text' })
  const fitted = await fitToModel(bare, model)
  t.equal(model.asked, 1)
  t.equal(fitted.tokenizer, tokenizer)
  const own = await loadDataset([{ text: 'one' }], { format: 'text', tokenizer })
  await fitToModel(own, model)
  t.equal(model.asked, 1)
  await t.rejects(fitToModel([{ text: 'one' }] as never, model), { code: 'E_ARGUMENT', message: /loadDataset/ })
})
