/** The rows as the API's views see them. */
export type { ActionRow, BlockDeviceRow, InstanceRow, KeypairRow, MigrationRow, VmState } from '../db/tables.ts'
