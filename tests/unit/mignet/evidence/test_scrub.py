"""What never gets into an archive, and what must stay as it is."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mignet.evidence.scrub import LEFT_OUT, scrubbed, scrubbed_text

HEAD = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImEifQ"
SECRETS = {
    "a token of a service account": f"{HEAD}.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJl_x-y",
    "a token of OpenShift": "sha256~q7pGJp3Z0F4dLmQ1rS9tUvWxYzAbCdEfGhIjKlMnOpQ",
    "a private key": "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEA\n-----END RSA PRIVATE KEY-----",
    "a private key without an end": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ",
    "an OpenSSH key": "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE\n-----END OPENSSH PRIVATE KEY-----",
    "a token of GitHub": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "an access key of AWS": "AKIAIOSFODNN7EXAMPLE",
}
NAMED = [
    ("https://{}@git.example/x", "anna:s3cr3t-Pa55"),
    ("Authorization: Bearer {}", "s3cr3t.Pa55word~x"),
    ("password: {}", "s3cr3t-Pa55"),
    ("PASSWORD={}", "s3cr3t-Pa55"),
    ('{{"password":"{}"}}', "s3cr3t-Pa55"),
    ('{{\\"token\\": \\"{}\\"}}', "s3cr3t-Pa55"),
    ("secure: {}", "v1:abc/def+ghi=:0123456789"),
    ("encryptionsalt: {}", "v1:abc/def+ghi=:v1:0123456789"),
    ("client-key-data: {}", "LS0tLS1CRUdJTiBSU0E"),
]
PUBLIC = [
    "10.200.5.0/24",
    "fd00:200:5::/64",
    "02:00:0a:c8:05:0a",
    "openshift-cnv/my-secondary-network",
    "b7b2a1b0-3c1d-4c43-9df7-0d4a4a5a8c7e",
    '{"cniVersion":"0.3.1","ipam":{"range":"10.200.5.0/24","type":"whereabouts"},"master":"eth1","type":"macvlan"}',
    "-----BEGIN CERTIFICATE-----\nMIIDazCCAlOgAwIBAgIUX\n-----END CERTIFICATE-----",
    "failed to allocate for range 0: no IP addresses available in range set",
    "https://kubernetes.default.svc:443",
    "secret store-csi is not found",
    "The token has expired",
]


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@given(before=st.text(max_size=20), after=st.sampled_from(["", "\n", " and more", '"', ","]))
def test_a_secret_is_found_wherever_it_stands(secret: str, before: str, after: str) -> None:
    # Letters before it would make another word of it.
    found = scrubbed_text(f"{before} {secret}{after}")
    assert secret.splitlines()[-1] not in found
    assert LEFT_OUT in found


@pytest.mark.parametrize(("text", "secret"), NAMED, ids=[text for text, _ in NAMED])
def test_what_is_named_as_a_secret_is_left_out(text: str, secret: str) -> None:
    found = scrubbed_text(text.format(secret))
    assert secret not in found
    assert LEFT_OUT in found
    if text.startswith("{{"):
        assert json.loads(found.replace("\\", ""))


@pytest.mark.parametrize("text", PUBLIC)
def test_what_is_public_stays(text: str) -> None:
    assert scrubbed_text(text) == text


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
)


@given(value=values, secret=st.sampled_from(sorted(SECRETS.values())))
def test_values_keep_their_form(value: Any, secret: str) -> None:
    whole = {"a": value, "b": [{"c": f"x {secret}"}], "password": secret}
    found = scrubbed(whole)
    assert secret not in json.dumps(found)
    assert found.keys() == whole.keys()
    assert scrubbed(found) == found


def test_members_that_hold_secrets_are_left_out_whole() -> None:
    volumes = [{"name": "c", "cloudInitNoCloud": {"userData": "#cloud-config\nchpasswd: {list: [root:x]}"}}]
    metadata = {"name": "vm", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{...}", "a": "b"}}
    env = [{"name": "DB", "value": "x"}, {"name": "FROM", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]
    found = scrubbed({"metadata": metadata, "spec": {"volumes": volumes, "containers": [{"env": env}]}})
    assert found["metadata"]["annotations"] == {"a": "b"}
    assert found["spec"]["volumes"][0]["cloudInitNoCloud"] == {"userData": LEFT_OUT}
    assert found["spec"]["containers"][0]["env"] == [{"name": "DB", "value": LEFT_OUT}, env[1]]
