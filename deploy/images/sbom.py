#!/usr/bin/env python3
"""Prints what is inside the image as a CycloneDX document: the crates that the binary is built from, and the libraries
of this machine that go with it.

    sbom.py VERSION [LIBRARY…]
"""
import hashlib
import json
import subprocess
import sys
import urllib.parse
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, cwd=ROOT, text=True).stdout


def crates():
    """The packages of the lock file that `shixun` is built from for this machine, and what each needs."""
    host = next(line.split()[1] for line in run("rustc", "--version", "--verbose").splitlines() if line.startswith("host"))
    metadata = json.loads(run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host))
    packages = {package["id"]: package for package in metadata["packages"]}
    needs = {}
    for node in metadata["resolve"]["nodes"]:
        needs[node["id"]] = [need["pkg"] for need in node["deps"] if is_built_in(need)]
    top = next(id for id, package in packages.items() if package["name"] == "shixun")
    reached, waiting = set(), [top]
    while waiting:
        id = waiting.pop()
        if id not in reached:
            reached.add(id)
            waiting.extend(needs[id])
    return top, {id: packages[id] for id in reached}, needs


def is_built_in(need):
    """What tests alone need is not in the binary."""
    return any(kind["kind"] != "dev" for kind in need["dep_kinds"])


def crate_component(package):
    component = {
        "type": "library",
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
        "purl": reference(package),
    }
    if package["license"]:
        component["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    return component


def reference(package):
    return f"pkg:cargo/{package['name']}@{quoted(package['version'])}"


def quoted(version):
    return urllib.parse.quote(version, safe="")


def debian_component(library):
    """The Debian package that a library is of, or the bare file where there is none."""
    file = Path(library).resolve()
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for path in (file, Path(str(file).removeprefix("/usr"))):
        owner = subprocess.run(["dpkg", "-S", path], capture_output=True, text=True)
        if owner.returncode == 0:
            package = owner.stdout.split(":")[0]
            version, architecture = run("dpkg-query", "-W", "-f=${Version} ${Architecture}", package).split()[:2]
            purl = f"pkg:deb/debian/{package}@{quoted(version)}?arch={architecture}"
            return {"type": "library", "bom-ref": purl, "name": package, "version": version, "purl": purl}
    hashes = [{"alg": "SHA-256", "content": digest}]
    return {"type": "file", "bom-ref": str(file), "name": file.name, "hashes": hashes}


def main():
    version, libraries = sys.argv[1], sys.argv[2:]
    top, packages, needs = crates()
    components = [crate_component(package) for id, package in packages.items() if id != top]
    system = {component["bom-ref"]: component for component in map(debian_component, libraries)}
    application = f"pkg:generic/shixun@{version}"
    names = {id: application if id == top else reference(package) for id, package in packages.items()}
    dependencies = [{"ref": names[id], "dependsOn": sorted({names[need] for need in needs[id]})} for id in packages]
    for dependency in dependencies:
        if dependency["ref"] == application:
            dependency["dependsOn"] += sorted(system)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": application,
                "name": "shixun",
                "version": version,
                "licenses": [{"license": {"id": "Apache-2.0"}}],
            }
        },
        "components": sorted(components + list(system.values()), key=lambda component: component["bom-ref"]),
        "dependencies": sorted(dependencies, key=lambda dependency: dependency["ref"]),
    }
    json.dump(document, sys.stdout, indent=1, sort_keys=True)
    print()


if __name__ == "__main__":
    main()
