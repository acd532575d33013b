"""Reads a subunit stream and writes one line of JSON for each test: id, status, seconds, and why it failed or was skipped."""

import json
import sys

import subunit
import testtools


def text(test, name):
    return "".join(content.as_text() for key, content in test["details"].items() if key == name or key.startswith(name + "-"))


def tell(test):
    if test["status"] == "exists":  # that there is such a test
        return
    started, ended = test["timestamps"]
    seconds = (ended - started).total_seconds() if started and ended else 0
    line = {"id": test["id"], "status": test["status"], "seconds": seconds, "reason": text(test, "reason"), "traceback": text(test, "traceback")}
    print(json.dumps(line), flush=True)


result = testtools.StreamToDict(tell)
result.startTestRun()
subunit.ByteStreamToStreamResult(sys.stdin.buffer, non_subunit_name="output").run(result)
result.stopTestRun()
