//! Laws: what is signed verifies, and by the right name; what was changed anywhere does not.

use std::sync::LazyLock;

use hooksluice::provider::Definition;
use hooksluice::verify::{Signed, VerifyError};
use proptest::prelude::*;

use super::key_pairs::{Pair, ed25519, p256};
use super::{at, definition, raw, signed, unsigned, verifier, verify};

const NOW: i64 = 1_750_000_000;

/// Every shape that shared secrets are used in.
static SHARED: LazyLock<Vec<Definition>> = LazyLock::new(|| {
    let stamped = "[timestamp]\nfrom = { header = 'X-Time' }\ntolerance = '5m'\n";
    let listed = "[timestamp]\nfrom = { field = 't' }\ntolerance = '5m'\n";
    let texts: [&str; 8] = [
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig', prefix = 'sha256=' }\ncontent = ['body']",
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha512'\nencoding = 'base64'\nfrom = { header = 'X-Sig' }\n\
         content = ['method', ':', 'url', ':', { header = 'X-Id' }, ':', { part = 'body', transform = 'sha256_hex' }]",
        &format!(
            "{stamped}[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha1'\nencoding = 'base64url'\nfrom = {{ header = 'X-Sig' }}\n\
             content = [{{ literal = 'v0' }}, ':', 'timestamp', ':', 'body']"
        ),
        &format!(
            "{listed}[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = {{ header = 'X-Sig' }}\n\
             list = {{ separator = ',', assign = '=', key = 'v1' }}\ncontent = ['timestamp', '.', 'body']"
        ),
        &format!(
            "{stamped}[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha384'\nencoding = 'base64'\nfrom = {{ header = 'X-Sig' }}\n\
             list = {{ separator = ' ', assign = ',', key = 'v1' }}\ncontent = [{{ header = 'X-Id' }}, '.', 'timestamp', '.', 'body']"
        ),
        "[[signature]]\nscheme = 'hash'\nalgorithm = 'md5'\nfrom = { header = 'X-Sig' }\ncontent = ['body', 'secret']",
        "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\nfrom = { header = 'X-Sig' }\ncontent = ['url']\n\
         digest = [{ find = { query = 'digest' }, hash = 'sha256' }]",
        "[[signature]]\nscheme = 'jwt'\nalgorithms = ['HS256']\nfrom = { header = 'Authorization', prefix = 'Bearer ' }\n\
         digest = [{ find = { claim = 'body' }, hash = 'sha256', encoding = 'base64url' }]",
    ];
    texts.map(definition).into()
});

static KEYS: LazyLock<[Pair; 3]> = LazyLock::new(|| [ed25519(), p256(), p256()]);

fn ed25519_definition() -> Definition {
    definition(
        "[secret]\nencoding = 'pem'\n[timestamp]\nfrom = { header = 'X-Time' }\n[[signature]]\nscheme = 'ed25519'\n\
         from = { header = 'X-Sig' }\ncontent = ['timestamp', 'body']",
    )
}

fn ecdsa_definition(raw: bool) -> Definition {
    definition(&format!(
        "[secret]\nencoding = 'pem'\n[timestamp]\nfrom = {{ header = 'X-Time' }}\n[[signature]]\nscheme = 'ecdsa'\nraw = {raw}\n\
         encoding = 'base64'\nfrom = {{ header = 'X-Sig' }}\ncontent = ['timestamp', 'body']"
    ))
}

/// What may be changed on the way: a byte of the body, or a character of a header.
#[derive(Clone, Debug)]
enum Change {
    Body(prop::sample::Index, u8),
    Header(prop::sample::Index, prop::sample::Index),
    Url,
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        (any::<prop::sample::Index>(), 1..=255u8).prop_map(|(at, mask)| Change::Body(at, mask)),
        any::<(prop::sample::Index, prop::sample::Index)>().prop_map(|(header, at)| Change::Header(header, at)),
        Just(Change::Url),
    ]
}

