"""How the lab runs etcd and kube-apiserver: all on 127.0.0.1, and nothing answers without a client certificate."""

from pathlib import Path

ADMISSION_OFF = (
    "ServiceAccount",  # It wants a default service account, which a controller would make, in each namespace.
    "TaintNodesByCondition",  # Its not-ready taint would stay: the controller that takes it away does not run.
)


def etcd_command(binary: Path, *, certificates: Path, data: Path, port: int) -> list[str]:
    """Return the command line of an etcd of one member; `certificates` is the folder with ca, server."""
    ca, certificate, key = (certificates / file for file in ("ca.crt", "server.crt", "server.key"))
    client = f"https://127.0.0.1:{port}"
    # A single member has no peers, yet etcd insists on a listener for them: any port, and closed to all but its own CA.
    peer = "https://127.0.0.1:0"
    return [
        str(binary),
        "--name=lab",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        "--client-cert-auth",
        f"--trusted-ca-file={ca}",
        f"--cert-file={certificate}",
        f"--key-file={key}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=lab={peer}",
        "--peer-client-cert-auth",
        f"--peer-trusted-ca-file={ca}",
        f"--peer-cert-file={certificate}",
        f"--peer-key-file={key}",
        # A power failure may cost a disposable lab its data; waiting for the disk would cost every write of every test.
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver_command(
    binary: Path,
    *,
    cluster: str,
    certificates: Path,
    service_network: str,
    etcd_certificates: Path,
    etcd_port: int,
    port: int,
) -> list[str]:
    """Return the command line of the kube-apiserver of `cluster`, whose keys in etcd start with the cluster's name."""
    account = certificates / "service-account.key"
    return [
        str(binary),
        f"--etcd-servers=https://127.0.0.1:{etcd_port}",
        f"--etcd-cafile={etcd_certificates / 'ca.crt'}",
        f"--etcd-certfile={etcd_certificates / 'client.crt'}",
        f"--etcd-keyfile={etcd_certificates / 'client.key'}",
        f"--etcd-prefix=/{cluster}",
        "--bind-address=127.0.0.1",
        "--advertise-address=127.0.0.1",
        f"--secure-port={port}",
        f"--tls-cert-file={certificates / 'server.crt'}",
        f"--tls-private-key-file={certificates / 'server.key'}",
        f"--client-ca-file={certificates / 'ca.crt'}",
        "--anonymous-auth=false",
        "--authorization-mode=RBAC",
        f"--disable-admission-plugins={','.join(ADMISSION_OFF)}",
        # It would publish the loopback address as an endpoint, which the API refuses.
        "--endpoint-reconciler-type=none",
        # It would have a share of each request, and seven kinds of object to begin with; nobody queues here.
        "--enable-priority-and-fairness=false",
        f"--service-account-issuer=https://{cluster}.lab.invalid",
        f"--service-account-key-file={account}",
        f"--service-account-signing-key-file={account}",
        f"--service-cluster-ip-range={service_network}",
    ]
