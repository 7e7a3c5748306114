import { readFileSync } from 'node:fs'
import t from 'tap'
import { baseModelFolder, gsm8kFolder } from '../../src/cli/demo/assets.js'
import { calculatorAccuracy, calculatorPrompts } from '../../src/cli/demo/calculator.js'
import { clientRows, kindOf } from '../../src/cli/demo/data.js'
import { baselineFactor, recipe } from '../../src/cli/demo/recipe.js'
import { loadDataset, loadTokenizer } from '../../src/data/index.js'

const golden = JSON.parse(readFileSync(new URL('../golden/demo.json', import.meta.url), 'utf8'))

t.test('kinds of arithmetic', async (t) => {
  t.equal(kindOf('2 + 3 = <<2+3=5>>5'), 'add')
  t.equal(kindOf('<<2*3=6>>6 and <<6-1=5>>5'), 'multiply')
  t.equal(kindOf('<<2*3=6>>6 then <<6/2=3>>3'), 'divide')
  t.equal(kindOf('half/half without a calculator'), 'add')
})

t.test('data and judge are those of the golden run', async (t) => {
  const tokenizer = await loadTokenizer(baseModelFolder)
  const read = (name: string, overlong: 'truncate' | 'drop') =>
    loadDataset(`${gsm8kFolder}/${name}.jsonl`, { format: 'gsm8k', tokenizer, maxLength: 512, overlong })
  const pools = clientRows(await read('train', 'truncate'), recipe.rowsEach)
  t.same(
    pools.map((rows) => rows.length),
    [256, 256, 256],
  )
  for (const [k, kind] of ['add', 'multiply', 'divide'].entries()) {
    t.ok(Array.from({ length: 256 }, (_, row) => kindOf(String(pools[k]!.row(row).answer))).every((of) => of === kind))
    t.equal(pools[k]!.counts.truncated, 0, 'none was cut')
  }
  const judged = await read('test', 'drop')
  const supervised = Array.from({ length: judged.length }, (_, row) => judged.sample(row).supervised)
  t.equal(
    supervised.reduce((sum, count) => sum + count, 0),
    golden.base.tokens,
    'as many supervised tokens as PyTorch counts',
  )
  const prompts = calculatorPrompts(judged, tokenizer, 150)
  t.equal(prompts.length, golden.base.calculator_prompts)
  const text = tokenizer.decode(prompts[0]!.ids)
  t.ok(text.startsWith(judged.prompt(0).text))
  const said = text.slice(judged.prompt(0).text.length)
  t.ok(
    String(judged.row(0).answer).startsWith(said + prompts[0]!.want),
    'the answer up to an expression, then its result',
  )
})

t.test('calculator accuracy reads continuations as the golden does', async (t) => {
  const prompts = [
    { ids: [1], want: '24>>' },
    { ids: [2], want: '7>>' },
    { ids: [3], want: '3>>' },
    { ids: [4], want: '100>>' },
  ]
  const said: Record<number, string[]> = { 1: ['2', '4', '>>24'], 2: ['70', '>>'], 3: ['3', '>>'], 4: ['10', '0'] }
  let pulled = 0
  const share = await calculatorAccuracy(prompts, async function* (ids) {
    for (const piece of said[ids[0]!]!) {
      pulled++
      yield piece
    }
  })
  t.equal(share, 0.5, 'right: the first and the third; a prefix that ends too soon is wrong')
  t.equal(pulled, 3 + 1 + 2 + 2, 'a continuation that is lost is left')
})

t.test('the rate of the golden run', async (t) => {
  t.equal(baselineFactor(0, 96), 0.2)
  t.equal(baselineFactor(4, 96), 1)
  t.equal(baselineFactor(5, 96), 1)
  t.ok(baselineFactor(95, 96) < 0.001)
})
