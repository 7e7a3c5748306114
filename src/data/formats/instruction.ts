/**
 * The instruction template of Stanford Alpaca (Taori et al. 2023), with a line end after "### Response:" as most trainers write it.
 * Shared by `alpaca`, `code-alpaca` and `dolly`.
 */

/** The prompt for an instruction, with further context where there is some. */
export function instructionPrompt(instruction: string, context: string): string {
  if (context === '') {
    return (
      'Below is an instruction that describes a task. Write a response that appropriately completes the request.\n\n' +
      `### Instruction:\n${instruction}\n\n### Response:\n`
    )
  }
  return (
    'Below is an instruction that describes a task, paired with an input that provides further context. ' +
    'Write a response that appropriately completes the request.\n\n' +
    `### Instruction:\n${instruction}\n\n### Input:\n${context}\n\n### Response:\n`
  )
}
