//! Topics and routing keys with placeholders: what is refused, and what a sender can and cannot make of them.

use hooksluice::destination::template::{Template, TemplateError};
use proptest::prelude::*;

use crate::support::events::Sample;

fn topic(template: &str, sample: Sample) -> String {
    Template::topic(template)
        .expect("a template")
        .render(&sample.event())
        .into_owned()
}

fn sample() -> Sample {
    Sample::new("t", "{}")
}

#[test]
fn placeholders_are_filled_in() {
    assert_eq!(topic("webhooks.{source}", sample()), "webhooks.github");
    assert_eq!(
        topic("{provider}.{source}-{type}", sample()),
        "github.github-com.github.push"
    );
    assert_eq!(topic("webhooks", sample()), "webhooks");
}

#[test]
fn a_mistake_is_refused_with_the_nearest_placeholder() {
    for (text, nearest) in [("a.{sorce}", "source"), ("{kype}", "type"), ("{Provider}", "provider")] {
        let Err(TemplateError::Unknown { nearest: found, .. }) = Template::topic(text) else {
            panic!("{text} passed")
        };
        assert_eq!(found, nearest);
    }
    for text in [
        "{source",
        "source}",
        "{{source}}",
        "",
        ".",
        "..",
        "with space",
        "a/b",
        "ümlaut",
        &"x".repeat(250),
    ] {
        assert!(Template::topic(text).is_err(), "{text} passed");
    }
    assert!(Template::routing_key("a/b with space").is_ok());
    assert!(Template::routing_key(&"x".repeat(256)).is_err());
}

/// A topic is for ever: only types that a contract knows make one.
#[test]
fn a_sender_cannot_invent_topics() {
    let violations = |schema: &str| {
        let violation = serde_json::json!([{ "pointer": "", "keyword": "type", "schema": schema, "message": "" }]);
        sample()
            .with("contract", "violated")
            .with("quarantinereason", "contract")
            .with("violations", &violation.to_string())
    };
    let known = "t.com.github.push";
    for (sample, wanted) in [
        (sample(), known),
        (sample().with("contract", "none"), "t.other"),
        (sample().with("contract", "off"), "t.other"),
        (sample().with("contract", "violated"), known),
        (violations("urn:hooksluice:contract:github:push:1"), known),
        (violations(""), "t.other"),
    ] {
        assert_eq!(topic("t.{type}", sample), wanted);
    }
    // A routing key costs nothing: there the type stands.
    let key = Template::routing_key("{type}").expect("a template");
    assert_eq!(
        key.render(&sample().with("contract", "none").event()),
        "com.github.push"
    );
}

proptest! {
    #[test]
    fn whatever_a_delivery_holds_the_broker_takes_it(kind in "\\PC{0,300}", source in "\\PC{1,300}") {
        let event = sample().with("type", &kind).with("source", &format!("/sources/{}", source.replace(['/', '%'], "")));
        let event = event.event();
        let topic = Template::topic("{source}.{type}").expect("a template").render(&event).into_owned();
        prop_assert!((1..=249).contains(&topic.len()));
        prop_assert!(topic.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c)));
        prop_assert!(topic != "." && topic != "..");
        let key = Template::routing_key("é{type}é").expect("a template").render(&event).into_owned();
        prop_assert!(key.len() <= 255 && !key.contains(['*', '#', ' ']));
    }
}
