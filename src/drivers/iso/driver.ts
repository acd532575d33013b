/** A disc as a guest mounts it read-only. */
export interface Disc {
  /** Volume label, at most 32 characters. */
  label: string
  /** Path (without a leading slash) to content; directories come of themselves. */
  files: Map<string, Uint8Array>
}

export interface Iso {
  /**
   * Writes an ISO 9660 image (with Rock Ridge and Joliet names), readable by its owner alone: it may hold passwords. Replaces a file of that name at the end.
   * @returns its size in bytes
   * @throws Fault 507 DiskFull, 503 IsoFailed, 400 BadPath for a file that would lie outside of the disc, BadLabel
   */
  create(path: string, disc: Disc): Promise<number>
  /** @throws Fault 404 IsoNotFound when it is not there, 400 IsoInvalid when it is no such image */
  read(path: string): Promise<Disc>
}
