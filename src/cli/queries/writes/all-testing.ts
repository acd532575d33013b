import { clusterWrites, computeWrites } from './compute-testing.ts'
import { identityWrites } from './identity-testing.ts'
import { imageWrites } from './image-testing.ts'
import { networkWrites } from './network-testing.ts'
import { placementWrites } from './placement-testing.ts'
import { volumeWrites } from './volume-testing.ts'
import type { Writes } from './writes-testing.ts'

/** By service. */
export const WRITES: Record<string, Writes> = {
  cluster: clusterWrites,
  compute: computeWrites,
  identity: identityWrites,
  image: imageWrites,
  network: networkWrites,
  placement: placementWrites,
  volume: volumeWrites,
}
