//! The samples of one provider: verified, bent, read and held against their contracts.

use std::collections::BTreeMap;

use super::recorded::{self, Source};
use super::{Subject, forged};
use crate::contract::{Contracts, Verdict};
use crate::delivery::RawDelivery;
use crate::handshake::Handshakes;
use crate::provider::definition::EventRule;
use crate::provider::sample::{Sample, Signed};
use crate::provider::settings::Given;
use crate::provider::{Definition, Settings};
use crate::read::{ReadOptions, Reader, UNKNOWN};
use crate::secret::NamedSecret;
use crate::verify::{self, Unsigned, VerifiedDelivery, Verifier};

/// What a rule of `[event]` found, over all samples.
#[derive(Default)]
struct Seen {
    id: bool,
    version: bool,
    time: bool,
    subject: bool,
    key: bool,
    contract: bool,
}

pub(super) fn check(subject: &mut Subject<'_>, contracts: &Contracts) {
    let mut samples = Vec::new();
    for name in subject.catalogue.sample_names(subject.name) {
        match subject.catalogue.sample(subject.name, &name) {
            Ok(sample) => samples.push(sample),
            Err(error) => {
                let said = error.to_string();
                match said.split_once(".toml: ") {
                    Some((place, problem)) => subject.say_at(format!("{place}.toml"), problem),
                    None => subject.say(said),
                }
            }
        }
    }
    let mut seen = Seen::default();
    let (mut events, mut met) = (0, 0);
    let mut signed = samples.iter().filter(|sample| sample.signed.is_some()).peekable();
    if signed.peek().is_none() {
        let name = subject.name;
        subject.say(format!("no signed sample; record one with `hooksluice providers record {name} EVENT CAPTURE --path DIR --secret-env TEST_KEY` (`--sign` where neither the platform nor its kit can make one), or write `[signed]` yourself: secret, moment, headers"));
        compile_alone(subject);
    }
    for sample in &samples {
        let found = match &sample.signed {
            Some(signed) => check_signed(subject, sample, signed, contracts, &mut seen),
            None => check_bare(subject, sample, &samples, contracts, &mut seen),
        };
        match found {
            Some(Read::Event { met: does }) => {
                events += 1;
                met += usize::from(does);
            }
            Some(Read::Challenge) | None => {}
        }
    }
    if events > 0 {
        check_rules(subject, &seen);
        if met == 0 && !subject.is_generic() {
            subject.say("no sample meets any of the schemas; name the schema's folder after the event, or `default`");
        }
    }
}

enum Read {
    Event { met: bool },
    Challenge,
}

/// A definition without a signed sample is compiled all the same, as far as that goes without a secret.
fn compile_alone(subject: &mut Subject<'_>) {
    let given: BTreeMap<String, Given> = subject
        .definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.required)
        .filter_map(|(name, setting)| {
            let value = setting.one_of.first().map_or("placeholder", String::as_str);
            Some((name.clone(), serde_json::from_value(value.into()).ok()?))
        })
        .collect();
    let Ok(provider) = subject.catalogue.provider(subject.name, &given) else {
        return;
    };
    let problems = Verifier::compile(&provider.definition, &[], &provider.settings, &Default::default(), None)
        .err()
        .unwrap_or_default();
    for problem in problems.into_iter().filter(|problem| !problem.starts_with("secret")) {
        subject.say(problem);
    }
    rules(subject, &provider.definition, &provider.settings, &[]);
}

/// What reads and answers. Problems are said once for all samples: they are sorted and deduplicated at the end.
fn rules(
    subject: &mut Subject<'_>,
    definition: &Definition,
    settings: &Settings,
    secrets: &[NamedSecret],
) -> Option<(Reader, Handshakes)> {
    let reader = Reader::compile(definition, settings, ReadOptions::default());
    let handshakes = Handshakes::compile(definition, secrets, settings);
    for problem in reader
        .as_ref()
        .err()
        .into_iter()
        .chain(handshakes.as_ref().err())
        .flatten()
    {
        subject.say(problem);
    }
    Some((reader.ok()?, handshakes.ok()?))
}

