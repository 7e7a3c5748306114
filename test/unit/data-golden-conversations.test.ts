/** Conversations, and prompts with completions, as transformers encodes them: ids and masks of test/golden/conversations.json. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import type { Dataset } from '../../src/data/dataset.js'
import { loadDataset } from '../../src/data/load-dataset.js'
import { loadTokenizer } from '../../src/data/tokenizer/load-tokenizer.js'

interface Golden {
  templates: Record<string, string>
  conversations: { role: string; content: string }[][]
  tokenizers: Record<
    string,
    {
      tokenizer: object
      cases: { template: string; conversation: number; ids: number[]; mask: string }[]
      pairs: { prompt: string; completion: string; promptIds: number[]; jointIds: number[] }[]
    }
  >
}
const golden: Golden = JSON.parse(readFileSync(new URL('../golden/conversations.json', import.meta.url), 'utf8'))
const root = t.testdir()

/** A tokenizer of the golden file with one of its templates. */
async function tokenizerWith(name: string, template: string) {
  const folder = join(root, `${name} ${template}`)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(golden.tokenizers[name]!.tokenizer))
  const config = { bos_token: '<s>', eos_token: '</s>', unk_token: '<unk>', clean_up_tokenization_spaces: false }
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(config))
  writeFileSync(join(folder, 'chat_template.jinja'), golden.templates[template]!)
  return loadTokenizer(folder)
}

const maskOf = (data: Dataset, row: number) =>
  [...data.sample(row).labels].map((label) => (label === -100 ? 0 : 1)).join('')

for (const [name, { cases, pairs }] of Object.entries(golden.tokenizers)) {
  t.test(`${name}: conversations`, async (t) => {
    for (const template of Object.keys(golden.templates)) {
      const own = cases.filter((one) => one.template === template.replace(', marked', ''))
      const rows = own.map(({ conversation }) => ({ messages: golden.conversations[conversation]! }))
      const tokenizer = await tokenizerWith(name, template)
      const data = await loadDataset(rows, { format: 'messages', tokenizer })
      for (const [row, { conversation, ids, mask }] of own.entries()) {
        t.same([...data.sample(row).inputIds], ids, `${template}, conversation ${conversation}: ids`)
        t.equal(maskOf(data, row), mask, `${template}, conversation ${conversation}: mask`)
      }
      if (template === 'chatml') t.not(maskOf(data, 1), own[0]!.mask, 'canary: the mask of another conversation')
    }
  })

  t.test(`${name}: prompt and completion`, async (t) => {
    const tokenizer = await tokenizerWith(name, 'vicuna')
    const data = await loadDataset(
      pairs.map(({ prompt, completion }) => ({ prompt, completion })),
      {
        format: 'prompt-completion',
        tokenizer,
      },
    )
    for (const [row, { prompt, completion, promptIds, jointIds }] of pairs.entries()) {
      const { inputIds, labels } = data.sample(row)
      const what = JSON.stringify([prompt, completion])
      t.same([...data.prompt(row).inputIds], promptIds, `${what}: as generate encodes the prompt`)
      t.same([...inputIds.subarray(0, promptIds.length)], promptIds, `${what}: begins with the prompt's ids`)
      t.ok(labels.subarray(0, promptIds.length).every((label) => label === -100))
      t.same([...labels.subarray(promptIds.length)], [...inputIds.subarray(promptIds.length)])
      t.equal(inputIds.at(-1), tokenizer.eosToken)
      const ids = [...(completion.endsWith('</s>') ? inputIds : inputIds.subarray(0, -1))]
      t.equal(tokenizer.decode(ids), tokenizer.decode(jointIds), `${what}: decodes as the text`)
      if (promptIds.every((id, i) => jointIds[i] === id)) t.same(ids, jointIds, `${what}: the joint encoding`)
    }
  })
}
