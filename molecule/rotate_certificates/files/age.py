"""Put certificates of the cluster's own authority that end tomorrow into the Secrets: age.py NAMESPACE CLUSTER.

As the play would have issued them a year ago, less a day. Prints the Secrets that it changed.
"""

from __future__ import annotations

import base64
import datetime
import os
import sys

from ansible_collections.pgherd.postgres.plugins.module_utils import x509
from cryptography.x509 import DNSName, IPAddress, load_pem_x509_certificate
from cryptography.x509.oid import ExtendedKeyUsageOID
from kubernetes import client, config

LIFE = datetime.timedelta(days=365)


def leaf_like(pem: bytes) -> x509.Leaf:
    """What this certificate says."""
    found = load_pem_x509_certificate(pem)
    names = found.extensions.get_extension_for_class(x509.x509.SubjectAlternativeName).value
    usages = set(found.extensions.get_extension_for_class(x509.x509.ExtendedKeyUsage).value)
    return x509.Leaf(
        x509.subject_of(pem),
        tuple(names.get_values_for_type(DNSName)),
        tuple(map(str, names.get_values_for_type(IPAddress))),
        ExtendedKeyUsageOID.SERVER_AUTH in usages,
        ExtendedKeyUsageOID.CLIENT_AUTH in usages,
    )


def main(namespace: str, cluster: str) -> None:
    config.load_kube_config(os.environ["K8S_AUTH_KUBECONFIG"])
    api = client.CoreV1Api()
    secrets = api.list_namespaced_secret(namespace, label_selector=f"pgherd.dev/cluster={cluster}").items
    values = {
        each.metadata.name: {key: base64.b64decode(value) for key, value in each.data.items()}
        for each in secrets
        if "tls.crt" in each.data
    }
    signing = values.pop(f"{cluster}-ca")
    authority = x509.Pair(signing["tls.crt"], signing["tls.key"])
    begins = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1) - LIFE
    for name, data in values.items():
        made = x509.new_leaf(authority, leaf_like(data["tls.crt"]), begins, LIFE)
        texts = {"tls.crt": base64.b64encode(made.certificate).decode(), "tls.key": base64.b64encode(made.key).decode()}
        api.patch_namespaced_secret(name, namespace, {"data": texts})
        print(name)


main(*sys.argv[1:])
