#!/usr/bin/env python3
"""Renders the overlays, and validates each manifest strictly against the three newest Kubernetes minors at hand.

Custom resources, whose schemas only their operators have, are named and skipped.
"""
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import yaml
from kubernetes_validate.utils import SchemaNotFoundError, ValidationError, all_versions

HERE = Path(__file__).parent
# The only API groups that may be unknown.
CUSTOM = {"postgresql.cnpg.io", "external-secrets.io", "cert-manager.io", "traefik.io"}


def newest_minors(count):
    minors = {tuple(int(part) for part in version.split(".")[:2]) for version in all_versions()}
    return [".".join(map(str, minor)) for minor in sorted(minors)[-count:]]


def render(overlay):
    rendered = subprocess.run(["kubectl", "kustomize", overlay], check=True, stdout=subprocess.PIPE)
    return [manifest for manifest in yaml.safe_load_all(rendered.stdout) if manifest]


def main():
    minors = newest_minors(3)
    faults, validated = [], 0
    for overlay in sorted((HERE / "overlays").iterdir()):
        manifests = render(overlay)
        skipped = {}
        for manifest in manifests:
            kind, name = manifest["kind"], manifest["metadata"]["name"]
            if manifest["apiVersion"].partition("/")[0] in CUSTOM:
                skipped.setdefault(f"{manifest['apiVersion']} {kind}", []).append(name)
                continue
            for minor in minors:
                try:
                    kubernetes_validate.validate(manifest, minor, strict=True)
                    validated += 1
                except SchemaNotFoundError:
                    faults.append(f"{overlay.name}: {minor} has no {manifest['apiVersion']} {kind} ({name})")
                except ValidationError as error:
                    faults.append(f"{overlay.name}: {kind} {name} in {minor}: {error.message} at {list(error.path)}")
        print(f"{overlay.name}: {len(manifests)} manifests")
        for kind, names in skipped.items():
            print(f"  not validated, {kind}: {', '.join(names)}")
    print(f"validated against {', '.join(minors)}: {validated}, faults: {len(faults)}")
    for fault in faults:
        print(fault, file=sys.stderr)
    return bool(faults) or not validated


if __name__ == "__main__":
    sys.exit(main())
