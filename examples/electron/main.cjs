// The main process: opens a window elsewhere, forks the trainer here, passes what it tells on.
const { app, utilityProcess } = require('electron')
const { join } = require('node:path')

app.whenReady().then(() => {
  const trainer = utilityProcess.fork(join(__dirname, 'trainer.mjs'))
  trainer.on('message', (event) => console.log(event))
  trainer.postMessage({ model: process.env.MODEL ?? 'model', steps: Number(process.env.STEPS ?? 20) })
  app.on('before-quit', () => trainer.kill())
})
