import Type from 'typebox'
import { badRequest } from '../../kernel/errors/errors.ts'
import { type ApiRequest, Reply, type Route } from '../../kernel/http/route.ts'
import { password } from '../app/accept.ts'
import { operate } from '../app/action.ts'
import { consoleLog, remoteConsole } from '../app/console.ts'
import type { ComputeContext } from '../app/context.ts'
import { triggerCrashDump } from '../app/crash-dump.ts'
import { evacuate } from '../app/evacuate.ts'
import { liveMigrate } from '../app/live-migrate.ts'
import { migrate } from '../app/migrate.ts'
import { rebuild, rescue } from '../app/rebuild.ts'
import { confirmResize, resize, revertResize } from '../app/resize.ts'
import type { InstanceRow, VmState } from '../app/rows.ts'
import { deleteServer, findServer, lockServer, mustBeSoftDeleted, unlockServer } from '../app/server.ts'
import { devicesByServer } from '../app/server-list.ts'
import { addSecurityGroup, removeSecurityGroup } from '../app/server-security.ts'
import { resetState } from '../app/server-state.ts'
import type { Action } from './action-entry.ts'
import { ServerAnswer, Shown } from './answers.ts'
import {
  Anything,
  Choice,
  canonical,
  closed,
  isAuto,
  isTrue,
  Metadata,
  Name,
  Nullable,
  server,
  Truth,
  targetServer,
  viewerOf,
  Wrapped,
} from './common.ts'
import { pictureActions } from './picture-actions.ts'
import { ZERO_DISK } from './policies.ts'
import { DiskConfig, NewServerBody } from './server-schemas.ts'
import { changedView, hostStatuses } from './server-view.ts'
import { shelveActions } from './shelve-actions.ts'
import { refuseUnknown, required, type Since } from './since.ts'

const Nothing = Anything
const AdminPass = Type.Object({ adminPass: Type.String() })
const HostName = Type.String({ minLength: 1, maxLength: 255, pattern: '^[a-zA-Z0-9._-]+$' })

/** What a server is rebuilt with as it is created with it. */
const REBUILT = [
  'description',
  'hostname',
  'personality',
  'adminPass',
  'key_name',
  'user_data',
  'accessIPv4',
  'accessIPv6',
  'trusted_image_certificates',
] as const
const REBUILD: Since = {
  description: '2.19',
  key_name: '2.54',
  user_data: '2.57',
  personality: '2.1-2.56',
  trusted_image_certificates: '2.63',
  hostname: '2.90',
}

