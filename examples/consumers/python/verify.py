"""Verifies a platform's signature again, from what a hooksluice event carries: the body, and the method, URL and
headers that the signature covers. Add a platform by adding a function; its secret is looked up by the source's name."""

import base64
import hashlib
import hmac
import json
import os
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl


class MissingSecret(Exception):
    pass


@dataclass
class Request:
    """What the platform sent, as far as its signature covers it. (No platform below signs the method; some do.)"""

    method: str
    url: str
    headers: dict
    body: bytes


def mac(secret, *content, algorithm="sha256"):
    return hmac.new(secret, b"".join(content), algorithm)


def mac_base64(*args, **options):
    return base64.b64encode(mac(*args, **options).digest()).decode()


def same(presented, expected):
    return hmac.compare_digest(presented.encode(), expected.encode())


def github(secret, request):
    return same(request.headers["x-hub-signature-256"], "sha256=" + mac(secret, request.body).hexdigest())


def shopify(secret, request):
    return same(request.headers["x-shopify-hmac-sha256"], mac_base64(secret, request.body))


def slack(secret, request):
    moment = request.headers["x-slack-request-timestamp"].encode()
    expected = mac(secret, b"v0:", moment, b":", request.body).hexdigest()
    return same(request.headers["x-slack-signature"], "v0=" + expected)


def stripe(secret, request):
    """`t=…,v1=…`, with one v1 for each secret while they roll: any may match."""
    fields = [field.strip().split("=", 1) for field in request.headers["stripe-signature"].split(",")]
    expected = mac(secret, dict(fields)["t"].encode(), b".", request.body).hexdigest()
    return any([name == "v1" and same(value, expected) for name, value in fields])


def standard_webhooks(secret, request):
    """A list of `v1,…`, separated by spaces: any may match."""
    headers, key = request.headers, base64.b64decode(secret.removeprefix(b"whsec_"))
    before = f"{headers['webhook-id']}.{headers['webhook-timestamp']}."
    expected = "v1," + mac_base64(key, before.encode(), request.body)
    return any([same(signature, expected) for signature in headers["webhook-signature"].split()])


def twilio(secret, request):
    """The URL, then a form's fields in order. A JSON body is covered by its digest in the URL instead."""
    covered = request.url
    if digest := re.search(r"[?&]bodySHA256=([0-9a-f]{64})(&|$)", covered):
        if not same(digest[1], hashlib.sha256(request.body).hexdigest()):
            return False
    else:
        fields = parse_qsl(request.body.decode(), keep_blank_values=True)
        covered += "".join(name + value for name, value in sorted(set(fields)))
    return same(request.headers["x-twilio-signature"], mac_base64(secret, covered.encode(), algorithm="sha1"))


VERIFIERS = {
    "github": github,
    "gitlab": standard_webhooks,  # its signing token; its plain token is never published and is told apart below
    "shopify": shopify,
    "slack": slack,
    "standard-webhooks": standard_webhooks,
    "stripe": stripe,
    "twilio": twilio,
}


def secrets_of(source):
    """`/sources/acme-github` → HOOKSLUICE_SECRET_ACME_GITHUB, and …_PREVIOUS while secrets roll."""
    variable = "HOOKSLUICE_SECRET_" + re.sub("[^A-Z0-9]", "_", source.rsplit("/", 1)[-1].upper())
    found = [os.environ[name].encode() for name in (variable, variable + "_PREVIOUS") if os.environ.get(name)]
    if not found:
        raise MissingSecret(f"set {variable} to verify events of {source}")
    return found


def verify(attributes, body):
    """(True, None), (False, why), or (None, why) where this event alone cannot tell: None is no proof of anything."""
    if hashlib.sha256(body).hexdigest() != attributes["bodysha256"]:
        return False, "the data is not what bodysha256 says"
    if "batchindex" in attributes:
        return None, "an element of a batch: the signature covers the whole delivery"
    if attributes["deliverysha256"] != attributes["bodysha256"]:
        return None, "published in another form than it was signed in"
    if not attributes["verification"].startswith("hmac-"):
        return None, f"verification is {attributes['verification']}: nothing that can be checked again here"
    verifier = VERIFIERS.get(attributes["provider"])
    if not verifier:
        return None, f"no verifier here for provider {attributes['provider']}"
    # The timestamp's age is not looked at: the gateway did on arrival, and an event may rightly wait for days.
    headers = json.loads(attributes["httpheaders"])
    request = Request(attributes["httpmethod"], attributes.get("httpurl", ""), headers, body)
    matched = any([verifier(secret, request) for secret in secrets_of(attributes["source"])])
    return (True, None) if matched else (False, "the signature does not match")
