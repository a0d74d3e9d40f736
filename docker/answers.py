#!/usr/bin/env python3
"""Exit with 0 if a server of this container answers: the scheduler, or the URL in the argument."""

import os
import ssl
import sys
import urllib.request


def own_url() -> str:
    scheme = "https" if os.environ.get("TRACKFARM_SCHEDULER_TLS_CERTIFICATE") else "http"
    return f"{scheme}://127.0.0.1:{os.environ.get('TRACKFARM_SCHEDULER_PORT', '8700')}/healthz"


def main() -> int:
    url = sys.argv[1] if sys.argv[1:] else own_url()
    # The request goes to this container itself, at an address that no certificate names.
    context = ssl._create_unverified_context()  # noqa: S323
    try:
        with urllib.request.urlopen(url, timeout=4, context=context):  # noqa: S310
            return 0
    except OSError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
