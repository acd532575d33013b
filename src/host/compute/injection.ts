import type { InstanceSpec } from '../../compute/rpc.ts'

/** What the operator wants put into the disks of new guests, as Nova's inject_partition, inject_key and inject_password. */
export interface Injection {
  /** -2: nothing; -1: into the first file system that can be written; 0: into the disk as a whole; N: into that partition. */
  partition: number
  key: boolean
  password: boolean
}

interface Injecting {
  injection?: Injection
}

const NOTHING: Injection = { partition: -2, key: false, password: false }

export const injectionOf = ({ injection = NOTHING }: Injecting): Injection => injection

/** A server that boots from a volume has no disk here. */
export const goesIntoDisk = (options: Injecting, instance: InstanceSpec): boolean =>
  injectionOf(options).partition !== -2 && instance.image !== null
