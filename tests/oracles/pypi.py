"""The PyPI kits' own checks, by the names that suite.toml uses.

Reads one JSON object a line, as suite.mjs does, and prints one a line. Each check takes a delivery as it arrived, and
raises or answers something false where the kit refuses it.
"""

import base64
import json
import sys
from types import SimpleNamespace
from urllib.parse import parse_qsl


def adyen(d):
    from Adyen.util import is_valid_hmac_notification, is_valid_hmac_payload

    if "hmacsignature" in d.headers:
        return is_valid_hmac_payload(d.headers["hmacsignature"], d.secret, d.body)
    return is_valid_hmac_notification(json.loads(d.text), d.secret)


def airtable(d):
    from pyairtable.models.webhook import WebhookNotification

    return WebhookNotification.from_request(d.text, d.headers["x-airtable-content-mac"], d.secret)


def boldsign(d):
    from boldsign.webhook_utility import WebhookUtility

    WebhookUtility.validate_signature(d.text, d.headers["x-boldsign-signature"], d.secret)
    return True


def bot_framework(d):
    import asyncio
    from datetime import datetime

    from botframework.connector.auth import ChannelValidation, SimpleCredentialProvider
    from botframework.connector.auth.authentication_constants import AuthenticationConstants
    from botframework.connector.auth.jwt_token_extractor import JwtTokenExtractor, _OpenIdMetadata
    from jwt import get_unverified_header

    # The kit would fetch the platform's keys: it is handed those of the test, under the name that the token has for them.
    header = d.headers["authorization"]
    kid = get_unverified_header(header.split(" ")[1]).get("kid")
    url = AuthenticationConstants.TO_BOT_FROM_CHANNEL_OPENID_METADATA_URL
    metadata = JwtTokenExtractor.metadataCache[url] = _OpenIdMetadata(url)
    metadata.keys = [{**key, "kid": kid} for served in d.keys.values() for key in json.loads(served)["keys"]]
    metadata.last_updated = datetime.now()
    credentials = SimpleCredentialProvider(d.settings["app_id"], "")
    channel = json.loads(d.text)["channelId"]
    return asyncio.run(ChannelValidation.authenticate_channel_token(header, credentials, channel)).is_authenticated


def braintree(d):
    import braintree as kit

    keys = (d.settings["public_key"], d.secret)
    gateway = kit.BraintreeGateway(kit.Configuration(kit.Environment.Sandbox, "merchant", *keys))
    form = dict(parse_qsl(d.text))
    return gateway.webhook_notification.parse(form["bt_signature"], form["bt_payload"])


def convoy(d):
    from convoy.utils.webhook import Webhook

    # It answers with a text where it refuses.
    return Webhook(d.secret).verify_signature(d.text, d.headers["x-convoy-signature"]) is True


def cronofy(d):
    from pycronofy import Client

    return Client(client_id="id", client_secret=d.secret).hmac_valid(d.headers["cronofy-hmac-sha256"], d.text)


def dropbox_sign(d):
    from email import message_from_bytes

    from dropbox_sign import EventCallbackHelper
    from dropbox_sign.models import EventCallbackRequest

    form = message_from_bytes(b"Content-Type: " + d.headers["content-type"].encode() + b"\r\n\r\n" + d.body)
    (field,) = [part for part in form.get_payload() if part.get_param("name", header="content-disposition") == "json"]
    event = EventCallbackRequest.init(json.loads(field.get_payload(decode=True)))
    return EventCallbackHelper.is_valid(d.secret, event)


def elevenlabs(d):
    from elevenlabs.client import ElevenLabs

    return ElevenLabs(api_key="key").webhooks.construct_event(d.text, d.headers["elevenlabs-signature"], d.secret)


def fintoc(d):
    from fintoc.webhook import WebhookSignature

    return WebhookSignature.verify_header(d.text, d.headers["fintoc-signature"], d.secret)


def flagsmith(d):
    from flagsmith.webhooks import verify_signature

    return verify_signature(d.body, d.headers["x-flagsmith-signature"], d.secret)


def hubspot(d):
    from hubspot.utils.signature import Signature

    h = d.headers
    request = {"client_secret": d.secret, "request_body": d.text, "http_uri": d.url, "http_method": d.method}
    if "x-hubspot-signature-v3" in h:
        timestamp = h["x-hubspot-request-timestamp"]
        return Signature.is_valid(h["x-hubspot-signature-v3"], signature_version="v3", timestamp=timestamp, **request)
    return Signature.is_valid(h["x-hubspot-signature"], signature_version=h["x-hubspot-signature-version"], **request)


def increase(d):
    from increase import Increase

    return Increase(api_key="key").events.unwrap(d.text, headers=d.headers, key=d.secret.encode())


