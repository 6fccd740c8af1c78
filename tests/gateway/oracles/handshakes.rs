//! Handshakes that a platform signs, signed by its kit: answered for us, and for nobody else.

use serde_json::{Value, json};

use crate::support::gateway::Setup;
use crate::support::oracle::{KITS, KeyHosts};
use crate::support::request;

const JSON: (&str, &str) = ("Content-Type", "application/json");
const SNS_HOST: &str = "sns.eu-central-1.amazonaws.com";
const TOPIC: &str = "arn:aws:sns:eu-central-1:210987654321:belts";
const CERTIFICATE: &str = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-oracle.pem";

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
    let mut hosts = KeyHosts::start(&[SNS_HOST]);
    let yaml = format!(
        "{}sources:\n  sns: {{ provider: aws-sns, settings: {{ topic_arns: [\"{TOPIC}\"] }} }}\n",
        hosts.outbound()
    );
    let gateway = Setup::new(&yaml).start();
    let sign = |message: &Value| {
        let body = message.to_string();
        KITS.sign(
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
    let event = KITS.sign(
        "discord",
        "",
        &[JSON],
        br#"{"version":1,"application_id":"1","type":0}"#,
        Value::Null,
    );
    let interaction = KITS.sign(
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
