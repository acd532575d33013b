"""Runs commands of OpenStack's Python clients in one interpreter: importing a client takes longer than most of what it is asked to do.

Each line of the input is a JSON array, a program and its arguments; each line of the output what that program printed and its exit code.
"""

import contextlib
import io
import json
import os
import sys


def openstack(arguments):
    from openstackclient import shell

    return shell.OpenStackShell().run(arguments)


def nova(arguments):
    from novaclient import shell

    return shell.OpenStackComputeShell().main(arguments)


def cinder(arguments):
    from cinderclient import shell

    return shell.OpenStackCinderShell().main(arguments)


def neutron(arguments):
    from neutronclient import shell

    return shell.NeutronShell('2.0').run(arguments)


def sdk(arguments):
    import library_calls

    return library_calls.openstacksdk(' '.join(arguments))


def libcloud(arguments):
    import library_calls

    return library_calls.libcloud(' '.join(arguments))


PROGRAMS = {one.__name__: one for one in (openstack, nova, cinder, neutron, sdk, libcloud)}


def answer(program, arguments):
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = PROGRAMS[program](arguments) or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1 if end.code else 0
        except Exception as fault:
            print(fault, file=sys.stderr)
            code = 1
    return {'code': code, 'stdout': out.getvalue(), 'stderr': err.getvalue()}


answers, commands = sys.stdout, os.fdopen(os.dup(0))
# a client that finds something other than a terminal on its input takes it for an image
_terminal, end = os.openpty()
os.dup2(end, 0)
for line in commands:
    program, *arguments = json.loads(line)
    print(json.dumps(answer(program, arguments)), file=answers, flush=True)
