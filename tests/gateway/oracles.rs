//! Vendors' own kits sign; a running gateway takes what they signed, and nothing that was changed since.

use serde_json::{Value, json};

use crate::support::gateway::Setup;
use crate::support::oracle::{Delivery, KeyHosts, Kits};
use crate::support::{Gateway, request};

const WHSEC: &str = "whsec_b3JhY2xlcyBvZiBob29rc2x1aWNlLCBub3RoaW5nIGVsc2U=";
const SECRET: &str = "a-secret-of-the-oracles";
const JSON: (&str, &str) = ("Content-Type", "application/json");
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");
const SNS_HOST: &str = "sns.eu-central-1.amazonaws.com";
const TOPIC: &str = "arn:aws:sns:eu-central-1:210987654321:belts";
const CERTIFICATE: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-oracle.pem";

/// One kit and what it signs. Every body says `belt` where the signature covers it.
struct Case {
    kit: &'static str,
    provider: &'static str,
    secret: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: String,
    kind: &'static str,
}

fn cases() -> Vec<Case> {
    let case = |kit, provider, secret, headers, body: &str, kind| Case {
        kit,
        provider,
        secret,
        headers,
        body: body.to_owned(),
        kind,
    };
    let event =
        r#"{"type":"belt.stopped","timestamp":"2026-11-24T09:00:00Z","data":{"id":"b3","reason":"Gürtel \u00fc"}}"#;
    let sns = |version: &str| {
        let message = json!({
            "Type": "Notification",
            "MessageId": format!("6e1c0d4b-2f5a-5c7e-9b1d-4a3f2e1d0c9{version}"),
            "TopicArn": TOPIC,
            "Message": "the belt stopped\nand \"rolls\" again",
            "Timestamp": format!("{:.3}", jiff::Timestamp::now()),
            "SignatureVersion": version,
            "Signature": "c2lnbmVkIGFuZXc=",
            "SigningCertURL": CERTIFICATE,
            "UnsubscribeURL": "https://sns.eu-central-1.amazonaws.com/?Action=Unsubscribe",
        });
        message.to_string()
    };
    vec![
        case(
            "github",
            "github",
            SECRET,
            &[JSON, ("X-GitHub-Event", "belt"), ("X-GitHub-Delivery", "d-1")],
            r#"{"action":"stopped","belt":3,"name":"Förderband"}"#,
            "com.github.belt.stopped",
        ),
        case(
            "stripe",
            "stripe",
            "whsec_of_the_oracles",
            &[JSON],
            r#"{"id":"evt_1","object":"event","type":"belt.stopped","created":1795510800,"data":{"object":{"id":"belt_3"}}}"#,
            "com.stripe.belt.stopped",
        ),
        case(
            "standard-webhooks",
            "standard-webhooks",
            WHSEC,
            &[JSON],
            event,
            "com.standardwebhooks.belt.stopped",
        ),
        case(
            "svix",
            "standard-webhooks",
            WHSEC,
            &[JSON],
            event,
            "com.standardwebhooks.belt.stopped",
        ),
        case(
            "gitlab",
            "gitlab",
            WHSEC,
            &[JSON, ("X-Gitlab-Event", "Belt Hook")],
            r#"{"object_kind":"belt","project":{"id":3}}"#,
            "com.gitlab.belt",
        ),
        case(
            "slack",
            "slack",
            SECRET,
            &[JSON],
            r#"{"type":"event_callback","team_id":"T1","event_id":"Ev1","event_time":1795510800,"event":{"type":"belt_stopped"}}"#,
            "com.slack.belt_stopped",
        ),
        case(
            "slack",
            "slack",
            SECRET,
            &[FORM],
            "payload=%7B%22type%22%3A%22belt_action%22%2C%22trigger_id%22%3A%22t1%22%7D",
            "com.slack.belt_action",
        ),
        case(
            "shopify",
            "shopify",
            SECRET,
            &[
                JSON,
                ("X-Shopify-Topic", "belts/update"),
                ("X-Shopify-Shop-Domain", "acme.myshopify.com"),
                ("X-Shopify-API-Version", "2026-10"),
                ("X-Shopify-Webhook-Id", "w-1"),
            ],
            r#"{"id":3,"title":"belt"}"#,
            "com.shopify.belts.update",
        ),
        case(
            "twilio-form",
            "twilio",
            SECRET,
            &[FORM],
            "CallSid=CA1&CallStatus=completed&Body=belt+3+%26+caf%C3%A9&Empty=&A=2&A=1&A=2",
            "com.twilio.call.status",
        ),
        case(
            "twilio-json",
            "twilio",
            SECRET,
            &[JSON],
            r#"{"type":"belt.stopped"}"#,
            "com.twilio.belt.stopped",
        ),
        case(
            "sendgrid",
            "sendgrid",
            "",
            &[JSON],
            "[{\"event\":\"belted\",\"email\":\"a@example.com\",\"timestamp\":1795510800,\"sg_event_id\":\"e1\"}]\r\n",
            "com.sendgrid.belted",
        ),
        case(
            "discord",
            "discord",
            "",
            &[JSON],
            r#"{"version":1,"application_id":"1","type":1,"event":{"type":"BELT","timestamp":"2026-11-24T09:00:00.1","data":{"belt":3}}}"#,
            "com.discord.BELT",
        ),
        case(
            "aws-sns",
            "aws-sns",
            "",
            &[("Content-Type", "text/plain; charset=UTF-8")],
            &sns("2"),
            "com.amazonaws.sns.Notification",
        ),
        case(
            "aws-sns",
            "aws-sns",
            "",
            &[("Content-Type", "text/plain; charset=UTF-8")],
            &sns("1"),
            "com.amazonaws.sns.Notification",
        ),
    ]
}

