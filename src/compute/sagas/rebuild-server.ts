import { at, saga, step } from '../../kernel/saga/saga.ts'
import { requestOf } from '../app/instance-spec.ts'
import { host, type ImageSpec } from '../rpc.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { changeRequest, LONG, onItsHost, type ServerRun, serverOf, undoOnItsHost, uuid } from './on-host.ts'
import { giveBack, redefine, settle, startAgain, wasRunning } from './operation.ts'

type Rebuild = ServerRun<
  { image: ImageSpec; adminPass?: string },
  { 'keep-disk': unknown; image: { before: ImageSpec | null; base: ImageSpec | null }; [step: string]: any }
>

const kept = (run: ServerRun) => ({ ...uuid(run), name: 'rebuild' })

/** A new disk from an image; ports, addresses and volumes stay, and a server that was stopped stays stopped. The old disk is kept until the new guest runs. */
export const rebuildServer = saga<Rebuild>(
  'rebuild-server',
  [
    step(null, 'was-running', at.host, asItIs, null), // only reads
    step(null, 'power-off', at.host, onItsHost(host.destroy, uuid), startAgain),
    step(
      null,
      'keep-disk',
      at.host,
      onItsHost(host.keepDisk, kept, LONG),
      undoOnItsHost(host.restoreDisk, kept),
      build.task('rebuild_spawning'),
    ),
    step(null, 'image', at.control, takeImage, giveImageBack),
    step(26, 'fetch-base', at.host, build.fetchBase, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, build.createOverlay, null, says.overlay), // the old disk comes in its place
    step(28, 'resize-disk', at.host, build.resizeDisk, null, says.size),
    step(29, 'config-drive', at.host, build.configDrive, null, says.configDrive),
    step(30, 'inject-files', at.host, build.injectFiles, null, says.injected),
    step(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
    step(32, 'define-domain', at.host, build.define, null, says.defined), // the image's undo defines it as it was
    step(37, 'start-domain', at.host, unlessStopped(build.start), build.destroy, says.startedOrNot),
    step(null, 'drop-disk', at.host, onItsHost(host.dropDisk, kept), null), // nothing that could fail follows
    step(null, 'rebuilt', at.control, rebuilt, null),
  ],
  { failed: giveBack },
)

/** How the server is before it is rebuilt. */
export async function asItIs(run: ServerRun): Promise<{ running: boolean; stopped: boolean }> {
  return { ...(await wasRunning(run)), stopped: (await serverOf(run)).vm_state === 'stopped' }
}

/** A server that was stopped stays stopped. */
export function unlessStopped<Out>(action: (run: ServerRun) => Promise<Out>) {
  return async (run: ServerRun): Promise<Out | null> => (run.outputs['was-running'].stopped ? null : await action(run))
}

export async function rebuilt(run: ServerRun): Promise<void> {
  if (run.outputs['was-running'].stopped) await settle({ vmState: 'stopped', powerState: 'shutdown' }, { fault_json: null })(run)
  else await build.becomeActive(run)
}

async function takeImage(run: Rebuild): Promise<Rebuild['outputs']['image']> {
  const { image } = run.input
  const before = requestOf(await changeRequest(run, () => ({ image, baseImage: null }), { image_id: image.id }))
  return { before: before.image?.id === image.id ? image : before.image, base: before.baseImage ?? null }
}

async function giveImageBack(run: Rebuild, output: Rebuild['outputs']['image'] | null): Promise<void> {
  if (!output) return
  const { before, base } = output
  await changeRequest(run, () => ({ image: before, baseImage: base }), { image_id: before?.id ?? null })
  await redefine(run)
}