/** POST /servers/{id}/action: one entry for each operation, in its own words. Most begin a saga (app/action.ts) and answer 202. */
export function serverActionRoutes(context: ComputeContext): Route[] {
  /** An operation whose whole rule is where it may begin. */
  const simple =
    (action: string, saga: string, vmStates: VmState[] | undefined, taskState: string, input: object = {}) =>
    async (row: InstanceRow, request: ApiRequest) =>
      void (await operate(context, request.context, row, { action, saga, vmStates, taskState, input: { ...input } }))

  const actions: Record<string, Action> = {
    reboot: {
      doc: 'Reboot a server, SOFT (the guest is asked) or HARD (power off and on)',
      policy: 'servers:reboot',
      body: Type.Object({ type: Choice(['SOFT', 'HARD', 'soft', 'hard', 'Soft', 'Hard']) }, closed),
      async run(row, request) {
        const hard = request.body.reboot.type.toUpperCase() === 'HARD'
        await operate(context, request.context, row, {
          action: 'reboot',
          saga: hard ? 'hard-reboot-server' : 'reboot-server',
          vmStates: hard ? ['active', 'stopped', 'paused', 'suspended', 'error'] : ['active'],
          taskStates: hard ? [null, 'rebooting', 'rebooting_hard'] : [null],
          taskState: hard ? 'rebooting_hard' : 'rebooting',
        })
      },
    },
    'os-start': {
      doc: 'Start a stopped server',
      policy: 'servers:start',
      run: simple('start', 'start-server', ['stopped'], 'powering-on'),
    },
    'os-stop': {
      doc: 'Stop a running server',
      policy: 'servers:stop',
      run: simple('stop', 'stop-server', ['active', 'rescued', 'error'], 'powering-off'),
    },
    pause: {
      doc: 'Pause a server: its memory stays',
      policy: 'os-pause-server:pause',
      run: simple('pause', 'pause-server', ['active'], 'pausing'),
    },
    unpause: {
      doc: 'Go on with a paused server',
      policy: 'os-pause-server:unpause',
      run: simple('unpause', 'unpause-server', ['paused'], 'unpausing'),
    },
    suspend: {
      doc: 'Suspend a server: its memory is written to disk',
      policy: 'os-suspend-server:suspend',
      run: simple('suspend', 'suspend-server', ['active'], 'suspending'),
    },
    resume: {
      doc: 'Go on with a suspended server',
      policy: 'os-suspend-server:resume',
      run: simple('resume', 'resume-server', ['suspended'], 'resuming'),
    },
    resize: {
      doc: 'Resize a server to another flavor; to be confirmed or reverted',
      policy: 'servers:resize',
      body: Type.Object(
        { flavorRef: Type.Union([Type.String({ minLength: 1 }), Type.Integer()]), 'OS-DCF:diskConfig': Type.Optional(DiskConfig) },
        closed,
      ),
      run: (row, request) =>
        resize(context, request.context, row, String(request.body.resize.flavorRef), { autoDiskConfig: isAuto(request.body.resize) }),
    },
    evacuate: {
      doc: 'Build a server of a dead host again on another one: same ports, addresses and volumes, its disk from the image',
      policy: 'os-evacuate',
      status: 200,
      response: AdminPass,
      body: Type.Object(
        {
          host: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
          adminPass: Type.Optional(Type.String()),
          onSharedStorage: Type.Optional(Truth),
          force: Type.Optional(Truth),
        },
        closed,
      ),
      async run(row, request) {
        refuseUnknown(request, 'evacuate', request.body.evacuate, { onSharedStorage: '2.1-2.13', force: '2.29-2.67' })
        const { host, adminPass = password(), ...old } = request.body.evacuate
        if (!('onSharedStorage' in old) && !request.version.atLeast('2.14')) throw required('evacuate', 'onSharedStorage')
        await evacuate(context, request.context, row, { target: host ?? null, adminPass })
        return { adminPass }
      },
    },
    confirmResize: {
      doc: 'Confirm a resize: the way back is given up',
      status: 204,
      policy: 'servers:confirm_resize',
      async run(row, request) {
        await confirmResize(context, request.context, row)
      },
    },
    revertResize: {
      doc: 'Revert a resize',
      policy: 'servers:revert_resize',
      run: (row, request) => revertResize(context, request.context, row),
    },
    rebuild: {
      doc: 'Rebuild a server from an image: a new disk, the same addresses',
      policy: 'servers:rebuild',
      response: ServerAnswer,
      body: Type.Object(
        {
          imageRef: Type.String({ format: 'uuid' }),
          name: Type.Optional(Name),
          metadata: Type.Optional(Metadata),
          'OS-DCF:diskConfig': Type.Optional(DiskConfig),
          preserve_ephemeral: Type.Optional(Truth),
          ...Type.Partial(Type.Pick(NewServerBody.properties.server, REBUILT)).properties,
        },
        closed,
      ),
      async run(row, request) {
        const body = request.body.rebuild
        refuseUnknown(request, 'rebuild', body, REBUILD)
        const certificates = body.trusted_image_certificates
        if (certificates !== undefined) request.enforce('os_compute_api:servers:rebuild:trusted_certs', { project_id: row.project_id })
        const adminPass = body.adminPass ?? password()
        await rebuild(context, request.context, row, {
          imageRef: body.imageRef,
          name: body.name,
          description: body.description,
          hostname: body.hostname,
          metadata: body.metadata,
          files: body.personality,
          adminPass,
          keyName: body.key_name,
          userData: body.user_data,
          accessIPv4: body.accessIPv4,
          accessIPv6: body.accessIPv6 && canonical(body.accessIPv6),
          trustedCertificates: certificates,
          autoDiskConfig: isAuto(body),
          volumeToo: request.version.atLeast('2.93'),
          unboundDisk: request.allowed(ZERO_DISK, { project_id: row.project_id }),
        })
        const now = await findServer(context, row.id, viewerOf(request))
        const devices = (await devicesByServer(context, [now])).get(row.id) ?? []
        // the saga takes the image when the old disk is safe, and who boots from a volume has none; user data have their own name here
        const { 'OS-EXT-SRV-ATTR:user_data': _shownBelow, ...view } = changedView(
          request,
          { ...now, image_id: now.image_id && body.imageRef },
          devices,
          (await hostStatuses(context, request))(now.host),
        )
        return {
          server: {
            ...view,
            ...(request.version.atLeast('2.54') ? { key_name: now.key_name } : {}),
            ...(request.version.atLeast('2.57') ? { user_data: now.user_data } : {}),
            adminPass,
          },
        }
      },
    },
    rescue: {
      doc: 'Boot a rescue image with the server’s own disk as the second one',
      policy: 'os-rescue',
      status: 200,
      response: AdminPass,
      body: Nullable(
        Type.Object({ adminPass: Type.Optional(Type.String()), rescue_image_ref: Type.Optional(Type.String({ format: 'uuid' })) }, closed),
      ),
      async run(row, request) {
        const imageRef = request.body.rescue?.rescue_image_ref ?? null
        await rescue(context, request.context, row, { imageRef, volumeBootedToo: request.version.atLeast('2.87') })
        return { adminPass: request.body.rescue?.adminPass ?? '' }
      },
    },
    unrescue: {
      doc: 'Boot the server’s own disk again',
      policy: 'os-unrescue',
      run: simple('unrescue', 'unrescue-server', ['rescued'], 'unrescuing'),
    },
    changePassword: {
      doc: 'Set the administrator’s password in the guest',
      policy: 'os-admin-password',
      body: Type.Object({ adminPass: Type.String() }, closed),
      run: (row, request) =>
        simple('changePassword', 'set-password', ['active'], 'updating_password', { password: request.body.changePassword.adminPass })(
          row,
          request,
        ),
    },
    'os-getConsoleOutput': {
      doc: 'Show what the guest wrote on its console',
      policy: 'os-console-output',
      status: 200,
      response: Shown('output', Type.String()),
      body: Type.Object(
        { length: Type.Optional(Nullable(Type.Union([Type.Integer({ minimum: -1 }), Type.String({ pattern: '^-?[0-9]+$' })]))) },
        closed,
      ),
      async run(row, request) {
        const { length } = request.body['os-getConsoleOutput']
        const lines = length === undefined || length === null || Number(length) === -1 ? null : Number(length)
        return { output: await consoleLog(context, row, lines) }
      },
    },
    lock: {
      doc: 'Lock a server: only administrators may change it',
      policy: 'os-lock-server:lock',
      body: Nullable(Type.Object({ locked_reason: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })) }, closed)),
      run: (row, request) => lockServer(context, row, request.body.lock?.locked_reason ?? null),
    },
    unlock: { doc: 'Unlock a server', policy: 'os-lock-server:unlock', run: (row) => unlockServer(context, row) },
    forceDelete: {
      doc: 'Delete a server whatever its state',
      policy: 'os-deferred-delete:force',
      run: (row, request) => deleteServer(context, request.context, row),
    },
    restore: {
      doc: 'Bring back a server whose deletion waits: none does here, it is gone at once',
      policy: 'os-deferred-delete:restore',
      run: async (row) => mustBeSoftDeleted(row),
    },
    addSecurityGroup: {
      doc: 'Add a security group to all ports of a server',
      policy: 'os-security-groups:add',
      body: Type.Object({ name: Name }, closed),
      run: (row, request) => addSecurityGroup(context, request.context, row, request.body.addSecurityGroup.name),
    },
    removeSecurityGroup: {
      doc: 'Take a security group from all ports of a server',
      policy: 'os-security-groups:remove',
      body: Type.Object({ name: Name }, closed),
      run: (row, request) => removeSecurityGroup(context, request.context, row, request.body.removeSecurityGroup.name),
    },
    'os-resetState': {
      doc: 'Say that a server is active or in error',
      policy: 'os-admin-actions:reset_state',
      body: Type.Object({ state: Choice(['active', 'error']) }, closed),
      run: (row, request) => resetState(context, row, request.body['os-resetState'].state),
    },
    injectNetworkInfo: {
      doc: 'Kept for old clients: does nothing',
      policy: 'os-admin-actions:inject_network_info',
      run: async () => {},
    },
    resetNetwork: { doc: 'Kept for old clients: does nothing', policy: 'os-admin-actions:inject_network_info', run: async () => {} },
    trigger_crash_dump: {
      doc: 'Send the guest a non-maskable interrupt, on which its kernel dumps its memory',
      policy: 'servers:trigger_crash_dump',
      microversions: { min: '2.17' },
      body: Type.Null(),
      run: (row, request) => triggerCrashDump(context, request.context, row),
    },
    migrate: {
      doc: 'Move a server to another host, standing still; to be confirmed or reverted',
      policy: 'os-migrate-server:migrate',
      body: Nullable(Type.Object({ host: Type.Optional(Nullable(HostName)) }, closed)),
      async run(row, request) {
        const wanted: { host?: string | null } | null = request.body.migrate
        refuseUnknown(request, 'migrate', wanted, { host: '2.56' })
        if (wanted?.host) request.enforce('os_compute_api:os-migrate-server:migrate:host', await target(request))
        await migrate(context, request.context, row, wanted?.host ?? null)
      },
    },
    'os-migrateLive': {
      doc: 'Move a server to another host while it runs',
      policy: 'os-migrate-server:migrate_live',
      body: Type.Object(
        {
          host: Nullable(HostName),
          block_migration: Type.Union([Truth, Type.Literal('auto')]),
          disk_over_commit: Type.Optional(Truth),
          force: Type.Optional(Truth),
        },
        closed,
      ),
      async run(row, request) {
        const { host, block_migration: block, ...old } = request.body['os-migrateLive']
        const { version } = request
        refuseUnknown(request, 'os-migrateLive', old, { disk_over_commit: '2.1-2.24', force: '2.30-2.67' })
        if (!('disk_over_commit' in old) && !version.atLeast('2.25')) throw required('os-migrateLive', 'disk_over_commit')
        if (block === 'auto' && !version.atLeast('2.25'))
          throw badRequest("Invalid input for field/attribute block_migration. Value: auto. 'auto' is not one of [True, False]")
        const blockMigration = block === 'auto' ? block : isTrue(block)
        await liveMigrate(context, request.context, row, { target: host, blockMigration, wait: !version.atLeast('2.34') })
      },
    },
    'os-getVNCConsole': {
      doc: 'A console URL, as clients before 2.6 ask for it',
      policy: 'os-remote-consoles',
      microversions: { max: '2.5' },
      status: 200,
      response: Shown('console', Type.Object({ type: Type.String(), url: Type.String() })),
      body: Type.Object({ type: Choice(['novnc', 'xvpvnc']) }, closed),
      run: async (row, request) => ({ console: await oldConsole(context, row, request) }),
    },
  }

  const target = targetServer(context)
  const all = [...Object.entries({ ...actions, ...shelveActions(context) }), ...pictureActions(context)]
  return all.map(
    ([action, { doc, policy, body, microversions, response = 'nothing', status = 202, run }]): Route => ({
      method: 'POST',
      path: '/servers/:server_id/action',
      action,
      doc,
      policy: `os_compute_api:${policy}`,
      target,
      microversions,
      status,
      body: Wrapped(action, body ?? Nothing),
      response,
      async handler(request) {
        const answer = await run(await server(context, request), request)
        return answer instanceof Reply ? answer : new Reply(answer, { status })
      },
    }),
  )
}

async function oldConsole(context: ComputeContext, row: InstanceRow, request: ApiRequest) {
  const { url } = await remoteConsole(context, row, 'vnc')
  return { type: request.body['os-getVNCConsole'].type, url }
}