/// Everything signed, and a gateway whose sources know the keys; source `s<n>` for the n-th case.
fn signed_and_served() -> (Vec<(Case, Delivery)>, Gateway, KeyHosts) {
    let mut kits = Kits::start();
    let mut hosts = KeyHosts::start(&[SNS_HOST]);
    let mut yaml = format!("{}sources:\n", hosts.outbound());
    let mut signed = Vec::new();
    for (index, case) in cases().into_iter().enumerate() {
        let more = json!({
            "id": format!("msg_{index}"),
            "url": format!("https://hooks.example.com/in/s{index}?tenant=3"),
        });
        let delivery = kits.sign(case.kit, case.secret, case.headers, case.body.as_bytes(), more);
        let settings = match case.provider {
            "aws-sns" => format!("settings: {{ topic_arns: [\"{TOPIC}\"] }}"),
            _ => format!("secrets: [{{ name: oracle, value: \"{}\" }}]", delivery.secret),
        };
        yaml += &format!(
            "  s{index}: {{ provider: {}, contract: {{ mode: shadow }}, {settings} }}\n",
            case.provider
        );
        if let Some(certificate) = &delivery.certificate {
            hosts.serve(CERTIFICATE, certificate);
        }
        signed.push((case, delivery));
    }
    let yaml =
        format!("ingress: {{ listen: 127.0.0.1:0, public_url: https://hooks.example.com, drain_delay: 0s }}\n{yaml}");
    let gateway = Setup::new(&yaml).start();
    (signed, gateway, hosts)
}

/// Path and query under which the delivery was signed.
fn path(index: usize, delivery: &Delivery) -> String {
    let query = delivery
        .url
        .as_deref()
        .and_then(|url| url.split_once('?'))
        .map_or("", |(_, query)| query);
    format!("/in/s{index}?{query}")
}

#[test]
fn what_a_vendors_kit_signs_is_taken_as_signed_and_refused_after_one_flipped_byte() {
    let (signed, gateway, _hosts) = signed_and_served();
    for (index, (case, delivery)) in signed.iter().enumerate() {
        let at = delivery
            .body
            .windows(4)
            .position(|window| window.eq_ignore_ascii_case(b"belt"))
            .expect("a belt");
        let mut bent = delivery.body.clone();
        bent[at] ^= 1;
        let path = path(index, delivery);
        let refused = gateway.post(&path, &delivery.headers(), &bent);
        assert_eq!(refused.status, 401, "{} with one byte changed", case.kit);
        let taken = gateway.post(&path, &delivery.headers(), &delivery.body);
        assert!(
            (200..300).contains(&taken.status),
            "{}: {} {}\n{}",
            case.kit,
            taken.status,
            taken.text(),
            gateway.log()
        );
    }

    let rows = gateway.journal();
    assert_eq!(rows.len(), signed.len(), "nothing but what was signed");
    for ((case, delivery), row) in signed.iter().zip(&rows) {
        assert_eq!(row.kind, case.kind);
        let whole = &delivery.body;
        let is_batch = case.provider == "sendgrid";
        let expected = if is_batch {
            &whole[1..whole.len() - 3]
        } else {
            whole.as_slice()
        };
        assert_eq!(row.data, expected, "{}: the bytes are the sender's", case.kit);
    }
    let bent = gateway.metric("hooksluice_deliveries_total", &["outcome=\"rejected\""]);
    assert_eq!(bent, signed.len() as f64);
}

