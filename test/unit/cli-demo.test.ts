import { readFileSync } from 'node:fs'
import t from 'tap'
import { baseModelFolder, gsm8kFolder } from '../../src/cli/demo/assets.js'
import { calculatorAccuracy, calculatorPrompts } from '../../src/cli/demo/calculator.js'
import { clientRows, judgeRows, kindOf, readRows, toTokenRow } from '../../src/cli/demo/data.js'
import { baselineFactor, recipe } from '../../src/cli/demo/recipe.js'
import { loadTokenizer } from '../../src/data/index.js'

const golden = JSON.parse(readFileSync(new URL('../golden/demo.json', import.meta.url), 'utf8'))

t.test('kinds of arithmetic', async (t) => {
  t.equal(kindOf('2 + 3 = <<2+3=5>>5'), 'add')
  t.equal(kindOf('<<2*3=6>>6 and <<6-1=5>>5'), 'multiply')
  t.equal(kindOf('<<2*3=6>>6 then <<6/2=3>>3'), 'divide')
  t.equal(kindOf('half/half without a calculator'), 'add')
})

t.test('data and judge are those of the golden run', async (t) => {
  const tokenizer = await loadTokenizer(baseModelFolder)
  const pools = clientRows(await readRows(`${gsm8kFolder}/train.jsonl`), tokenizer, recipe.rowsEach, 512)
  t.same(
    pools.map((rows) => rows.length),
    [256, 256, 256],
  )
  const judged = judgeRows(await readRows(`${gsm8kFolder}/test.jsonl`), tokenizer, 512)
  const supervised = judged.reduce((sum, row) => sum + row.completionIds.length, 0)
  t.equal(supervised, golden.base.tokens, 'as many supervised tokens as PyTorch counts')
  const row = toTokenRow(judged[0]!)
  t.equal(row.input_ids.length, row.labels.length)
  t.equal(
    row.labels.findIndex((label) => label >= 0),
    judged[0]!.promptIds.length,
  )
  t.equal(row.labels.at(-1), tokenizer.eosToken)
  t.equal(calculatorPrompts(judged, tokenizer, 150).length, golden.base.calculator_prompts)
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
