import { at, saga, step } from '../../kernel/saga/saga.ts'
import { attachBlockDevices, detachBlockDevices } from './block-devices.ts'
import * as build from './build.ts'
import { says } from './evidence.ts'
import { allocateNetwork, deallocateNetwork, forgetNetworkInfo, networkInfo, waitUntilPlugged } from './networking.ts'
import * as schedule from './schedule.ts'

/**
 * The article in code: the creation of a virtual machine, from the accepted request to the running guest. Steps 1 to 7 are the request itself (app/accept.ts); 19, 20, 22 and
 * 23 happen in the network service while 18 is under way; 38 to 43 are seen by who sees them. Steps without undo leave nothing: they read, send a message, or what they made goes
 * with what an earlier step made.
 */
export const createServer = saga<build.Build>(
  'create-server',
  [
    step(8, 'filter-properties', at.control, schedule.makeFilterProperties, null, { ...says.filterProperties, looks: true }),
    step(9, 'call-conductor', at.control, schedule.callConductor, null, { ...says.called, looks: true }),
    step(10, 'request-spec', at.conductor, schedule.makeRequestSpec, null, { ...says.spec, looks: true }),
    step(11, 'call-scheduler', at.conductor, schedule.callScheduler, null, { ...says.called, looks: true }),
    step(12, 'host-states', at.scheduler, schedule.hostStates, null, { ...says.hostStates, looks: true }),
    step(13, 'filter-hosts', at.scheduler, schedule.filterHosts, null, { ...says.filters, looks: true }),
    step(14, 'weigh-hosts', at.scheduler, schedule.weighHosts, null, { ...says.weights, looks: true }),
    step(15, 'select-host', at.conductor, schedule.selectHost, schedule.deselectHost, says.selected),
    step(16, 'receive', at.host, build.receive, null, says.received),
    step(17, 'claim', at.host, build.claim, build.unclaim, says.claim),
    step(18, 'allocate-network', at.control, allocateNetwork, deallocateNetwork, { ...build.task('networking'), ...says.ports }),
    step(21, 'network-info', at.control, networkInfo, forgetNetworkInfo, says.networkInfo),
    step(null, 'block-devices', at.control, attachBlockDevices, detachBlockDevices, build.task('block_device_mapping')),
    step(24, 'spawn', at.control, build.spawn, null, { ...build.task('spawning'), ...says.spawn }),
    step(25, 'prepare-directory', at.host, build.prepareDirectory, build.removeDirectory, says.path),
    step(26, 'fetch-base', at.host, build.fetchBase, null, says.base), // the cache is shared by all servers and ages
    step(27, 'create-overlay', at.host, build.createOverlay, build.removeDisk, says.overlay),
    step(28, 'resize-disk', at.host, build.resizeDisk, null, says.size),
    step(29, 'config-drive', at.host, build.configDrive, build.removeConfigDrive, says.configDrive),
    step(30, 'inject-files', at.host, build.injectFiles, null, says.injected),
    step(31, 'domain-xml', at.host, build.domainXml, null, says.xml),
    step(32, 'define-domain', at.host, build.define, build.undefine, says.defined),
    step(33, 'create-qbr', at.host, build.createBridge, build.unplug, says.bridges),
    step(34, 'create-veth', at.host, build.createVeth, build.unplug, says.pairs),
    step(35, 'join-qbr', at.host, build.joinBridge, build.unplug, says.joined),
    step(36, 'join-br-int', at.host, build.joinIntegration, build.unplug, says.joined),
    step(null, 'launch-domain', at.host, build.launch, build.destroy), // its processors stand still until the network is there
    step(null, 'vif-plugged', at.control, waitUntilPlugged, null),
    step(37, 'start-domain', at.host, build.start, build.destroy, says.started),
    step(null, 'active', at.control, build.becomeActive, null),
  ],
  { retry: { from: 'select-host', when: build.mayGoElsewhere }, failed: build.tellWhy },
)
