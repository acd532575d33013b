import { badRequest } from '../../kernel/errors/errors.ts'

/** The iSCSI targets of one machine. Each has one disk as LUN 1 and one CHAP account, named as the IQN's last part. */
export interface TargetDriver {
  /** `address:port` where initiators connect. */
  readonly portal: string
  /** All that are there, whoever made them. @throws Fault 503 when the daemon does not answer */
  list(): Promise<Target[]>
  /**
   * Sees to it that the target is there, whole, and lets in whoever knows the secret. A whole one is left as it is: its sessions go on. One whose disk has grown is made
   * anew, as tgtd looks at the size only then: its sessions end, and initiators that come back by themselves see the new size.
   * @throws Fault 503 when the daemon does not answer, 500 when it refuses (no such path), 400 BadTarget
   */
  ensure(target: NewTarget): Promise<{ lun: number; username: string }>
  /** With its account; sessions are cut. An absent one is fine. */
  remove(iqn: string): Promise<void>
  /**
   * Runs `work` while no target lets anything be written: what initiators were told is written is there, what they write meanwhile waits.
   * For seconds, not for minutes. @throws Fault 503 when the daemon cannot be held
   */
  held<T>(work: () => Promise<T>): Promise<T>
}

export interface NewTarget {
  iqn: string
  /** A device or file. */
  path: string
  /** CHAP secret of 12 to 16 characters, as all initiators accept. */
  secret: string
  readOnly: boolean
}

export interface Target {
  iqn: string
  path: string | null
  username: string | null
  readOnly: boolean
  /** Initiators may log in: the last thing that is done when a target is made. */
  open: boolean
  /** Initiators that are logged in, by name. */
  initiators: string[]
}

export const LUN = 1

/** @throws Fault 400 BadTarget for what would be more than one word, or something else than a name and a path */
export function assertTarget({ iqn, path }: Pick<NewTarget, 'iqn' | 'path'>): void {
  if (!/^iqn\.[0-9a-z.-]+:[0-9a-z.-]+$/i.test(iqn) || iqn.length > LONGEST_IQN)
    throw badRequest(`${JSON.stringify(iqn.slice(0, 300))} cannot be the name of a target.`, 'BadTarget')
  if (!/^\/\P{Cc}+$/u.test(path)) throw badRequest(`${JSON.stringify(path.slice(0, 300))} cannot be the disk of a target.`, 'BadTarget')
}
/** Of RFC 3720. */
const LONGEST_IQN = 223

/** `iqn.2010-10.org.openstack:volume-1` → `volume-1` */
export const usernameOf = (iqn: string): string => iqn.slice(iqn.lastIndexOf(':') + 1)
