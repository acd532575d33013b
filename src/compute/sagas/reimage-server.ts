import { Fault } from '../../kernel/errors/errors.ts'
import { at, type Step, saga, step } from '../../kernel/saga/saga.ts'
import { connect } from '../app/volume-connection.ts'
import type { BlockDeviceRow } from '../db/tables.ts'
import type { ImageSpec } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { type ServerRun, serverOf } from './on-host.ts'
import { giveBack, intoError, onlyIf, powerOff, redefine, settle, startAgain } from './operation.ts'
import { asItIs, rebuilt, unlessStopped } from './rebuild-server.ts'

/** `attachmentId`: by which the server has its root volume; `holdId`: by which it keeps it meanwhile. */
type Reimage = ServerRun<
  { image: ImageSpec; volumeId: string; attachmentId: string; holdId: string; adminPass?: string },
  { 'hold-volume': { told: string[] }; [step: string]: any }
>

/** The server's task when its volume has the image. */
const REIMAGED = 'rebuild_spawning'
/** ms between looks while no word comes. */
const LOOK_MS = 2_000

const off: Step<ServerRun>[] = [
  step(null, 'was-running', at.host, asItIs, null), // only reads
  step(null, 'power-off', at.host, powerOff, startAgain),
  step(29, 'config-drive', at.host, build.configDrive, null, says.configDrive), // what is on it is the row's
  step(30, 'inject-files', at.host, build.injectFiles, null, says.injected), // onto the drive
]

const on: Step<ServerRun>[] = [
  step(31, 'domain-xml', at.host, build.domainXml, null, { ...build.task(REIMAGED), ...says.xml }), // makes text
  step(32, 'define-domain', at.host, build.define, null, says.defined), // the same machine
  step(37, 'start-domain', at.host, unlessStopped(build.start), build.destroy, says.startedOrNot),
  step(null, 'rebuilt', at.control, rebuilt, null),
]

/** A server that boots from a volume, with what is on it: as new is all but the disk. */
export const rebuildOnVolume = saga<ServerRun>('rebuild-on-volume', [...off, ...on], { failed: giveBack })

/**
 * Its root volume gets the image. The volume stays reserved for the server and is exported nowhere while the volume service writes onto it. Until it has, everything
 * can be taken back; from then on the old data is gone, and it goes forward until the server has its volume again. {@link finishReimage} comes next.
 */
export const reimageServer = saga<Reimage>(
  'reimage-server',
  [
    ...off,
    step(null, 'hold-volume', at.control, hold, (run) => run.world.volumes.deleteAttachment(run.input.holdId)),
    step(null, 'release-volume', at.control, (run) => run.world.volumes.deleteAttachment(run.input.attachmentId), takeBack),
    step(null, 'reimage-volume', at.storage, reimage, (run) => untilWritten(run), {
      ...build.task('rebuild_block_device_mapping'),
      evidence: (_out, run) => ({ text: `image ${run.input.image.name} on volume ${run.input.volumeId}` }),
    }),
    step(null, 'attach-volume', at.control, attach, null),
    step(null, 'spawning', at.control, settle({ taskState: REIMAGED }), null), // nobody else's before its guest is there
  ],
  { pivot: 'reimage-volume', failed: tellWhy },
)

/** The guest of a server whose volume has its image. One that does not come up is told; the server can be rebuilt again, or deleted. */
export const finishReimage = saga<ServerRun>(
  'finish-reimage',
  [
    ...[
      step<ServerRun>(null, 'was-running', at.control, offAsItIs, null), // only reads
      step<ServerRun>(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
      step<ServerRun>(32, 'define-domain', at.host, build.define, null, says.defined),
      step<ServerRun>(37, 'start-domain', at.host, unlessStopped(build.start), null, says.startedOrNot),
      step<ServerRun>(null, 'rebuilt', at.control, rebuilt, null),
    ].map(onlyIf(isReimaged)),
  ],
  { failed: async (run, error) => ((await isReimaged(run)) ? await intoError(run, error) : undefined) },
)

async function offAsItIs(run: ServerRun): Promise<{ running: boolean; stopped: boolean }> {
  return { running: false, stopped: (await serverOf(run)).vm_state === 'stopped' }
}

async function isReimaged(run: ServerRun): Promise<boolean> {
  return (await serverOf(run)).task_state === REIMAGED
}

/** `told`: what the user knew by then of the volume's failures. */
async function hold(run: Reimage): Promise<{ told: string[] }> {
  const { holdId, volumeId, serverId } = run.input
  await run.world.volumes.createAttachment({ id: holdId, volume_uuid: volumeId, instance_uuid: serverId })
  return { told: (await run.world.volumes.messages(volumeId)).map((one) => one.id) }
}

/** Cut off and done again it writes the same once more. @throws Fault with what the volume service says of its failure */
async function reimage(run: Reimage): Promise<void> {
  const { volumes } = run.world
  const { volumeId, image } = run.input
  if (!(await isBusy(run)))
    await volumes.reimageVolume(volumeId, image.id).catch(async (error) => {
      if (!(await isBusy(run))) throw error // else it was asked before, and nobody heard the answer
    })
  await untilWritten(run, () => run.signal.throwIfAborted())
  const { told } = run.outputs['hold-volume']
  const [why] = (await volumes.messages(volumeId)).filter((one) => !told.includes(one.id))
  if (why) throw new Fault(500, 'ReimageFailed', `Volume ${volumeId} did not get image ${image.id}: ${why.user_message}`)
}

/** Nothing can be done with the volume before that, also when nobody wants the image any more. */
async function untilWritten(run: Reimage, unless: () => void = () => {}): Promise<void> {
  for (; await isBusy(run); unless()) await run.world.externalEvents.next([run.input.volumeId], LOOK_MS, run.signal)
}

const isBusy = async ({ world, input }: Reimage): Promise<boolean> => (await world.volumes.volume(input.volumeId)).status === 'downloading'

/** As it had it before, with a new target and the domain that knows it. */
async function takeBack(run: Reimage): Promise<void> {
  await run.world.volumes.deleteAttachment(run.input.attachmentId) // it may be half gone
  await connected(run)
  await redefine(run)
}

async function attach(run: Reimage): Promise<void> {
  await connected(run)
  await run.world.volumes.deleteAttachment(run.input.holdId)
}

async function connected(run: Reimage): Promise<void> {
  const { volumes, database } = run.world
  const { attachmentId, volumeId, serverId } = run.input
  const device: BlockDeviceRow = await database.db
    .selectFrom('block_devices')
    .selectAll()
    .where('id', '=', attachmentId)
    .executeTakeFirstOrThrow()
  await volumes.createAttachment({ id: attachmentId, volume_uuid: volumeId, instance_uuid: serverId })
  await connect(run.world, await serverOf(run), device)
  await volumes.completeAttachment(attachmentId)
}

/** What is half written is no system: the server says so. */
async function tellWhy(run: Reimage, error: Error): Promise<void> {
  const { status } = await run.world.volumes.volume(run.input.volumeId)
  await (status === 'error' ? intoError(run, error) : giveBack(run, error))
}
