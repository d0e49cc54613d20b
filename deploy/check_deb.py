#!/usr/bin/env python3
"""Unpacks a Debian package of Portcullis and checks that it holds what an installation needs."""

import os
import pathlib
import subprocess
import sys
import tempfile

HELD = [
    "usr/bin/portcullis",
    "etc/portcullis/portcullis.yaml",
    "usr/lib/sysusers.d/portcullis.conf",
    "usr/share/doc/portcullis/copyright",
    "usr/share/doc/portcullis/examples/rules.yaml",
    "usr/share/doc/portcullis/configuration.md",
]


def run(*command, **environment):
    return subprocess.run(
        command, env={**os.environ, **environment}, check=True, capture_output=True, text=True
    ).stdout


def check(package, place):
    root, control = place / "root", place / "control"
    run("dpkg-deb", "-x", package, str(root))
    run("dpkg-deb", "-e", package, str(control))
    missing = [name for name in HELD if not (root / name).is_file()]
    # The place of units moved in Debian 13.
    units = [*root.glob("lib/systemd/system/portcullis.service"), *root.glob("usr/lib/systemd/system/portcullis.service")]
    if missing or not units:
        sys.exit(f"{package} lacks {missing or 'the unit'}")
    if (control / "conffiles").read_text().split() != ["/etc/portcullis/portcullis.yaml"]:
        sys.exit("an upgrade would overwrite the configuration, or ask about another file")
    scripts = {name: (control / name).read_text() for name in ("postinst", "prerm", "postrm")}
    if "systemd-sysusers" not in scripts["postinst"] or "#DEBHELPER#" in "".join(scripts.values()):
        sys.exit("the package makes no user, or its scripts are not complete")
    # The program in it takes the configuration in it.
    program = str(root / "usr/bin/portcullis")
    (place / "hooks").write_text("the password of a test")
    config = str(root / "etc/portcullis/portcullis.yaml")
    run(program, "check-config", "--config", config, CREDENTIALS_DIRECTORY=str(place))
    print(f"ok      {package}: {run(program, '--version').strip()}")


with tempfile.TemporaryDirectory() as folder:
    check(sys.argv[1], pathlib.Path(folder))
