#!/usr/bin/env python3
"""Renders the overlays, and validates each manifest strictly against the three newest Kubernetes minors at hand, and each custom
resource against what its operator's definition allows; likewise the Jobs that `verify` makes of the Deployments. Then it misspells each
field of each custom resource's `spec` in turn, and holds that to be refused.

    validate.py FOLDER    the crates with the custom resources' types, unpacked (tests/run does so)
"""
import json
import subprocess
import sys
from pathlib import Path

import custom_resources
import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate.utils import SchemaNotFoundError, ValidationError, all_versions

HERE = Path(__file__).parent


class Loader(yaml.SafeLoader):
    """YAML as kubectl reads it: JSON's types, so that an instant is a text."""

    yaml_implicit_resolvers = {
        first: [(tag, words) for tag, words in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def newest_minors(count):
    minors = {tuple(int(part) for part in version.split(".")[:2]) for version in all_versions()}
    return [".".join(map(str, minor)) for minor in sorted(minors)[-count:]]


def render(overlay):
    rendered = subprocess.run(["kubectl", "kustomize", overlay], check=True, stdout=subprocess.PIPE)
    manifests = [manifest for manifest in yaml.load_all(rendered.stdout, Loader) if manifest]
    return manifests + [verification(manifest) for manifest in manifests if manifest["kind"] == "Deployment"]


def verification(deployment):
    made = subprocess.run([HERE / "verify"], check=True, input=json.dumps(deployment).encode(), stdout=subprocess.PIPE)
    return json.loads(made.stdout)


def misspelt(manifest):
    for field in manifest["spec"]:
        others = {name: value for name, value in manifest["spec"].items() if name != field}
        yield field, manifest | {"spec": others | {field + "x": manifest["spec"][field]}}


class Validator:
    def __init__(self, crates):
        self.minors = newest_minors(3)
        self.custom = {
            resource: jsonschema.Draft202012Validator(schema) for resource, schema in custom_resources.schemas(crates).items()
        }
        self.validated = 0

    def faults(self, manifest):
        custom = self.custom.get((manifest["apiVersion"], manifest["kind"]))
        if custom is None:
            yield from self.faults_of_minors(manifest)
            return
        for error in custom.iter_errors(manifest):
            yield f"{error.message} at {error.json_path}"
        # Its metadata is like any other's.
        yield from self.faults_of_minors({"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]})
        for field, wrong in misspelt(manifest):
            if custom.is_valid(wrong):
                yield f"{field} may be misspelt, and nobody notices"

    def faults_of_minors(self, manifest):
        for minor in self.minors:
            try:
                kubernetes_validate.validate(manifest, minor, strict=True)
                self.validated += 1
            except SchemaNotFoundError:
                yield f"nothing is known of {manifest['apiVersion']} {manifest['kind']} in {minor}"
            except ValidationError as error:
                yield f"in {minor}: {error.message} at {list(error.path)}"


def main(crates):
    validator = Validator(Path(crates))
    faults = []
    for overlay in sorted((HERE / "overlays").iterdir()):
        manifests = render(overlay)
        custom = [manifest for manifest in manifests if (manifest["apiVersion"], manifest["kind"]) in validator.custom]
        print(f"{overlay.name}: {len(manifests)} manifests, {len(custom)} of them custom resources")
        for manifest in manifests:
            metadata = manifest["metadata"]
            name = f"{overlay.name}: {manifest['kind']} {metadata.get('name') or metadata['generateName']}"
            faults += (f"{name}: {fault}" for fault in validator.faults(manifest))
    print(f"validated against {', '.join(validator.minors)}: {validator.validated}, faults: {len(faults)}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults) or not validator.validated


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
