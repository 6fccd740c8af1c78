"""Checks rendered manifests, offline: kubernetes.py CRDS VERSION < MANIFESTS.

Each document must meet Kubernetes' own schema of that version, unknown keys refused, or that of a custom resource whose
definition lies in the directory CRDS. Prints how many documents of which kinds there were.
"""

import collections
import pathlib
import sys

import jsonschema
import kubernetes_validate
import yaml


def strict(schema):
    """An OpenAPI schema that also refuses what it does not name, as the API server does when asked to validate."""
    if isinstance(schema, dict):
        if "properties" in schema and not schema.get("x-kubernetes-preserve-unknown-fields"):
            schema.setdefault("additionalProperties", False)
        for value in schema.values():
            strict(value)
    elif isinstance(schema, list):
        for value in schema:
            strict(value)
    return schema


def custom_resources(directory):
    schemas = {}
    for path in pathlib.Path(directory).glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())["spec"]
        for version in definition["versions"]:
            key = (f"{definition['group']}/{version['name']}", definition["names"]["kind"])
            schema = version["schema"]["openAPIV3Schema"]
            schema["properties"]["metadata"] = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
            schemas[key] = strict(schema)
    return schemas


def main(crds, version):
    custom = custom_resources(crds)
    kinds, faults, names = collections.Counter(), [], collections.Counter()
    for document in filter(None, yaml.safe_load_all(sys.stdin)):
        kind, name = document["kind"], document["metadata"]["name"]
        kinds[kind] += 1
        names[(kind, name)] += 1
        try:
            schema = custom.get((document["apiVersion"], kind))
            if schema:
                jsonschema.Draft202012Validator(schema).validate(document)
            else:
                kubernetes_validate.validate(document, version, strict=True)
        except jsonschema.ValidationError as error:
            faults.append(f"{kind} {name}: {'.'.join(map(str, error.absolute_path))}: {error.message}")
        except Exception as error:  # the package raises its own kinds, also for a kind that it does not know
            faults.append(f"{kind} {name}: {error}")
    faults += [f"{kind} {name} appears {count} times" for (kind, name), count in names.items() if count > 1]
    if not kinds:
        faults.append("nothing was rendered")
    if faults:
        sys.exit("\n".join(faults))
    print(", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())))


main(*sys.argv[1:])
