"""Run looks of mignet, and put what each tells into a Pushgateway. Runs by itself, in the CronJob that is exported.

Arguments: the Pushgateway's address, and each look in one argument, such as `drift --all`. What a look finds is no
failure of this job: the metrics tell it. Ends with 1 when a look told nothing, or it could not be delivered.
"""

import shlex
import subprocess
import sys
import urllib.request

SECONDS = 30


def main(gateway: str, looks: list[str]) -> int:
    """Run each look, and replace what the gateway has of its verb."""
    failed = 0
    # It stands in the same namespace: no proxy is between.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for look in looks:
        verb, *arguments = shlex.split(look)
        command = ["mignet", verb, *arguments, "--output", "openmetrics"]
        # Why there is nothing stands in its errors, which go where this job's go.
        told = subprocess.run(command, stdout=subprocess.PIPE, check=False).stdout  # noqa: S603
        if not told.endswith(b"# EOF\n"):
            print(f"mignet {look}: told no metrics", file=sys.stderr)  # noqa: T201
            failed = 1
            continue
        request = urllib.request.Request(  # noqa: S310
            f"{gateway}/metrics/job/migration-network/verb/{verb}",
            data=told,
            method="PUT",
            headers={"Content-Type": "text/plain; version=0.0.4"},
        )
        try:
            opener.open(request, timeout=SECONDS).close()
        except OSError as error:
            print(f"mignet {look}: not delivered to {gateway}: {error}", file=sys.stderr)  # noqa: T201
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
