#!/usr/bin/env python3
"""Checks every file below deploy/ with the program or the schema that it is for.

Needs the Python packages PyYAML, kubernetes-validate (which brings the schemas of Kubernetes) and
compose-spec, and envoy, nats-server and systemd-analyze on the path. What is missing is an error,
unless --lenient turns it into a line of output. `--portcullis PROGRAM` also checks each
configuration of Portcullis, those inside of ConfigMaps too.
"""

import argparse
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
KUBERNETES = "1.33"

failures = []


def fail(what, why):
    failures.append(what)
    print(f"FAILED  {what}: {why}")


def run(what, program, *arguments, **environment):
    """Runs a checker; its output counts only when it fails."""
    found = shutil.which(program)
    if found is None:
        return missing(what, program)
    command = [found, *map(str, arguments)]
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
    # systemd-analyze warns of what it ignores and calls that a success.
    if done.returncode != 0 or "Unknown key" in done.stdout:
        return fail(what, done.stdout.strip())
    print(f"ok      {what} ({program})")


def missing(what, tool):
    if options.lenient:
        print(f"skipped {what}: {tool} is not here")
    else:
        fail(what, f"{tool} is not here; --lenient skips this check")


def parsed(path):
    import yaml

    with path.open() as file:
        return [one for one in yaml.safe_load_all(file) if one is not None]


def check_kubernetes():
    for path in sorted((HERE / "kubernetes").glob("*.yaml")):
        try:
            import kubernetes_validate
        except ImportError:
            missing(path.name, "kubernetes-validate")
            continue
        for manifest in parsed(path):
            what = f"{path.name}: {manifest['kind']} {manifest['metadata']['name']}"
            try:
                kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
                consistent(manifest)
                print(f"ok      {what}")
            except (kubernetes_validate.ValidationError, ValueError) as error:
                fail(what, error)
            for name, text in manifest.get("data", {}).items():
                check_portcullis(f"{what}, {name}", text)


def consistent(manifest):
    """What a schema cannot see: labels that select nothing, volumes that nobody declared."""
    if manifest["kind"] != "Deployment":
        return
    template = manifest["spec"]["template"]
    selected = manifest["spec"]["selector"]["matchLabels"].items()
    if not selected <= template["metadata"]["labels"].items():
        raise ValueError("the selector does not select the pods")
    pod = template["spec"]
    declared = {volume["name"] for volume in pod["volumes"]}
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        ports = {port["name"] for port in container["ports"]}
        for mount in container["volumeMounts"]:
            if mount["name"] not in declared:
                raise ValueError(f"nobody declares the volume {mount['name']}")
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind)
            if probe and probe["httpGet"]["port"] not in ports:
                raise ValueError(f"{kind} asks a port that is not there")


def check_compose():
    path = HERE / "compose" / "compose.yaml"
    try:
        from compose_spec import ComposeSpecification, Service
    except ImportError:
        return missing(path.name, "compose-spec")
    document = parsed(path)[0]
    try:
        ComposeSpecification.model_validate(document)
    except ValueError as error:
        return fail(path.name, error)
    known = {field.alias or name for name, field in Service.model_fields.items()}
    for name, service in document["services"].items():
        for key in service.keys() - known:
            fail(path.name, f"{name} has a key {key}, which compose does not know")
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("./") and not (path.parent / source).exists():
                fail(path.name, f"{name} mounts {source}, which is not there")
            elif not source.startswith("./") and source not in document["volumes"]:
                fail(path.name, f"{name} mounts {source}, which nobody declares")
    print(f"ok      {path.name}")


def check_portcullis(what, text):
    if options.portcullis is None:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        file.write(text)
        file.flush()
        run(what, options.portcullis, "check-config", "--config", file.name)


def check_unit():
    path = HERE / "systemd" / "portcullis.service"
    # The program need not be installed to check the unit.
    text = path.read_text().replace("/usr/bin/portcullis", shutil.which("true"))
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder) / path.name
        copy.write_text(text)
        run(path.name, "systemd-analyze", "verify", copy)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--lenient", action="store_true", help="skip what needs a missing tool")
parser.add_argument("--portcullis", help="also run this program's check-config")
options = parser.parse_args()

check_kubernetes()
check_compose()
compose = HERE / "compose"
check_portcullis("compose/portcullis.yaml", (compose / "portcullis.yaml").read_text())
run("compose/envoy.yaml", "envoy", "--mode", "validate", "--log-level", "warn", "-c", compose / "envoy.yaml")
run("compose/nats.conf", "nats-server", "-t", "-c", compose / "nats.conf", SERVER_NAME="a", NATS_PASSWORD="b")
check_unit()
sys.exit(f"{len(failures)} of the files below deploy/ are wrong" if failures else 0)
