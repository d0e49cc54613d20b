"""The load by which `make pgo` learns what the program does most: mostly tokens that were seen before, then new
ones, bad ones, and events; through Envoy and over both doors.

    PORTCULLIS=target/pgo/…/portcullis benches/train.py
"""

import shutil

import load
from harness import Envoy, Portcullis, ext_authz, grpc_cluster, kit, work_directory


def main() -> None:
    work = work_directory()
    tokens = work / "tokens"
    kit("mint", tokens, "--rotating", 20_000, "--fresh", 8000, "--fresh-rsa", 4000, "--rotations", 0)
    kit("fill", work / "data", "--live", 100_000)
    server = Portcullis(work, "train", tokens / "jwks.json", work / "data", cache="256MiB", workers=None)
    envoy = Envoy(work, {"ours": [ext_authz("ours", None)]}, [grpc_cluster("ours", server.socket)])
    try:
        load.check(server.port, tokens / "repeat.body", 200_000)
        for name, count, status in (
            ("rotating", 20_000, 200),
            ("rotating", 20_000, 200),
            ("fresh-es256", 8000, 200),
            ("fresh-rs256", 4000, 200),
            ("garbage", 4000, 401),
            ("expired", 4000, 401),
            ("bad-signature", 4000, 401),
            ("revoked", 4000, 401),
        ):
            load.tokens(envoy.ports["ours"], tokens / f"{name}.txt", 0, count, status)
        load.tokens(server.ports["forward_auth"], tokens / "rotating.txt", 0, 20_000, 200, forwarded=True)
        load.events(server.ports["events"], 64, 3, 0)
    finally:
        envoy.stop()
        # The profile is written at the end.
        server.stop()
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
