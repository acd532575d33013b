/** RFC 4506 as far as libvirt's protocol uses it: everything is big-endian and padded to four bytes. */

export class XdrWriter {
  private readonly parts: Buffer[] = []

  int(value: number): this {
    const bytes = Buffer.alloc(4)
    bytes.writeInt32BE(value | 0)
    this.parts.push(bytes)
    return this
  }

  hyper(value: bigint | number): this {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64BE(BigInt.asUintN(64, BigInt(value)))
    this.parts.push(bytes)
    return this
  }

  string(value: string): this {
    return this.opaque(Buffer.from(value, 'utf8'))
  }

  /** A pointer that may be null. */
  optionalString(value: string | null | undefined): this {
    return value === null || value === undefined ? this.int(0) : this.int(1).string(value)
  }

  opaque(value: Uint8Array): this {
    return this.int(value.length).fixed(value)
  }

  fixed(value: Uint8Array): this {
    this.parts.push(Buffer.from(value), Buffer.alloc((4 - (value.length % 4)) % 4))
    return this
  }

  done(): Buffer {
    return Buffer.concat(this.parts)
  }
}

/** @throws RangeError when the message ends before the value does */
export class XdrReader {
  private readonly data: Buffer
  private offset = 0

  constructor(data: Buffer) {
    this.data = data
  }

  get remaining(): number {
    return this.data.length - this.offset
  }

  int(): number {
    const value = this.data.readInt32BE(this.offset)
    this.offset += 4
    return value
  }

  uint(): number {
    return this.int() >>> 0
  }

  /** Unsigned. Exact up to 2^53, which no size or counter here reaches. */
  hyper(): number {
    const value = this.data.readBigUInt64BE(this.offset)
    this.offset += 8
    return Number(value)
  }

  /** Signed: statistics that are not known are -1. */
  signedHyper(): number {
    const value = this.data.readBigInt64BE(this.offset)
    this.offset += 8
    return Number(value)
  }

  double(): number {
    const value = this.data.readDoubleBE(this.offset)
    this.offset += 8
    return value
  }

  string(): string {
    return this.opaque().toString('utf8')
  }

  optionalString(): string | null {
    return this.int() ? this.string() : null
  }

  opaque(): Buffer {
    return this.fixed(this.uint())
  }

  fixed(length: number): Buffer {
    if (length > this.remaining) throw new RangeError(`a value of ${length} bytes in a message that has ${this.remaining} left`)
    const value = this.data.subarray(this.offset, this.offset + length)
    this.offset += length + ((4 - (length % 4)) % 4)
    return value
  }

  /** The rest of the message as it is: what a stream carries. */
  rest(): Buffer {
    const value = this.data.subarray(this.offset)
    this.offset = this.data.length
    return value
  }

  list<T>(item: () => T): T[] {
    const length = this.uint()
    if (length * 4 > this.remaining) throw new RangeError(`a list of ${length} in a message that has ${this.remaining} bytes left`)
    return Array.from({ length }, item)
  }
}
