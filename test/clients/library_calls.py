"""Calls of Python libraries as one types them into an interpreter, and what they answer drawn like a client's table."""

import enum

import openstack

NAMES = {}


def openstacksdk(line):
    NAMES.setdefault('cloud', openstack.connect())
    return call(line, lambda one: {key: value for key, value in one.to_dict().items() if key != 'location'})


def libcloud(line):
    if 'compute' not in NAMES:
        NAMES.update(drivers())
    return call(line, attributes)


def drivers():
    import os

    from libcloud.compute.providers import get_driver
    from libcloud.compute.types import Provider

    driver = get_driver(Provider.OPENSTACK)(
        os.environ['OS_USERNAME'],
        os.environ['OS_PASSWORD'],
        ex_force_auth_url=f"{os.environ['OS_AUTH_URL'].rstrip('/')}/auth/tokens",
        ex_force_auth_version='3.x_password',
        ex_tenant_name=os.environ['OS_PROJECT_NAME'],
        ex_force_service_region=os.environ['OS_REGION_NAME'],
        api_version='2.2',
    )
    return {'compute': driver}


def attributes(one):
    plain = {key: value for key, value in vars(one).items() if not key.startswith('_') and key not in ('driver', 'extra')}
    return {**plain, **{f'extra.{key}': value for key, value in getattr(one, 'extra', {}).items()}}


def call(line, fields):
    """Evaluates `name = expression` or an expression; prints the fields that have a value, of a list those of its first element."""
    name, is_, expression = line.partition(' = ')
    if not is_ or not name.isidentifier():
        name, expression = '_', line
    answer = eval(expression, NAMES)
    if not isinstance(answer, (str, bytes, dict, bool)) and hasattr(answer, '__iter__') and not hasattr(answer, 'to_dict'):
        answer = list(answer)
    NAMES[name] = answer
    one = answer[0] if isinstance(answer, list) and answer else answer
    if one is None or isinstance(one, (str, bytes, bool, int, list)):
        return 0
    values = one if type(one) is dict else fields(one)
    print('| Field | Value |')
    for key in sorted(values, key=str):
        value = values[key]
        if value not in (None, [], {}, ''):
            print(f'| {key} | {value.value if isinstance(value, enum.Enum) else value} |')
    return 0
