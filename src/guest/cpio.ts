/** A file, directory or symbolic link for {@link cpioArchive}; everything belongs to root. */
export type CpioEntry =
  | { path: string; kind: 'directory' }
  | { path: string; kind: 'file'; content: Uint8Array; executable?: boolean }
  | { path: string; kind: 'link'; target: string }

const KIND_BITS = { directory: 0o040755, file: 0o100644, link: 0o120777 }

/** An archive in the "new ASCII" cpio format, which is what the kernel unpacks as its first file system. Entries must come after their directories. */
export function cpioArchive(entries: CpioEntry[]): Buffer {
  const parts: Buffer[] = []
  entries.forEach((entry, i) => {
    const content = entry.kind === 'file' ? Buffer.from(entry.content) : Buffer.from(entry.kind === 'link' ? entry.target : '')
    const mode = entry.kind === 'file' && entry.executable ? 0o100755 : KIND_BITS[entry.kind]
    parts.push(header(entry.path, i + 1, mode, content.length), padded(content))
  })
  parts.push(header('TRAILER!!!', 0, 0, 0))
  return Buffer.concat(parts)
}

function header(path: string, inode: number, mode: number, size: number): Buffer {
  const name = Buffer.from(`${path}\0`)
  const links = 1
  const fields = [inode, mode, 0, 0, links, 0, size, 0, 0, 0, 0, name.length, 0]
  const text = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`
  return padded(Buffer.concat([Buffer.from(text), name]))
}

const padded = (content: Buffer) => Buffer.concat([content, Buffer.alloc((4 - (content.length % 4)) % 4)])
