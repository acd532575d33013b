/** The rows as the API's views see them. */
export type { ActionRow, BlockDeviceRow, InstanceRow, KeypairRow, VmState } from '../db/tables.ts'