/// `None`: the change is to something that this signature does not cover.
fn changed(mut signed: Signed, change: &Change) -> Option<Signed> {
    match change {
        Change::Body(..) if signed.body.is_empty() => return None,
        Change::Body(at, mask) => {
            let mut body = signed.body.to_vec();
            let at = at.index(body.len());
            body[at] ^= mask;
            signed.body = body.into();
        }
        Change::Header(header, at) => {
            let mut headers: Vec<_> = signed.headers.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            headers.retain(|(name, _)| name != "content-type");
            let header = header.index(headers.len());
            let (_, value) = &mut headers[header];
            let mut bytes = value.as_bytes().to_vec();
            let at = at.index(bytes.len());
            // Another letter, not the other case: that of hex means nothing, nor that of a scheme's name.
            bytes[at] = match bytes[at].to_ascii_lowercase() {
                b'1' => b'2',
                b'a' => b'b',
                _ if bytes[at].is_ascii_digit() => b'1',
                _ => b'a',
            };
            *value = hooksluice::delivery::HeaderValue::from_bytes(&bytes).expect("ASCII");
            signed.headers = headers.into_iter().collect();
        }
        Change::Url if signed.added_query.is_empty() => return None,
        Change::Url => signed.url = signed.url.replacen("/in/", "/on/", 1),
    }
    Some(signed)
}

proptest! {
    #[test]
    fn what_is_signed_verifies_by_the_name_of_its_secret(
        body in prop::collection::vec(any::<u8>(), 0..200),
        texts in prop::collection::hash_set("[ -~]{1,80}", 1..5),
        by in any::<prop::sample::Index>(),
        which in 0..8usize,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let by = by.index(texts.len());
        let definition = &SHARED[which];
        let signed = signed(definition, texts[by], unsigned(at(NOW), body));
        let proof = verify(&verifier(definition, &texts), &raw(signed), at(NOW)).expect("accepted");
        let name = format!("s{by}");
        prop_assert_eq!(proof.key.as_deref(), Some(name.as_str()));
    }

    #[test]
    fn whatever_is_changed_is_refused(
        body in prop::collection::vec(any::<u8>(), 0..200),
        secret in "[ -~]{1,80}",
        change in change(),
        which in 0..8usize,
    ) {
        let definition = &SHARED[which];
        let signed = signed(definition, &secret, unsigned(at(NOW), body));
        let Some(changed) = changed(signed, &change) else { return Ok(()) };
        let outcome = verify(&verifier(definition, &[&secret]), &raw(changed), at(NOW));
        prop_assert!(outcome.is_err(), "{:?}", outcome);
    }

    #[test]
    fn another_secret_is_a_mismatch(
        body in prop::collection::vec(any::<u8>(), 0..200),
        secrets in prop::collection::hash_set("[ -~]{1,80}", 2),
        which in 0..8usize,
    ) {
        let secrets: Vec<&str> = secrets.iter().map(String::as_str).collect();
        // HMAC fills a short key up with zeros; none of these ends in one.
        let definition = &SHARED[which];
        let signed = signed(definition, secrets[0], unsigned(at(NOW), body));
        let outcome = verify(&verifier(definition, &secrets[1..]), &raw(signed), at(NOW));
        prop_assert_eq!(outcome.unwrap_err(), VerifyError::Mismatch);
    }

    #[test]
    fn a_signed_time_counts_both_ways(age in -1000..1000i64, which in prop::sample::select(vec![2usize, 3, 4])) {
        let definition = &SHARED[which];
        let signed = signed(definition, "secret", unsigned(at(NOW), "{}"));
        let outcome = verify(&verifier(definition, &["secret"]), &raw(signed), at(NOW + age)).err();
        let expected = match age {
            ..-300 => Some(VerifyError::Future(-age)),
            -300..=300 => None,
            _ => Some(VerifyError::Stale(age)),
        };
        prop_assert_eq!(outcome, expected);
    }

    #[test]
    fn private_keys_sign_and_only_their_public_keys_verify(
        body in prop::collection::vec(any::<u8>(), 0..200),
        change in change(),
        which in 0..3usize,
    ) {
        let [ed, p, other] = &*KEYS;
        let (definition, pair, strangers) = match which {
            0 => (ed25519_definition(), ed, ed25519().public_pem()),
            1 => (ecdsa_definition(false), p, other.public_pem()),
            _ => (ecdsa_definition(true), p, other.public_pem()),
        };
        let signed = signed(&definition, &pair.private, unsigned(at(NOW), body));
        let public = pair.public_pem();
        let both = verifier(&definition, &[&strangers, &public]);
        let proof = verify(&both, &raw(signed.clone()), at(NOW)).expect("accepted");
        prop_assert_eq!(proof.key.as_deref(), Some("s1"));
        let outcome = verify(&verifier(&definition, &[&strangers]), &raw(signed.clone()), at(NOW));
        prop_assert_eq!(outcome.unwrap_err(), VerifyError::Mismatch);
        if let Some(changed) = changed(signed, &change) {
            prop_assert!(verify(&both, &raw(changed), at(NOW)).is_err());
        }
    }
}
