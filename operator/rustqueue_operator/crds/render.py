"""The three CRDs as objects and as YAML files. Pure; the files in `crds/` and in the chart are written from this."""

from pathlib import Path
from typing import Any

import yaml

from rustqueue_operator.crds.schema import structural
from rustqueue_operator.kinds.fields import RULES
from rustqueue_operator.kinds.table import CATEGORY, GROUP, KINDS, VERSION, Column, Kind

_NOTE = "# Made by `python -m rustqueue_operator crds`; a test keeps it equal to rustqueue_operator/kinds.\n"
_CHART_HEAD = "{{- if .Values.crds.install }}\n"
_CHART_TAIL = "{{- end }}\n"
_CHART_KEEP = '    {{- if .Values.crds.keep }}\n    "helm.sh/resource-policy": keep\n    {{- end }}\n'
_ANNOTATIONS = "  annotations:\n"


def crd(kind: Kind) -> dict[str, Any]:
    """One CustomResourceDefinition."""
    spec = structural(kind.spec)
    spec[RULES] = kind.rules
    schema = {
        "type": "object",
        "description": " ".join((kind.spec.__doc__ or "").split()),
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": structural(kind.status),
        },
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}", "annotations": {"rustqueue.io/api": VERSION}},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.name,
                "listKind": f"{kind.name}List",
                "plural": kind.plural,
                "singular": kind.name.lower(),
                "shortNames": [kind.short_name],
                "categories": [CATEGORY],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [_column(column) for column in kind.columns],
                    "selectableFields": [{"jsonPath": ".spec.clusterRef.name"}],
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }


def files() -> dict[str, str]:
    """File name to text, for people who apply the CRDs by themselves."""
    return {f"{kind.plural}.yaml": _NOTE + _dumped(crd(kind)) for kind in KINDS.values()}


def chart_files() -> dict[str, str]:
    """The same as templates of the chart: Helm upgrades templates, but never what lies in a chart's `crds` folder."""
    return {
        f"{kind.plural}.yaml": _CHART_HEAD
        + _NOTE
        + _dumped(crd(kind)).replace(_ANNOTATIONS, _ANNOTATIONS + _CHART_KEEP, 1)
        + _CHART_TAIL
        for kind in KINDS.values()
    }


def write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")


def _column(column: Column) -> dict[str, Any]:
    shown = {"name": column.name, "type": column.type, "jsonPath": column.path}
    return {**shown, "priority": column.priority} if column.priority else shown


class _Dumper(yaml.SafeDumper):  # type: ignore[misc]
    """Without anchors: a repeated list is written out, as people and tools expect."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _dumped(value: dict[str, Any]) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text
