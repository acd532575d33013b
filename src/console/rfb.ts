export interface RfbSeen {
  /** As the server says it: `RFB 003.008`. */
  version: string
  width: number
  height: number
}

/**
 * Reads along with what a VNC server (RFB 3.8, RFC 6143, security type None) sends until its first framebuffer update, to know that somebody really saw a
 * picture. Anything it does not understand ends its watch, never the connection.
 */
export class RfbWatcher {
  private buffer: Buffer = Buffer.alloc(0)
  private stage: 'version' | 'security' | 'result' | 'init' | 'messages' | 'over' = 'version'
  private seen: RfbSeen = { version: '', width: 0, height: 0 }
  private readonly onPicture: (seen: RfbSeen) => void

  constructor(onPicture: (seen: RfbSeen) => void) {
    this.onPicture = onPicture
  }

  fromServer(chunk: Buffer): void {
    if (this.stage === 'over') return
    this.buffer = Buffer.concat([this.buffer, chunk])
    while (this.advance()) {}
    if (this.buffer.length > 1_000_000) this.stage = 'over'
  }

  private take(length: number): Buffer | null {
    if (this.buffer.length < length) return null
    const taken = this.buffer.subarray(0, length)
    this.buffer = this.buffer.subarray(length)
    return taken
  }

  private advance(): boolean {
    switch (this.stage) {
      case 'version': {
        const version = this.take(12)
        if (!version) return false
        this.seen.version = version.toString('latin1').trim()
        return this.go(this.seen.version.startsWith('RFB 003.') ? 'security' : 'over')
      }
      case 'security': {
        if (this.buffer.length < 1 || this.buffer.length < 1 + this.buffer[0]!) return false
        const types = this.take(1 + this.buffer[0]!)!.subarray(1)
        return this.go(types.includes(1) ? 'result' : 'over')
      }
      case 'result': {
        const result = this.take(4)
        return result !== null && this.go(result.readUInt32BE() === 0 ? 'init' : 'over')
      }
      case 'init': {
        if (this.buffer.length < 24 || this.buffer.length < 24 + this.buffer.readUInt32BE(20)) return false
        const init = this.take(24 + this.buffer.readUInt32BE(20))!
        this.seen = { ...this.seen, width: init.readUInt16BE(0), height: init.readUInt16BE(2) }
        return this.go('messages')
      }
      case 'messages': {
        const type = this.buffer[0]
        if (type === undefined) return false
        if (type === 0) {
          this.onPicture(this.seen)
          return this.go('over')
        }
        const length = this.lengthOf(type)
        if (length === undefined) return this.go('over')
        return length !== null && this.take(length) !== null
      }
      default:
        return false
    }
  }

  /** Of a message that comes before the first picture: colour map, bell, clipboard (QEMU begins with its extended form, whose length is negative). Null: not there yet. */
  private lengthOf(type: number): number | null | undefined {
    if (type === 1) return this.buffer.length < 6 ? null : 6 + 6 * this.buffer.readUInt16BE(4)
    if (type === 2) return 1
    if (type === 3) return this.buffer.length < 8 ? null : 8 + Math.abs(this.buffer.readInt32BE(4))
    return undefined
  }

  private go(stage: RfbWatcher['stage']): boolean {
    this.stage = stage
    return stage !== 'over'
  }
}