def lark(d):
    from lark_oapi.core.enum import LogLevel
    from lark_oapi.core.model import RawRequest
    from lark_oapi.event.dispatcher_handler import EventDispatcherHandler

    request = RawRequest()
    request.uri, request.body, request.headers = d.url, d.body, d.headers
    answer = EventDispatcherHandler.builder("", d.secret, LogLevel.CRITICAL).build().do(request)
    # Past its check of the token it looks for a handler of the event, and here is none.
    return answer.status_code == 200 or b"processor not found" in answer.content


def mailgun(d):
    from mailgun.security import SecurityGuard

    signed = json.loads(d.text)["signature"]
    return SecurityGuard.verify_webhook(d.secret, signed["token"], signed["timestamp"], signed["signature"])


def paymongo(d):
    from paymongo.api_resources.services import webhook as kit

    # Its models of events are not asked: they want members that no page names.
    kit.ApiResource = kit.EventEntity = dict
    # PayMongo always writes both parts, one of them empty; what the tests sign has only the one that counts.
    header = d.headers["paymongo-signature"]
    if ",te=" not in header:
        header = header.replace(",li=", ",te=,li=")
    return kit.Webhook.construct_event(d.text, header, d.secret)


def paypal(d):
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
    from cryptography.hazmat.primitives.hashes import SHA256
    from paypalrestsdk import WebhookEvent

    # The kit tells what is signed. Its last step needs an OpenSSL binding that is gone, and a certificate of PayPal's.
    h = d.headers
    signed = WebhookEvent._get_expected_sig(
        h["paypal-transmission-id"], h["paypal-transmission-time"], d.settings["webhook_id"], d.text
    )
    key = x509.load_pem_x509_certificate(d.keys[h["paypal-cert-url"]].encode()).public_key()
    key.verify(base64.b64decode(h["paypal-transmission-sig"]), signed.encode(), PKCS1v15(), SHA256())
    return True


def polar(d):
    from polar.webhooks import validate_event

    # Signature and type; the models of single events, of which the sample has not every member, are not asked.
    return validate_event(d.text, d.headers, d.secret, frozenset({json.loads(d.text)["type"]}), lambda data: data)


def scrapfly(d):
    from scrapfly import ResponseBodyHandler
    from scrapfly.webhook import _alert_signed_message

    h = d.headers
    is_alert = h["x-scrapfly-webhook-resource-type"] == "alert"
    message = _alert_signed_message(h.get("x-scrapfly-webhook-timestamp"), d.body) if is_alert else None
    if is_alert and message is None:
        return False
    return ResponseBodyHandler(signing_secrets=(d.secret,)).read(
        content=d.body,
        content_encoding=None,
        content_type=h["content-type"],
        signature=h["x-scrapfly-webhook-signature"],
        signature_message=message,
    )


def sinch(d):
    from sinch.domains.authentication.sinch_events.v1.authentication_validation import (
        validate_sinch_event_signature_with_nonce,
    )

    return validate_sinch_event_signature_with_nonce(d.secret, d.headers, d.text)


def slack(d):
    from slack_sdk.signature import SignatureVerifier

    return SignatureVerifier(d.secret).is_valid_request(d.body, d.headers)


def square(d):
    from square.utils.webhooks_helper import verify_signature

    return verify_signature(
        request_body=d.text,
        signature_header=d.headers["x-square-hmacsha256-signature"],
        signature_key=d.secret,
        notification_url=d.url,
    )


def standard_webhooks(d):
    from standardwebhooks import Webhook

    Webhook(d.secret).verify(d.text, d.headers)
    return True


def viber(d):
    from viberbot import Api, BotConfiguration

    api = Api(BotConfiguration(auth_token=d.secret, name="bot", avatar=""))
    return api.verify_signature(d.body, d.headers["x-viber-content-signature"])


CHECKS = {
    "adyen": adyen,
    "airtable": airtable,
    "boldsign": boldsign,
    "bot-framework": bot_framework,
    "braintree": braintree,
    "convoy": convoy,
    "cronofy": cronofy,
    "dropbox-sign": dropbox_sign,
    "elevenlabs": elevenlabs,
    "fintoc": fintoc,
    "flagsmith": flagsmith,
    "hubspot": hubspot,
    "increase": increase,
    "lark-feishu": lark,
    "mailgun": mailgun,
    "paymongo": paymongo,
    "paypal": paypal,
    "polar": polar,
    "scrapfly": scrapfly,
    "sinch": sinch,
    "slack": slack,
    "square": square,
    "standard-webhooks": standard_webhooks,
    "viber": viber,
}


def verdict(asked):
    d = SimpleNamespace(**asked)
    d.body = base64.b64decode(d.body)
    d.text = d.body.decode()
    try:
        return {"accepted": bool(CHECKS[d.check](d)), "why": "it said no"}
    except Exception as error:  # whatever way a kit has of saying no
        return {"accepted": False, "why": f"{type(error).__name__}: {error}"}


if __name__ == "__main__":
    # What a kit prints goes where it disturbs nobody.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        print(json.dumps(verdict(json.loads(line))), file=answers, flush=True)
