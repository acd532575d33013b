import type { Libvirt, Secret } from './driver.ts'
import { procedures, SECRET_USAGE } from './procedures.ts'
import { bytesOf, type Calls, quiet, uuidOf } from './real-calls.ts'
import { type XdrReader, XdrWriter } from './xdr.ts'

type Secrets = Pick<Libvirt, 'defineSecret' | 'setSecretValue' | 'undefineSecret' | 'secretByUsage' | 'listSecrets'>

export function realSecrets({ ask }: Calls): Secrets {
  function secretByUuid(uuid: string): Promise<Secret> {
    return ask(procedures.secretLookupByUuid, `secret-lookup ${uuid}`, new XdrWriter().fixed(bytesOf(uuid)).done(), readSecret, quiet)
  }
  return {
    defineSecret: (xml) =>
      ask(procedures.secretDefine, 'secret-define', new XdrWriter().string(xml).int(0).done(), (reply) => readSecret(reply).uuid),
    async setSecretValue(uuid, value) {
      const secret = await secretByUuid(uuid)
      await ask(procedures.secretSetValue, `secret-set-value ${uuid} ***`, writeSecret(secret).opaque(value).int(0).done())
    },
    async undefineSecret(uuid) {
      const secret = await secretByUuid(uuid)
      await ask(procedures.secretUndefine, `secret-undefine ${uuid}`, writeSecret(secret).done())
    },
    secretByUsage: (usage, usageId) =>
      ask(
        procedures.secretLookupByUsage,
        `secret-lookup ${usage} ${usageId}`,
        new XdrWriter().int(SECRET_USAGE.indexOf(usage)).string(usageId).done(),
        readSecret,
        quiet,
      ),
    listSecrets: () =>
      ask(
        procedures.connectListAllSecrets,
        'secret-list',
        new XdrWriter().int(1).int(0).done(),
        (reply) => reply.list(() => readSecret(reply)),
        quiet,
      ),
  }
}

function readSecret(reply: XdrReader): Secret {
  return { uuid: uuidOf(reply.fixed(16)), usage: SECRET_USAGE[reply.int()] ?? 'none', usageId: reply.string() }
}

function writeSecret({ uuid, usage, usageId }: Secret): XdrWriter {
  return new XdrWriter()
    .fixed(bytesOf(uuid))
    .int(SECRET_USAGE.indexOf(usage as 'none'))
    .string(usageId)
}
