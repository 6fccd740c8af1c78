//! Project Wycheproof's vectors for what the engine verifies by, each with the verdict that it was published with: crafted
//! keys, paddings, encodings and edge values that implementations have fallen for.
//!
//! Verdicts are `valid`, `invalid`, and `acceptable`: sound, but of a form that one may refuse. What we refuse of those is
//! named here; what is invalid is never taken.

use std::collections::BTreeMap;

use hooksluice::keys::{Algorithm, PublicKey};
use hooksluice::verify::Verifier;
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

use crate::verify::{at, definition, delivery, verify};

/// What came of a set's vectors.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    valid: usize,
    invalid: usize,
    /// Refused, though sound, by the reason's name.
    refused: BTreeMap<&'static str, usize>,
}

impl Tally {
    /// `excuse`: why a sound vector may be refused.
    fn count(&mut self, place: &str, result: TestResult, holds: bool, excuse: Option<&'static str>) {
        match (result, holds) {
            (TestResult::Invalid, true) => panic!("{place}: is invalid, and was taken"),
            (TestResult::Invalid, false) => self.invalid += 1,
            (TestResult::Valid | TestResult::Acceptable, true) => self.valid += 1,
            (_, false) => match excuse {
                Some(excuse) => *self.refused.entry(excuse).or_default() += 1,
                None => panic!("{place}: is {result:?}, and was refused"),
            },
        }
    }
}

/// The key in every form that the vectors bring it in; they must agree.
fn key(place: &str, der: &[u8], pem: &str) -> PublicKey {
    let key = PublicKey::parse(der).unwrap_or_else(|error| panic!("{place}: the key {error}"));
    assert_eq!(PublicKey::parse(pem.as_bytes()).as_ref(), Ok(&key), "{place}");
    key
}

/// HMAC as a source verifies by it: the secret's bytes, the body, the signature in hex.
#[test]
fn hmacs_are_judged_as_published() {
    let sets = [
        (mac::TestName::HmacSha1, "sha1", 20),
        (mac::TestName::HmacSha256, "sha256", 32),
        (mac::TestName::HmacSha384, "sha384", 48),
        (mac::TestName::HmacSha512, "sha512", 64),
    ];
    for (name, hash, length) in sets {
        let definition = definition(&format!(
            "[[signature]]\nscheme = 'hmac'\nalgorithm = '{hash}'\nfrom = {{ header = 'x-sig' }}\ncontent = ['body']"
        ));
        let mut tally = Tally::default();
        for group in mac::TestSet::load(name).expect("a set").test_groups {
            for test in &group.tests {
                let secret = hooksluice::secret::NamedSecret {
                    name: "key".into(),
                    secret: hooksluice::secret::Secret::new(&test.key[..]),
                };
                let verifier =
                    Verifier::compile(&definition, &[secret], &Default::default(), &Default::default(), None)
                        .unwrap_or_else(|problems| panic!("{problems:?}"));
                let signature = hex::encode(&test.tag[..]);
                let raw = delivery(crate::verify::URL, &[("x-sig", &signature)], test.msg.to_vec());
                // Half a MAC is not taken for one: no platform that is known sends it.
                let excuse = (test.tag.len() < length).then_some("truncated");
                let holds = verify(&verifier, &raw, at(0)).is_ok();
                tally.count(
                    &format!("{hash} {}: {}", test.tc_id, test.comment),
                    test.result,
                    holds,
                    excuse,
                );
            }
        }
        println!("hmac-{hash}: {tally:?}");
        assert!(tally.valid > 30 && tally.invalid > 100, "{hash}: {tally:?}");
    }
}

#[test]
fn ecdsa_signatures_are_judged_as_published() {
    let sets = [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, Algorithm::EcdsaDer),
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::EcdsaRaw),
    ];
    for (name, algorithm) in sets {
        let mut tally = Tally::default();
        for group in ecdsa::TestSet::load(name).expect("a set").test_groups {
            let key = key(&format!("{name:?}"), &group.der, &group.pem);
            for test in &group.tests {
                let holds = key.verify(algorithm, &test.msg, &test.sig);
                tally.count(
                    &format!("{name:?} {}: {}", test.tc_id, test.comment),
                    test.result,
                    holds,
                    None,
                );
            }
        }
        println!("{name:?}: {tally:?}");
        assert!(
            tally.valid > 50 && tally.invalid > 50 && tally.refused.is_empty(),
            "{name:?}: {tally:?}"
        );
    }
}

