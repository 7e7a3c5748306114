/** The clients' adapters of a round in a file without a name: memory for the parts that are read, whatever the number of clients. */
import { UpdateFile } from '../../aggregation/update-set.js'
import type { AdapterStore } from './server.js'

export class AdapterFile implements AdapterStore {
  readonly #file: UpdateFile

  private constructor(file: UpdateFile) {
    this.#file = file
  }

  /**
   * @param folders - the first that can be written takes the file; at last the system's for temporary files.
   * @throws FedloraError `E_IO`.
   */
  static async create(folders: readonly string[] = []): Promise<AdapterFile> {
    return new AdapterFile(await UpdateFile.create(folders))
  }

  async add(client: string, adapter: Float32Array): Promise<void> {
    await this.#file.add(client, adapter)
  }

  async read(client: string, begin: number, end: number): Promise<Float32Array> {
    return this.#file.read(client, begin, end)
  }

  async reset(): Promise<void> {
    this.#file.reset()
  }

  dispose(): void {
    this.#file.dispose()
  }
}
