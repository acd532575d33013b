import { readFile, rm, writeFile } from 'node:fs/promises'
import type { GuestFiles } from './driver.ts'
import { assertReadable, guestPath, noFileSystem } from './words.ts'

/** The twin: a disk has one partition, and what is put into it stands in a file beside it. */
export function simulatedGuestFiles(): GuestFiles {
  return {
    async within(disk, partition, work) {
      if (![-1, 1].includes(partition)) throw noFileSystem(disk, partition === 0 ? 'on it as a whole' : `on partition ${partition}`)
      const beside = `${disk}.files`
      const files: Record<string, { content: string; mode: number }> = JSON.parse(await readFile(beside, 'utf8').catch(() => '{}'))
      return await work({
        partition: 1,
        async read(path) {
          const found = files[guestPath(path)]
          if (!found) return null
          const content = Buffer.from(found.content, 'base64')
          assertReadable(path, content.length)
          return content
        },
        async write(some) {
          for (const { path, content, mode } of some) files[guestPath(path)] = { content: Buffer.from(content).toString('base64'), mode }
          await writeFile(beside, JSON.stringify(files), { mode: 0o600 })
        },
      })
    },
    release: (disk) => rm(`${disk}.open`, { force: true }),
  }
}