fn check_signed(
    subject: &mut Subject<'_>,
    sample: &Sample,
    signed: &Signed,
    contracts: &Contracts,
    seen: &mut Seen,
) -> Option<Read> {
    let source = match Source::compile(subject.catalogue, subject.name, signed) {
        Ok(source) => source,
        Err(problems) => {
            for problem in problems {
                // What is wrong with the sample's own secret or settings is said of the sample.
                let own = ["secret", "setting ", "unknown setting", "signed."]
                    .iter()
                    .any(|start| problem.starts_with(start));
                match own {
                    true => subject.say_at(&sample.place, problem),
                    false => subject.say(problem),
                }
            }
            return None;
        }
    };
    let raw = match recorded::delivery(sample, signed) {
        Ok(raw) => raw,
        Err(problem) => {
            subject.say_at(&sample.place, problem);
            return None;
        }
    };
    let (reader, handshakes) = rules(
        subject,
        &source.provider.definition,
        &source.provider.settings,
        &source.secrets,
    )?;
    if let Some(answer) = handshakes.before_verification(&raw) {
        if let Err(error) = answer {
            subject.say_at(&sample.place, format!("its challenge is not answered: {error}"));
        }
        return Some(Read::Challenge);
    }
    let verified = match source.verify(&raw, signed.at) {
        Some(Ok(verified)) => verified,
        Some(Err(error)) => {
            subject.say_at(
                &sample.place,
                format!(
                    "does not verify at {}: {error}; `hooksluice explain` says which step fails",
                    signed.at
                ),
            );
            return None;
        }
        None => {
            subject.say_at(
                &sample.place,
                "needs keys that would have to be fetched; give what their URL served under `[signed.keys]`",
            );
            return None;
        }
    };
    forged::check(subject, sample, signed, &source, &raw, &verified);
    if let Some(answer) = handshakes.after_verification(&verified) {
        if let Err(error) = answer {
            subject.say_at(&sample.place, format!("its challenge is not answered: {error}"));
        }
        return Some(Read::Challenge);
    }
    let coverage = source.verifier.coverage(verified.proof()).clone();
    read(subject, sample, verified, &coverage, &reader, contracts, seen)
}

/// A sample without a signature is signed as a recorded one was, where that can be done.
fn check_bare(
    subject: &mut Subject<'_>,
    sample: &Sample,
    all: &[Sample],
    contracts: &Contracts,
    seen: &mut Seen,
) -> Option<Read> {
    let like = all.iter().find_map(|other| other.signed.as_ref())?;
    let source = Source::compile(subject.catalogue, subject.name, like).ok()?;
    let bare = Signed {
        headers: BTreeMap::new(),
        query: None,
        url: None,
        ..like.clone()
    };
    let raw = match recorded::delivery(sample, &bare) {
        Ok(raw) => raw,
        Err(problem) => {
            subject.say_at(&sample.place, problem);
            return None;
        }
    };
    let (definition, settings) = (&source.provider.definition, &source.provider.settings);
    let (reader, handshakes) = rules(subject, definition, settings, &source.secrets)?;
    if let Some(answer) = handshakes.before_verification(&raw) {
        if let Err(error) = answer {
            subject.say_at(&sample.place, format!("its challenge is not answered: {error}"));
        }
        return Some(Read::Challenge);
    }
    let unsigned = Unsigned {
        method: raw.method.clone(),
        url: raw.url.clone(),
        headers: raw.headers.clone(),
        body: raw.body.clone(),
        at: like.at,
    };
    // A platform's private key is not ours to have: such a body cannot be looked at as a delivery.
    let made = verify::sign(definition, &source.secrets, settings, None, unsigned).ok()?;
    let query = made
        .url
        .split_once('?')
        .map_or(raw.query.clone(), |(_, query)| query.to_owned());
    let raw = RawDelivery {
        url: made.url,
        query,
        headers: made.headers,
        body: made.body,
        ..raw
    };
    let verified = match source.verify(&raw, like.at)? {
        Ok(verified) => verified,
        Err(error) => {
            subject.say_at(
                &sample.place,
                format!("as `hooksluice send` signs it, it does not verify: {error}"),
            );
            return None;
        }
    };
    if handshakes.after_verification(&verified).is_some() {
        return Some(Read::Challenge);
    }
    let coverage = source.verifier.coverage(verified.proof()).clone();
    read(subject, sample, verified, &coverage, &reader, contracts, seen)
}

