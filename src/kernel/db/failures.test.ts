import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isLost, isNotReady, isRolledBack } from './failures.ts'

/** As the driver makes it of a server's answer: with MariaDB's own numbers it has no name for them. */
const answer = (errno: number, code?: string) => Object.assign(new Error('what the server says'), { errno, code })

test('a node that stops, is full or is outside its cluster is told from a statement that is wrong', () => {
  const cases: [error: Error, lost: boolean, notReady: boolean, rolledBack: boolean][] = [
    [answer(1927), true, false, false],
    [answer(1053, 'ER_SERVER_SHUTDOWN'), true, false, false],
    [answer(1079, 'ER_SHUTDOWN_COMPLETE'), true, false, false],
    [new Error("Can't add new command when connection is in closed state"), true, false, false],
    [answer(1047, 'ER_UNKNOWN_COM_ERROR'), false, true, false],
    [answer(1135, 'ER_CANT_CREATE_THREAD'), false, true, false],
    [answer(1213, 'ER_LOCK_DEADLOCK'), false, false, true],
    [answer(1969), false, false, false],
    [answer(1064, 'ER_PARSE_ERROR'), false, false, false],
  ]
  for (const [error, lost, notReady, rolledBack] of cases)
    assert.deepEqual([isLost(error), isNotReady(error), isRolledBack(error)], [lost, notReady, rolledBack], String((error as any).errno))
})
