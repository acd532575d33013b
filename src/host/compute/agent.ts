import { computeTopic, type HostState, host as messages } from '../../compute/rpc.ts'
import type { Message } from '../../kernel/bus/bus.ts'
import { locks } from '../../kernel/locks/locks.ts'
import { Reconciler } from '../../kernel/reconcile/reconciler.ts'
import { audit } from './audit.ts'
import { removeOldBases } from './base-ageing.ts'
import { baseImages } from './base-image.ts'
import { ensureBlankDisks } from './blank-disks.ts'
import { diskOffers, takeDisks } from './carry-disks.ts'
import { buildConfigDrive, removeConfigDrive } from './config-drive.ts'
import { consoleAt, consoleLog, screenshot } from './console.ts'
import { dismiss, partWithDeparted } from './departed.ts'
import { diagnostics } from './diagnostics.ts'
import { define, destroy, launch, powerState, start, undefine } from './domain.ts'
import { makeXml } from './domain-description.ts'
import { factsOf } from './facts.ts'
import { injectFiles } from './file-injection.ts'
import { tellShare } from './governed.ts'
import { findMark, leaveMark, prepareDirectory, removeDirectory, removeMark } from './instance-directory.ts'
import { attachInterface, detachInterface } from './interfaces.ts'
import { dropDisk, keepDisk, restoreDisk } from './kept-disks.ts'
import * as live from './live-migration.ts'
import type { ComputeHostOptions } from './options.ts'
import { createOverlay, removeDisk } from './overlay.ts'
import { ownDomains } from './own-domains.ts'
import { makePassable } from './passable.ts'
import { placesIn } from './places.ts'
import { createBridge, createVeth, joinBridge, joinIntegration, unplug, waitWired } from './plug.ts'
import { injectNmi, pause, reboot, resume, setPassword, stop, suspend, unpause } from './power.ts'
import { receive } from './receive.ts'
import { hostState, reporter } from './report.ts'
import { resizeDisk } from './resize-disk.ts'
import { resourceTracker } from './resource-tracker.ts'
import { rootDisk } from './root-disk.ts'
import { discardSnapshot, mergeLeftDeltas, takeSnapshot } from './snapshot.ts'
import { breakOffCopy, copyVolume, pivotVolume } from './swap-volume.ts'
import { holdSecrets } from './volume-secrets.ts'
import { attachVolume, detachVolume, extendVolume } from './volumes.ts'
import { watchGuests } from './watch.ts'
import type { World } from './world.ts'

export interface ComputeHost {
  /** Serves this host's messages; what an earlier process promised is promised still. @throws Fault 503 when control cannot say which servers are still this host's */
  start(): Promise<void>
  /** Guests run on. */
  stop(): Promise<void>
  state(): Promise<HostState>
}

const BASES_EVERY_MS = 3_600_000

