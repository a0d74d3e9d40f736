"""`workers`: who makes the tracks."""

from trackfarm.cli.console import out, print_json, say
from trackfarm.cli.options import JsonOption
from trackfarm.cli.session import connected


def workers(as_json: JsonOption = False) -> None:
    """List the workers."""
    from trackfarm.cli.tables import workers_table

    with connected() as farm:
        found = farm.workers()
    if as_json:
        print_json(found)
    elif found:
        out().print(workers_table(found))
    else:
        say("no worker has joined this farm yet")