/// The same message, as the platform would send it to somebody else's source.
#[test]
fn a_kits_delivery_is_refused_under_another_secret() {
    let mut kits = Kits::start();
    let mut yaml = String::from("sources:\n");
    let mut posts = Vec::new();
    for (index, case) in cases()
        .into_iter()
        .enumerate()
        .filter(|(_, case)| case.secret == SECRET || case.secret == WHSEC)
    {
        let url = format!("https://hooks.example.com/in/s{index}?tenant=3");
        let delivery = kits.sign(
            case.kit,
            case.secret,
            case.headers,
            case.body.as_bytes(),
            json!({ "url": url }),
        );
        let other = if case.secret == WHSEC {
            "whsec_c29tZWJvZHkgZWxzZSdzIHNlY3JldCwgbm90IG91cnM="
        } else {
            "somebody else's"
        };
        yaml += &format!(
            "  s{index}: {{ provider: {}, secrets: [{{ value: \"{other}\" }}] }}\n",
            case.provider
        );
        posts.push((index, case, delivery));
    }
    let yaml =
        format!("ingress: {{ listen: 127.0.0.1:0, public_url: https://hooks.example.com, drain_delay: 0s }}\n{yaml}");
    let gateway = Setup::new(&yaml).start();
    for (index, case, delivery) in &posts {
        let reply = gateway.post(&path(*index, delivery), &delivery.headers(), &delivery.body);
        assert_eq!(reply.status, 401, "{}", case.kit);
        assert!(
            reply.text().is_empty() || !reply.text().contains("signature"),
            "no reason is given away"
        );
    }
    assert!(gateway.journal().is_empty());
}

fn confirmation(topic: &str) -> Value {
    let url = format!("https://{SNS_HOST}/?Action=ConfirmSubscription&TopicArn={topic}&Token=b3");
    json!({
        "Type": "SubscriptionConfirmation",
        "MessageId": "0f3c1b2a-7d6e-4c5b-8a9f-1e2d3c4b5a70",
        "Token": "b3",
        "TopicArn": topic,
        "Message": "confirm",
        "SubscribeURL": url,
        "Timestamp": format!("{:.3}", jiff::Timestamp::now()),
        "SignatureVersion": "2",
        "Signature": "c2lnbmVkIGFuZXc=",
        "SigningCertURL": CERTIFICATE,
    })
}

#[test]
fn a_subscription_is_confirmed_for_a_listed_topic_and_for_no_other() {
    let mut kits = Kits::start();
    let mut hosts = KeyHosts::start(&[SNS_HOST]);
    let yaml = format!(
        "{}sources:\n  sns: {{ provider: aws-sns, settings: {{ topic_arns: [\"{TOPIC}\"] }} }}\n",
        hosts.outbound()
    );
    let gateway = Setup::new(&yaml).start();
    let mut sign = |message: &Value| {
        let body = message.to_string();
        kits.sign(
            "aws-sns",
            "",
            &[("Content-Type", "text/plain; charset=UTF-8")],
            body.as_bytes(),
            Value::Null,
        )
    };

    let foreign = sign(&confirmation("arn:aws:sns:eu-central-1:999999999999:belts"));
    hosts.serve(CERTIFICATE, foreign.certificate.as_deref().expect("a certificate"));
    let ours = confirmation(TOPIC);
    let subscribe = ours["SubscribeURL"].as_str().expect("a URL").to_owned();
    hosts.serve(&subscribe, "<ConfirmSubscriptionResponse/>");
    assert_eq!(
        gateway.post("/in/sns", &foreign.headers(), &foreign.body).status,
        401,
        "somebody else's topic"
    );

    let ours = sign(&ours);
    assert_eq!(
        gateway.post("/in/sns", &ours.headers(), &ours.body).status,
        200,
        "{}",
        gateway.log()
    );
    assert_eq!(hosts.next_request(), CERTIFICATE, "the certificate, once");
    assert_eq!(
        hosts.next_request(),
        subscribe,
        "then the confirmation of our topic and nothing before it"
    );

    let mut elsewhere = confirmation(TOPIC);
    elsewhere["SubscribeURL"] = "https://example.com/?Action=ConfirmSubscription".into();
    let elsewhere = sign(&elsewhere);
    let reply = gateway.post("/in/sns", &elsewhere.headers(), &elsewhere.body);
    assert_eq!(reply.status, 401, "a URL of no SNS host is not fetched");
    assert!(gateway.journal().is_empty(), "handshakes are no events");
}

#[test]
fn discords_two_pings_are_answered_once_their_signature_holds() {
    let mut kits = Kits::start();
    let event = kits.sign(
        "discord",
        "",
        &[JSON],
        br#"{"version":1,"application_id":"1","type":0}"#,
        Value::Null,
    );
    let interaction = kits.sign(
        "discord",
        "",
        &[JSON],
        br#"{"id":"2","application_id":"1","token":"t","type":1,"version":1}"#,
        Value::Null,
    );
    let yaml = format!(
        "sources:\n  discord: {{ provider: discord, secrets: [{{ value: {} }}] }}\n",
        event.secret
    );
    let gateway = Setup::new(&yaml).start();

    let reply = gateway.post("/in/discord", &event.headers(), &event.body);
    assert_eq!((reply.status, reply.body.len()), (204, 0));
    let reply = gateway.post("/in/discord", &interaction.headers(), &interaction.body);
    assert_eq!((reply.status, reply.json()), (200, json!({ "type": 1 })));
    // Discord checks by sending wrong ones.
    let unsigned = request("POST", &gateway.url("/in/discord"), &[JSON], &event.body);
    assert_eq!(unsigned.status, 401);
    assert!(gateway.journal().is_empty());
}