/** Does on this host what compute's control decides, and tells it how host and guests are. Keeps nothing that files, libvirt and the switch do not. */
export function createComputeHost(options: ComputeHostOptions): ComputeHost {
  const { bus, host, machine, log } = options
  const startedAt = new Date().toISOString()
  let ioOps = 0
  const world: World = {
    options,
    machine,
    log,
    places: placesIn(options.directory, host),
    facts: factsOf(options),
    domains: ownDomains(machine.libvirt),
    async busy(work) {
      ioOps++
      try {
        return await work()
      } finally {
        ioOps--
      }
    },
  }
  const tracker = resourceTracker(world)
  const state = () => hostState(world, tracker, ioOps, startedAt)
  const report = reporter(world, state)
  const fetchBase = baseImages(world)
  const offers = diskOffers(world)
  const locked = locks()
  const ageing = new Reconciler({ name: 'base-images', everyMs: BASES_EVERY_MS, log, run: () => removeOldBases(world) })
  const stops: (() => void)[] = []

  function serve<In, Out>(message: Message<In, Out>, work: (payload: In) => Promise<Out>): void {
    stops.push(bus.serve(computeTopic(host), message, work))
  }
  /** What is done to one server is done one after the other. */
  function inTurn<In extends { uuid: string }, Out>(message: Message<In, Out>, work: (payload: In) => Promise<Out>): void {
    serve(message, (payload) => locked(payload.uuid, () => work(payload)))
  }
  const thenReport = async <T>(work: Promise<T>, tell = report.soon): Promise<T> => {
    const result = await work
    tell()
    return result
  }

  function serveBuild(): void {
    serve(messages.receive, (payload) => receive(world, payload))
    inTurn(messages.claim, (payload) => thenReport(tracker.claim(payload), report.sometime))
    inTurn(messages.dismiss, (payload) => thenReport(dismiss(world, tracker, payload)))
    inTurn(messages.unclaim, ({ uuid }) => thenReport(tracker.unclaim(uuid)))
    inTurn(messages.prepareDirectory, ({ uuid }) => prepareDirectory(world, uuid))
    inTurn(messages.removeDirectory, ({ uuid }) => removeDirectory(world, uuid))
    serve(messages.fetchBase, fetchBase)
    inTurn(messages.createOverlay, (payload) => createOverlay(world, payload))
    inTurn(messages.removeDisk, ({ uuid }) => removeDisk(world, uuid))
    inTurn(messages.resizeDisk, (payload) => resizeDisk(world, payload))
    serve(messages.buildConfigDrive, (payload) => locked(payload.instance.uuid, () => buildConfigDrive(world, payload)))
    inTurn(messages.removeConfigDrive, ({ uuid }) => removeConfigDrive(world, uuid))
    serve(messages.injectFiles, (payload) => locked(payload.instance.uuid, () => injectFiles(world, payload)))
    serve(messages.makeXml, (payload) => locked(payload.instance.uuid, () => makeXml(world, payload)))
    inTurn(messages.define, (payload) => define(world, payload))
    inTurn(messages.undefine, ({ uuid }) => undefine(world, uuid))
    inTurn(messages.createBridge, (payload) => createBridge(world, payload))
    inTurn(messages.createVeth, (payload) => createVeth(world, payload))
    inTurn(messages.joinBridge, (payload) => joinBridge(world, payload))
    inTurn(messages.joinIntegration, (payload) => joinIntegration(world, payload))
    serve(messages.unplug, (payload) => unplug(world, payload))
    inTurn(messages.keepDisk, (payload) => world.busy(() => keepDisk(world, payload)))
    inTurn(messages.restoreDisk, (payload) => restoreDisk(world, payload))
    inTurn(messages.dropDisk, (payload) => dropDisk(world, payload))
  }

  function serveMoves(): void {
    inTurn(messages.offerDisks, (payload) => world.busy(() => offers.offer(payload)))
    inTurn(messages.withdrawDisks, ({ uuid }) => offers.withdraw(uuid))
    inTurn(messages.takeDisks, (payload) => world.busy(() => takeDisks(world, payload)))
    inTurn(messages.leaveMark, ({ uuid }) => leaveMark(world, uuid))
    inTurn(messages.findMark, ({ uuid }) => findMark(world, uuid))
    inTurn(messages.removeMark, ({ uuid }) => removeMark(world, uuid))
    inTurn(messages.holdSecrets, (payload) => holdSecrets(world, payload))
    inTurn(messages.rootDisk, ({ uuid }) => rootDisk(world, uuid))
    serve(messages.prepareDisks, ({ instance, rootBytes }) =>
      locked(instance.uuid, () => ensureBlankDisks(world, instance, rootBytes ?? 0)),
    )
    serve(messages.waitWired, (payload) => waitWired(world, payload))
    inTurn(messages.planMigration, (payload) => live.planMigration(world, payload))
    inTurn(messages.beginMigration, (payload) => live.beginMigration(world, payload))
    inTurn(messages.prepareMigration, (payload) => live.prepareMigration(world, payload))
    // it may take an hour, and the guest is looked at meanwhile
    serve(messages.performMigration, (payload) => world.busy(() => live.performMigration(world, payload)))
    inTurn(messages.finishMigration, (payload) => live.finishMigration(world, payload))
    inTurn(messages.confirmMigration, (payload) => live.confirmMigration(world, payload))
    inTurn(messages.abandonMigration, (payload) => live.abandonMigration(world, payload))
    inTurn(messages.cancelMigration, (payload) => live.cancelMigration(world, payload))
    serve(messages.abortMigration, ({ uuid }) => machine.libvirt.abortMigration(uuid))
    serve(messages.forceMigration, ({ uuid }) => machine.libvirt.suspendDomain(uuid))
  }

  /** What pulls the plug waits for nothing. */
  function servePower(): void {
    inTurn(messages.launch, ({ uuid }) => launch(world, uuid))
    inTurn(messages.start, async ({ uuid }) => {
      const started = await start(world, uuid)
      await tellShare(world, started).catch((error) => log.warn({ err: error, uuid }, 'the share of a guest cannot be told'))
      return started.answer
    })
    serve(messages.destroy, ({ uuid }) => destroy(world, uuid))
    serve(messages.powerState, ({ uuid }) => powerState(world, uuid))
    serve(messages.stop, (payload) => stop(world, payload))
    serve(messages.reboot, (payload) => reboot(world, payload))
    inTurn(messages.pause, ({ uuid }) => pause(world, uuid))
    inTurn(messages.unpause, ({ uuid }) => unpause(world, uuid))
    inTurn(messages.suspend, ({ uuid }) => world.busy(() => suspend(world, uuid)))
    inTurn(messages.resume, ({ uuid }) => resume(world, uuid))
    serve(messages.injectNmi, ({ uuid }) => injectNmi(world, uuid))
    serve(messages.setPassword, (payload) => setPassword(world, payload))
  }

  function serveParts(): void {
    const pictures = new Map<string, Promise<{ bytes: number }>>()
    serve(messages.snapshot, (payload) => {
      const work =
        pictures.get(payload.imageId) ?? world.busy(() => takeSnapshot(world, payload)).finally(() => pictures.delete(payload.imageId))
      pictures.set(payload.imageId, work)
      return work
    })
    serve(messages.discardSnapshot, (payload) => discardSnapshot(world, payload))
    inTurn(messages.attachVolume, (payload) => attachVolume(world, payload))
    inTurn(messages.detachVolume, (payload) => detachVolume(world, payload))
    inTurn(messages.extendVolume, (payload) => extendVolume(world, payload))
    inTurn(messages.copyVolume, (payload) => copyVolume(world, payload))
    inTurn(messages.breakOffCopy, (payload) => breakOffCopy(world, payload))
    inTurn(messages.pivotVolume, (payload) => pivotVolume(world, payload))
    inTurn(messages.attachInterface, (payload) => attachInterface(world, payload))
    inTurn(messages.detachInterface, (payload) => detachInterface(world, payload))
  }

  function serveLooks(): void {
    serve(messages.consoleLog, (payload) => consoleLog(world, payload))
    serve(messages.console, (payload) => consoleAt(world, payload))
    serve(messages.diagnostics, ({ uuid }) => diagnostics(world, uuid))
    serve(messages.domainXml, async ({ uuid }) => ({ xml: await machine.libvirt.domainXml(uuid) }))
    serve(messages.screenshot, ({ uuid }) => screenshot(world, uuid))
    serve(messages.report, state)
    serve(messages.audit, () => audit(world, tracker))
  }

  return {
    state,
    async start() {
      await makePassable(options.directory)
      await tracker.load()
      await partWithDeparted(world, tracker)
      await mergeLeftDeltas(world).catch((error) => log.warn({ err: error }, 'a snapshot that was broken off is not cleared away'))
      serveBuild()
      serveMoves()
      servePower()
      serveParts()
      serveLooks()
      stops.push(watchGuests(world, report.soon))
      report.start()
      ageing.start()
    },
    async stop() {
      for (const each of stops.splice(0)) each()
      await Promise.all([report.stop(), ageing.stop(), offers.withdrawAll()])
    },
  }
}
