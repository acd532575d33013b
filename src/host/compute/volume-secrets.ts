import type { VolumeConnection } from '../../compute/rpc.ts'
import { secretXml } from '../../drivers/libvirt/domain-xml.ts'
import type { Libvirt, Secret } from '../../drivers/libvirt/driver.ts'
import { unless } from './power-states.ts'
import type { World } from './world.ts'

/** Passwords of volumes' targets, held by libvirt: no domain's XML has one. A secret's usage says whose it is. */
const PREFIX = 'yun-server-'
const usageOf = (serverId: string, volumeId: string) => `${PREFIX}${serverId}-volume-${volumeId}`

/** The server that a secret is there for, if it is one of ours. */
export const secretOwner = ({ usageId }: Secret): string | undefined => new RegExp(`^${PREFIX}([0-9a-f-]{36})-volume-`).exec(usageId)?.[1]

export async function ensureSecret(libvirt: Libvirt, serverId: string, { auth, attachmentId, volumeId }: VolumeConnection): Promise<void> {
  if (!auth) return
  const usageId = usageOf(serverId, volumeId)
  const before = await unless(['NoSecret'], libvirt.secretByUsage('iscsi', usageId))
  // left from an earlier attachment of the same volume
  if (before && before.uuid !== attachmentId) await unless(['NoSecret'], libvirt.undefineSecret(before.uuid))
  await libvirt.defineSecret(secretXml({ uuid: attachmentId, usageId, description: `CHAP password of volume ${volumeId}` }))
  await libvirt.setSecretValue(attachmentId, Buffer.from(auth.password))
}

/** Of all volumes of a guest that is about to come. */
export async function holdSecrets({ machine }: World, { uuid, volumes }: { uuid: string; volumes: VolumeConnection[] }): Promise<void> {
  for (const connection of volumes) await ensureSecret(machine.libvirt, uuid, connection)
}

export async function removeSecret(libvirt: Libvirt, serverId: string, volumeId: string): Promise<void> {
  const secret = await unless(['NoSecret'], libvirt.secretByUsage('iscsi', usageOf(serverId, volumeId)))
  if (secret) await unless(['NoSecret'], libvirt.undefineSecret(secret.uuid))
}

export async function removeSecrets(libvirt: Libvirt, serverId: string): Promise<void> {
  for (const secret of await libvirt.listSecrets())
    if (secretOwner(secret) === serverId) await unless(['NoSecret'], libvirt.undefineSecret(secret.uuid))
}