#[test]
fn ed25519_signatures_are_judged_as_published() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519)
        .expect("a set")
        .test_groups
    {
        let key = key("Ed25519", &group.der, &group.pem);
        for test in &group.tests {
            let holds = key.verify(Algorithm::Ed25519, &test.msg, &test.sig);
            tally.count(
                &format!("Ed25519 {}: {}", test.tc_id, test.comment),
                test.result,
                holds,
                None,
            );
        }
    }
    println!("Ed25519: {tally:?}");
    assert!(
        tally.valid > 50 && tally.invalid > 50 && tally.refused.is_empty(),
        "{tally:?}"
    );
}

#[test]
fn rsa_signatures_are_judged_as_published() {
    use rsa_pkcs1_verify::{TestFlag, TestName, TestSet};
    let sets = [
        (TestName::Rsa2048Sha256, Algorithm::RsaSha256),
        (TestName::Rsa2048Sha384, Algorithm::RsaSha384),
        (TestName::Rsa2048Sha512, Algorithm::RsaSha512),
        (TestName::Rsa3072Sha256, Algorithm::RsaSha256),
        (TestName::Rsa3072Sha384, Algorithm::RsaSha384),
        (TestName::Rsa3072Sha512, Algorithm::RsaSha512),
        (TestName::Rsa4096Sha256, Algorithm::RsaSha256),
        (TestName::Rsa4096Sha384, Algorithm::RsaSha384),
        (TestName::Rsa4096Sha512, Algorithm::RsaSha512),
        (TestName::Rsa8192Sha256, Algorithm::RsaSha256),
        (TestName::Rsa8192Sha384, Algorithm::RsaSha384),
        (TestName::Rsa8192Sha512, Algorithm::RsaSha512),
    ];
    for (name, algorithm) in sets {
        let mut tally = Tally::default();
        for group in TestSet::load(name).expect("a set").test_groups {
            let key = key(&format!("{name:?}"), &group.der, &group.pem);
            for test in &group.tests {
                // RFC 8017 section 8.2.2 note 2: a padding without the NULL of its hash's parameters may be taken; we do not.
                let excuse = test.flags.contains(&TestFlag::MissingNull).then_some("missing NULL");
                let holds = key.verify(algorithm, &test.msg, &test.sig);
                tally.count(
                    &format!("{name:?} {}: {}", test.tc_id, test.comment),
                    test.result,
                    holds,
                    excuse,
                );
            }
        }
        println!("{name:?}: {tally:?}");
        assert!(tally.valid > 0 && tally.invalid > 50, "{name:?}: {tally:?}");
    }
}

#[test]
fn rsa_pss_signatures_are_judged_as_published() {
    use rsa_pss_verify::{TestName, TestSet};
    // The salt as long as the hash, as tokens have it (RFC 7518 section 3.5).
    let sets = [
        (TestName::RsaPss2048Sha256Mgf1SaltLen32, Algorithm::RsaPssSha256),
        (TestName::RsaPss2048Sha384Mgf1SaltLen48, Algorithm::RsaPssSha384),
        (TestName::RsaPss3072Sha256Mgf1SaltLen32, Algorithm::RsaPssSha256),
        (TestName::RsaPss4096Sha256Mgf1SaltLen32, Algorithm::RsaPssSha256),
        (TestName::RsaPss4096Sha384Mgf1SaltLen48, Algorithm::RsaPssSha384),
        (TestName::RsaPss4096Sha512Mgf1SaltLen64, Algorithm::RsaPssSha512),
    ];
    for (name, algorithm) in sets {
        let mut tally = Tally::default();
        for group in TestSet::load(name).expect("a set").test_groups {
            let key = key(&format!("{name:?}"), &group.der, &group.pem);
            for test in &group.tests {
                let holds = key.verify(algorithm, &test.msg, &test.sig);
                tally.count(
                    &format!("{name:?} {}: {}", test.tc_id, test.comment),
                    test.result,
                    holds,
                    None,
                );
            }
        }
        println!("{name:?}: {tally:?}");
        assert!(tally.valid > 30 && tally.invalid > 30, "{name:?}: {tally:?}");
    }
    // Another salt's length, or another hash under the mask: genuine by its own parameters, and not by ours.
    let others = [
        TestName::RsaPss2048Sha256Mgf1SaltLen0,
        TestName::RsaPss2048Sha256Mgf1Sha1_20,
        TestName::RsaPss4096Sha512Mgf1SaltLen32,
    ];
    for name in others {
        let algorithm = match name {
            TestName::RsaPss4096Sha512Mgf1SaltLen32 => Algorithm::RsaPssSha512,
            _ => Algorithm::RsaPssSha256,
        };
        for group in TestSet::load(name).expect("a set").test_groups {
            let key = key(&format!("{name:?}"), &group.der, &group.pem);
            for test in group.tests.iter().filter(|test| test.result == TestResult::Valid) {
                let holds = key.verify(algorithm, &test.msg, &test.sig);
                assert!(!holds, "{name:?} {}: {}", test.tc_id, test.comment);
            }
        }
    }
}