fn read(
    subject: &mut Subject<'_>,
    sample: &Sample,
    verified: VerifiedDelivery<'_>,
    coverage: &verify::Coverage,
    reader: &Reader,
    contracts: &Contracts,
    seen: &mut Seen,
) -> Option<Read> {
    let checked = contracts.check(reader.read(verified, coverage)).ok()?;
    if checked.parts().is_empty() {
        subject.say_at(
            &sample.place,
            "its batch has no element; take a delivery that holds some",
        );
    }
    if let Some(first) = checked.parts().first() {
        let event = &first.part().found.event;
        if *event == UNKNOWN {
            subject.say_at(
                &sample.place,
                "its type is found nowhere; look at `event.type`, and at the headers under `[request]`",
            );
        } else if *event != sample.event {
            subject.say_at(
                &sample.place,
                format!(
                    "is said to be `{}`, and the definition finds `{event}`; one of them is wrong",
                    sample.event
                ),
            );
        }
    }
    let mut met = false;
    for part in checked.parts() {
        let found = &part.part().found;
        seen.id |= found.id.is_some();
        seen.version |= found.version.is_some();
        seen.time |= found.time.is_some();
        seen.subject |= found.subject.is_some();
        seen.key |= found.key.is_some();
        seen.contract |= found.contract.is_some();
        match part.verdict() {
            Verdict::Broken {
                reason,
                schema,
                violations,
            } => {
                let schema = schema.as_ref().map_or(*reason, |schema| &*schema.urn);
                for violation in violations.iter().take(5) {
                    let at = if violation.pointer.is_empty() {
                        "/"
                    } else {
                        &violation.pointer
                    };
                    subject.say_at(&sample.place, format!("breaks {schema} at {at}: {}", violation.message));
                }
            }
            Verdict::Passed { .. } => met = true,
            _ => {}
        }
    }
    Some(Read::Event { met })
}

/// A rule that finds nothing in any sample is a wrong pointer, or wants a sample that has it.
fn check_rules(subject: &mut Subject<'_>, seen: &Seen) {
    let event = &subject.definition.event;
    let base = subject
        .catalogue
        .base(subject.name)
        .and_then(|base| subject.catalogue.definition(&base).ok());
    // What a base finds was seen there; a platform that has less of it cannot take a rule back.
    let inherits = |rule: fn(&EventRule) -> String| base.as_ref().is_some_and(|base| rule(&base.event) == rule(event));
    let rules = [
        (
            "id",
            !event.id.is_empty() && !inherits(|event| format!("{:?}", event.id)),
            seen.id,
        ),
        (
            "version",
            !event.version.is_empty() && !inherits(|event| format!("{:?}", event.version)),
            seen.version,
        ),
        (
            "time",
            event.time.is_some() && !inherits(|event| format!("{:?}", event.time)),
            seen.time,
        ),
        (
            "subject",
            !event.subject.is_empty() && !inherits(|event| format!("{:?}", event.subject)),
            seen.subject,
        ),
        (
            "key",
            !event.key.is_empty() && !inherits(|event| format!("{:?}", event.key)),
            seen.key,
        ),
        (
            "contract",
            !event.contract.is_empty() && !inherits(|event| format!("{:?}", event.contract)),
            seen.contract,
        ),
    ];
    for (rule, _, _) in rules.into_iter().filter(|(_, said, seen)| *said && !seen) {
        subject.say(format!(
            "event.{rule}: finds nothing in any sample; mend the rule, or add a sample that has it"
        ));
    }
}

/// A secret that is not the platform's, of the same form.
pub(super) fn another(secret: &str) -> String {
    let mut characters: Vec<char> = secret.chars().collect();
    let middle = characters.len() / 2;
    if let Some(character) = characters.get_mut(middle) {
        *character = if *character == 'A' { 'B' } else { 'A' };
    }
    characters.into_iter().collect()
}
