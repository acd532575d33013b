import { timestamp } from '../../kernel/db/columns.ts'
import type { Handle } from './images.ts'
import type { TaskRow, TaskStatus } from './tables.ts'

export async function insertTask(db: Handle, task: TaskRow): Promise<void> {
  await db.insertInto('image_tasks').values(task).execute()
}

/** Oldest first. */
export const tasksOf = (db: Handle, imageId: string): Promise<TaskRow[]> =>
  db.selectFrom('image_tasks').selectAll().where('image_id', '=', imageId).orderBy('created_at').orderBy('id').execute()

/** Ends the task that an import goes by. */
export async function endTask(db: Handle, uploadId: string, status: TaskStatus, message: string): Promise<void> {
  await db.updateTable('image_tasks').set({ status, message, updated_at: timestamp() }).where('upload_id', '=', uploadId).execute()
}

export async function forgetTasks(db: Handle, expiredAt: string): Promise<void> {
  await db.deleteFrom('image_tasks').where('expires_at', '<', expiredAt).execute()
}
