//! Keys in documents of the platforms' own: a list, one a key, and what is shown to be told them.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hooksluice::delivery::RawDelivery;
use hooksluice::provider::Settings as Given;
use hooksluice::provider::definition::Definition;
use hooksluice::provider::settings::Given as GivenValue;
use hooksluice::verify::{Verifier, VerifyError, sign};

use super::platform::Platform;
use super::{HOUR, MINUTE, START, keyring};
use crate::verify::key_pairs::{Pair, RSA, p256};
use crate::verify::{at, raw, secrets, unsigned};

/// A definition and its settings, signed by `pair` and verified against the platform.
struct Case {
    definition: Definition,
    settings: Given,
    verifier: Verifier,
}

impl Case {
    fn new(keys: &str, declared: &str, given: &[(&str, &str)]) -> Self {
        let definition = crate::verify::definition(&format!(
            "{declared}\n[[signature]]\nscheme = 'ecdsa'\nfrom = {{ header = 'x-sig' }}\nencoding = 'base64'\ncontent = ['body']\n{keys}"
        ));
        let given: BTreeMap<String, GivenValue> = given
            .iter()
            .map(|(name, text)| {
                (
                    (*name).to_owned(),
                    serde_json::from_value((*text).into()).expect("a setting"),
                )
            })
            .collect();
        let settings = Given::check(&definition.settings, &given).expect("settings");
        let verifier = Verifier::compile(&definition, &[], &settings, &keyring(), None);
        Self {
            verifier: verifier.unwrap_or_else(|problems| panic!("{problems:#?}")),
            definition,
            settings,
        }
    }

