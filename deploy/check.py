#!/usr/bin/env python3
"""Checks every file below deploy/, and those for meshes in envoy/, with the program or the schema that it is for.

Needs the Python packages PyYAML, kubernetes-validate (which brings the schemas of Kubernetes),
compose-spec and helm-python-sdk (which is Helm), and envoy, nats-server, promtool and systemd-analyze on the path. What is missing is an error,
unless --lenient turns it into a line of output. `--portcullis PROGRAM` also checks each
configuration of Portcullis, those inside of ConfigMaps too.
"""

import argparse
import itertools
import json
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
        for manifest in parsed(path):
            check_manifest(path.name, manifest)


def check_manifest(origin, manifest):
    what = f"{origin}: {manifest['kind']} {manifest['metadata']['name']}"
    try:
        import kubernetes_validate
    except ImportError:
        return missing(what, "kubernetes-validate")
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        consistent(manifest)
        print(f"ok      {what}")
    except (kubernetes_validate.ValidationError, ValueError) as error:
        fail(what, error)
    if manifest["kind"] == "ConfigMap":
        for name, text in manifest["data"].items():
            check_portcullis(f"{what}, {name}", text)


def check_chart():
    """The chart is clean, what it renders for each of its examples is valid, and wrong values are refused."""
    chart = HERE / "helm" / "portcullis"
    try:
        import helm_python as helm
    except ImportError:
        return missing("helm/portcullis", "helm-python-sdk")
    for example in sorted((chart / "ci").glob("*.yaml")):
        values = parsed(example)[0]
        for error in helm.lint(str(chart), values=values)["errors"]:
            fail(f"helm/{example.name}", error)
        with helm.Chart.load(str(chart)) as loaded:
            rendered = loaded.render(values, name="portcullis", namespace="portcullis")
            for manifest in rendered_manifests(rendered):
                check_manifest(f"helm/{example.name}", manifest)
            for wrong in ({"replicas": 0}, {"colour": 1}, {"config": {"listen": {}}}, {"image": {"repository": ""}}):
                if takes(loaded, {**values, **wrong}, helm.HelmError):
                    fail(f"helm/{example.name}", f"the schema takes {wrong}")


def rendered_manifests(rendered):
    import yaml

    manifests = [one for text in rendered.values() for one in yaml.safe_load_all(text) if one]
    # The Prometheus Operator's schema is not that of Kubernetes.
    return [one for one in manifests if one["apiVersion"] != "monitoring.coreos.com/v1"]


def takes(chart, values, refusal):
    try:
        chart.validate_schema(values)
        return True
    except refusal:
        return False


def check_meshes():
    """The resources with which proxies that others configure ask Portcullis."""
    for name in ("istio", "envoy-gateway", "contour"):
        path = HERE.parent / "envoy" / f"{name}.yaml"
        try:
            import jsonschema
            import kubernetes_validate
        except ImportError:
            missing(path.name, "kubernetes-validate")
            continue
        for resource in parsed(path):
            kind = resource.get("kind", "MeshConfig")
            what = f"{path.name}: {kind}"
            if kind == "Service":
                kubernetes_validate.validate(resource, KUBERNETES, strict=True)
                print(f"ok      {what}")
                continue
            schema = json.loads((path.parent / "schemas" / f"{kind}.json").read_text())
            unknown = json.loads(json.dumps(resource))
            unknown.get("spec", unknown)["unknown"] = 1
            check = jsonschema.Draft202012Validator(schema)
            errors = [error.message for error in check.iter_errors(resource)]
            if check.is_valid(unknown):
                errors.append("the schema takes a property that nobody knows")
            fail(what, "; ".join(errors)) if errors else print(f"ok      {what}")


def consistent(manifest):
    """What a schema cannot see: labels that select nothing, volumes that nobody declared."""
    if manifest["kind"] not in ("Deployment", "StatefulSet"):
        return
    template = manifest["spec"]["template"]
    selected = manifest["spec"]["selector"]["matchLabels"].items()
    if not selected <= template["metadata"]["labels"].items():
        raise ValueError("the selector does not select the pods")
    pod = template["spec"]
    claims = manifest["spec"].get("volumeClaimTemplates", [])
    declared = {volume["name"] for volume in pod["volumes"]} | {claim["metadata"]["name"] for claim in claims}
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
        # Tenths of the exposure level: 1.4 of 10 is what a listener of a network cannot do without.
        run(path.name, "systemd-analyze", "security", "--offline=true", "--threshold=15", copy)


def check_rules():
    """The alerts are valid; each fires on its case and is silent on healthy replicas."""
    place = HERE / "prometheus"
    run("prometheus/rules.yaml", "promtool", "check", "rules", place / "rules.yaml")
    run("prometheus/rules.test.yaml", "promtool", "test", "rules", place / "rules.test.yaml")
    groups = parsed(place / "rules.yaml")[0]["groups"]
    alerts = {rule["alert"] for group in groups for rule in group["rules"]}
    cases = [case for test in parsed(place / "rules.test.yaml")[0]["tests"] for case in test["alert_rule_test"]]
    for kind, wanted in (("fires", True), ("is silent", False)):
        shown = {case["alertname"] for case in cases if bool(case.get("exp_alerts")) == wanted}
        for alert in alerts - shown:
            fail("prometheus/rules.test.yaml", f"no case in which {alert} {kind}")


def check_dashboard():
    """What Grafana would refuse or show wrongly: ids, places, data sources, expressions."""
    import yaml

    path = HERE / "grafana" / "portcullis.json"
    dashboard = json.loads(path.read_text())
    panels = dashboard["panels"]
    wrong = [key for key in ("uid", "title", "schemaVersion", "templating") if not dashboard.get(key)]
    if len({panel["id"] for panel in panels}) != len(panels):
        wrong.append("two panels have the same id")
    for one, other in itertools.combinations([panel["gridPos"] for panel in panels], 2):
        apart = any(a[at] + a[size] <= b[at] for at, size in ("xw", "yh") for a, b in ((one, other), (other, one)))
        if not apart:
            wrong.append(f"panels overlap at {one}")
    targets = [target for panel in panels for target in panel.get("targets", [])]
    places = [*targets, *(panel for panel in panels if panel["type"] != "row")]
    if any(one["datasource"]["uid"] != "${datasource}" for one in places):
        wrong.append("a panel asks another data source than the one that is chosen")
    for why in wrong:
        fail("grafana/portcullis.json", why)
    # promtool knows no dashboards, so it reads the expressions as rules.
    expressions = [target["expr"].replace("$__rate_interval", "5m") for target in targets]
    rules = [{"record": f"panel:{number}", "expr": expr} for number, expr in enumerate(expressions)]
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, file)
        file.flush()
        run("grafana/portcullis.json", "promtool", "check", "rules", file.name)


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--lenient", action="store_true", help="skip what needs a missing tool")
parser.add_argument("--portcullis", help="also run this program's check-config")
options = parser.parse_args()

check_kubernetes()
check_chart()
check_meshes()
check_compose()
compose = HERE / "compose"
check_portcullis("compose/portcullis.yaml", (compose / "portcullis.yaml").read_text())
run("compose/envoy.yaml", "envoy", "--mode", "validate", "--log-level", "warn", "-c", compose / "envoy.yaml")
run("compose/nats.conf", "nats-server", "-t", "-c", compose / "nats.conf", SERVER_NAME="a", NATS_PASSWORD="b")
check_unit()
check_rules()
check_dashboard()
sys.exit(f"{len(failures)} of the files below deploy/ are wrong" if failures else 0)
