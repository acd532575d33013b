import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { guestFilesContract } from './contract.ts'
import { simulatedGuestFiles } from './simulated.ts'

guestFilesContract(simulatedGuestFiles, async (folder) => {
  const path = join(folder, 'disk')
  await writeFile(path, '')
  return path
})
