/** Cuts a stream of JSON objects that follow each other without a separator, as OVSDB sends them, into those objects. */
export class JsonStream {
  private pieces: Buffer[] = []
  private depth = 0
  private inString = false
  private escaped = false

  /**
   * The objects that this chunk completes. Chunks may end anywhere, inside a character too.
   * @throws SyntaxError for what is no JSON object; the stream is of no use then
   */
  push(chunk: Buffer): unknown[] {
    const complete: unknown[] = []
    let start = 0
    // Byte by byte: quotes, braces and backslashes are never part of a longer UTF-8 character.
    for (let i = 0; i < chunk.length; i++) {
      const byte = chunk[i]!
      if (this.escaped) this.escaped = false
      else if (this.inString) {
        if (byte === BACKSLASH) this.escaped = true
        else if (byte === QUOTE) this.inString = false
      } else if (byte === QUOTE && this.depth > 0) this.inString = true
      else if (byte === OPEN) {
        if (this.depth++ === 0) start = i
      } else if (byte === CLOSE && --this.depth === 0) {
        this.pieces.push(chunk.subarray(start, i + 1))
        complete.push(JSON.parse(Buffer.concat(this.pieces).toString('utf8')))
        this.pieces = []
      } else if (this.depth <= 0 && !SPACE.has(byte))
        throw new SyntaxError(`unexpected ${JSON.stringify(String.fromCharCode(byte))} between messages`)
    }
    if (this.depth > 0) this.pieces.push(chunk.subarray(start))
    return complete
  }
}

const [QUOTE, BACKSLASH, OPEN, CLOSE] = [0x22, 0x5c, 0x7b, 0x7d]
const SPACE = new Set([0x20, 0x09, 0x0a, 0x0d])