    fn signed(&self, pair: &Pair, id: &str) -> RawDelivery {
        let mut request = unsigned(at(START), r#"{"a":1}"#);
        request.headers = crate::verify::headers(&[("x-key", id)]);
        let signed = sign(
            &self.definition,
            &secrets(&[&pair.private]),
            &self.settings,
            None,
            request,
        );
        raw(signed.unwrap_or_else(|problems| panic!("{problems:#?}")))
    }

    async fn key(&self, raw: &RawDelivery, now: i64) -> Result<String, VerifyError> {
        let verified = self.verifier.verify(raw, at(now)).await?;
        Ok(verified.proof().key.as_deref().unwrap_or_default().to_owned())
    }
}

fn spki(pair: &Pair) -> String {
    STANDARD.encode(&pair.spki)
}

#[actix_web::test]
async fn a_key_by_its_id_is_asked_for_once_with_the_customers_credential() {
    let platform = Platform::start();
    let (pair, other) = (p256(), p256());
    let page = platform.page(
        "/keys/k-1",
        serde_json::json!({"data": {"key": spki(&pair)}}).to_string(),
    );
    let case = Case::new(
        &format!(
            "keys = {{ id = {{ header = 'x-key' }}, hosts = ['localhost:{}'], document = {{ url = '{}', key = '/data/key', bearer = 'api_key' }} }}",
            platform.port,
            platform.url("/keys/{id}")
        ),
        "[settings.api_key]\ndescription = 'a key'\ncredential = true",
        &[("api_key", "t0ken")],
    );
    let genuine = case.signed(&pair, "k-1");
    for now in [START, START + 1, START + 299] {
        assert_eq!(case.key(&genuine, now).await.as_deref(), Ok("k-1"));
    }
    assert_eq!(page.asked(), 1);
    assert_eq!(*page.seen.lock().unwrap(), ["GET Bearer t0ken"]);
    // Another's signature under the same id is none, and asks nothing.
    assert_eq!(
        case.key(&case.signed(&other, "k-1"), START).await,
        Err(VerifyError::Mismatch)
    );
    assert_eq!(page.asked(), 1);
    // An id that the platform does not know is the sender's fault; one that is none asks nobody.
    let unknown = case.key(&case.signed(&other, "k-2"), START).await;
    assert!(matches!(unknown, Err(VerifyError::Malformed(_))), "{unknown:?}");
    for id in ["../keys/k-1", "k-1?x", "k 1", &"k".repeat(65)] {
        let refused = case.key(&case.signed(&pair, id), START).await;
        assert!(matches!(refused, Err(VerifyError::Malformed(_))), "{id}: {refused:?}");
    }
    assert_eq!(page.asked(), 1);
    // Where the platform does not know us, that is our own fault.
    platform.set("/keys/k-3", 401, vec![], "", None);
    let refused = case.key(&case.signed(&pair, "k-3"), START).await;
    assert!(matches!(refused, Err(VerifyError::KeysUnavailable(_))), "{refused:?}");
    platform.stop().await;
}

#[actix_web::test]
async fn a_list_is_fetched_again_for_a_key_that_it_lacks() {
    let platform = Platform::start();
    let (old, new) = (p256(), p256());
    let list = |keys: &[(&str, &Pair)]| {
        let keys: Vec<_> = keys
            .iter()
            .map(|(id, pair)| serde_json::json!({"key_id": id, "public_key": pair.public_pem()}))
            .collect();
        serde_json::json!(keys).to_string()
    };
    let page = platform.page("/keys", list(&[("old", &old)]));
    let case = Case::new(
        &format!(
            "keys = {{ id = {{ header = 'x-key' }}, hosts = ['localhost:{}'], document = {{ url = '{}', items = '', item_id = '/key_id', key = '/public_key' }} }}",
            platform.port,
            platform.url("/keys")
        ),
        "",
        &[],
    );
    assert_eq!(case.key(&case.signed(&old, "old"), START).await.as_deref(), Ok("old"));
    assert_eq!(
        case.key(&case.signed(&new, "old"), START).await,
        Err(VerifyError::Mismatch)
    );
    platform.set("/keys", 200, vec![], list(&[("old", &old), ("new", &new)]), None);
    assert!(
        case.key(&case.signed(&new, "new"), START + 1).await.is_err(),
        "the list is of this minute"
    );
    assert_eq!(
        case.key(&case.signed(&new, "new"), START + MINUTE).await.as_deref(),
        Ok("new")
    );
    assert_eq!(page.asked(), 2);
    // The platform's outage is not ours for a day.
    platform.set("/keys", 500, vec![], "", None);
    assert_eq!(
        case.key(&case.signed(&new, "new"), START + 20 * HOUR).await.as_deref(),
        Ok("new")
    );
    platform.stop().await;
}

#[actix_web::test]
async fn a_pem_file_and_a_key_set_serve_signatures_too() {
    let platform = Platform::start();
    let pair = p256();
    platform.page("/key.pem", pair.public_pem());
    let case = Case::new(
        &format!(
            "keys = {{ hosts = ['localhost:{}'], document = {{ url = '{}' }} }}",
            platform.port,
            platform.url("/key.pem")
        ),
        "",
        &[],
    );
    assert_eq!(
        case.key(&case.signed(&pair, "-"), START).await.as_deref(),
        Ok("platform")
    );

    platform.page("/jwks", RSA.key_set.clone());
    let lines = format!(
        "[[signature]]\nscheme = 'rsa'\nalgorithm = 'sha256'\nfrom = {{ header = 'x-sig' }}\nencoding = 'base64'\ncontent = ['body']\n\
         keys = {{ jwks = '{}', hosts = ['localhost:{}'] }}",
        platform.url("/jwks"),
        platform.port
    );
    let definition: Definition = crate::verify::definition(&lines);
    let verifier = Verifier::compile(&definition, &[], &Given::default(), &keyring(), None).expect("compiles");
    let signed = sign(
        &definition,
        &secrets(&[&RSA.private]),
        &Given::default(),
        None,
        unsigned(at(START), "{}"),
    );
    let verified = raw(signed.expect("signed"));
    let verified = verifier.verify(&verified, at(START)).await.expect("genuine");
    assert_eq!(verified.proof().key.as_deref(), Some("test"));
    platform.stop().await;
}

#[actix_web::test]
async fn a_token_is_asked_for_where_the_platform_wants_one() {
    let platform = Platform::start();
    let pair = p256();
    let token = platform.page("/token", r#"{"access_token":"short-lived","expires_in":7200}"#);
    let page = platform.page("/keys/k-1", serde_json::json!({"key": spki(&pair)}).to_string());
    let case = Case::new(
        &format!(
            "[signature.keys]\nid = {{ header = 'x-key' }}\nhosts = ['localhost:{}']\n[signature.keys.document]\nurl = '{}'\nkey = '/key'\n\
             client_credentials = {{ token_url = '{}', scope = 'https://x.example/scope', id = 'client_id', secret = 'client_secret' }}",
            platform.port,
            platform.url("/keys/{id}"),
            platform.url("/token")
        ),
        "[settings.client_id]\ndescription = 'id'\n[settings.client_secret]\ndescription = 'secret'\ncredential = true",
        &[("client_id", "me"), ("client_secret", "s3cret")],
    );
    assert_eq!(case.key(&case.signed(&pair, "k-1"), START).await.as_deref(), Ok("k-1"));
    let basic = STANDARD.encode("me:s3cret");
    assert_eq!(
        *token.seen.lock().unwrap(),
        [format!(
            "POST Basic {basic} grant_type=client_credentials&scope=https%3A%2F%2Fx%2Eexample%2Fscope"
        )]
    );
    assert_eq!(*page.seen.lock().unwrap(), ["GET Bearer short-lived"]);
    // No token, no key: our own fault.
    platform.set("/token", 401, vec![], "", None);
    let refused = case.key(&case.signed(&pair, "k-2"), START).await;
    assert!(matches!(refused, Err(VerifyError::KeysUnavailable(_))), "{refused:?}");
    platform.stop().await;
}

#[test]
fn what_cannot_be_fetched_is_said_at_load() {
    let problems = |keys: &str| {
        let definition = crate::verify::definition(&format!(
            "[settings.api_key]\ndescription = 'a key'\ncredential = true\n[[signature]]\nscheme = 'ecdsa'\nfrom = {{ header = 'x-sig' }}\nencoding = 'base64'\ncontent = ['body']\n{keys}"
        ));
        let compiled = Verifier::compile(&definition, &[], &Given::default(), &Arc::default(), None);
        compiled.expect_err("does not compile").join("\n")
    };
    let url = "https://keys.example.com/{id}";
    for (keys, said) in [
        (format!("keys = {{ document = {{ url = '{url}' }}, hosts = ['keys.example.com'] }}"), "no `id` says where"),
        (format!("keys = {{ id = {{ header = 'k' }}, document = {{ url = '{url}' }} }}"), "list its host under `hosts`"),
        (
            "keys = { id = { header = 'k' }, document = { url = 'https://{id}.example.com/' }, hosts = ['*.example.com'] }".into(),
            "in the URL's path",
        ),
        (
            "keys = { document = { url = 'https://keys.example.com/', bearer = 'api_key' }, hosts = ['keys.example.com'] }".into(),
            "needs the setting `api_key`",
        ),
        (
            "keys = { document = { url = 'http://keys.example.com/' }, hosts = ['keys.example.com'] }".into(),
            "not https",
        ),
    ] {
        let found = problems(&keys);
        assert!(found.contains(said), "{keys}: {found}");
    }
}
