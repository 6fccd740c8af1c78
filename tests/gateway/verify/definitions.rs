//! What a definition or a source cannot say: refused at load, all at once, each with its place.

use hooksluice::delivery::Method;
use hooksluice::provider::Settings;
use hooksluice::verify::{Unsigned, sign};

use super::key_pairs::{RSA, ed25519, p256};
use super::{at, compile, definition, headers, secrets, unsigned};

fn refused(lines: &str, given: &[&str], says: &[&str]) {
    let problems = compile(&definition(lines), given).expect_err(lines);
    for wanted in says {
        assert!(
            problems.iter().any(|problem| problem.contains(wanted)),
            "{wanted}: {problems:#?}"
        );
    }
}

const FROM: &str = "from = { header = 'X-Sig' }";

#[test]
fn mistakes_of_a_definition_are_said_with_their_place() {
    let hmac = |rest: &str| format!("[[signature]]\nscheme = 'hmac'\n{FROM}\n{rest}");
    refused(
        &hmac("content = ['body']"),
        &["s"],
        &["signature 1.scheme: algorithm is missing"],
    );
    refused(
        &hmac("algorithm = 'sha256'"),
        &["s"],
        &["signature 1: content is empty"],
    );
    refused(
        &hmac("algorithm = 'sha256'\ncontent = ['bdoy']"),
        &["s"],
        &["did you mean `body`?"],
    );
    refused(
        &hmac("algorithm = 'sha256'\ncontent = ['timestamp']"),
        &["s"],
        &["no timestamp is given"],
    );
    refused(
        &hmac("algorithm = 'sha256'\nencoding = 'text'\ncontent = ['body']"),
        &["s"],
        &["encoding `text`"],
    );
    refused(
        &hmac("algorithm = 'sha256'\ncontent = [{ part = 'body', transform = 'hmac_sha256_hex' }]"),
        &["s"],
        &["signature 1.content: a keyed transform belongs in an answer"],
    );
    refused(
        &hmac("algorithm = 'sha256'\ncontent = ['body']\ndigest = [{ find = { header = 'Digest' }, hash = 'sha256' }]"),
        &["s"],
        &["digest in header `digest` is not signed"],
    );
    refused(
        &format!(
            "{}\n[[bind]]\nfind = {{ header = 'X-Account' }}\nsetting = 'account'",
            hmac("algorithm = 'sha256'\ncontent = ['body']")
        ),
        &["s"],
        &["needs the setting `account`", "bind: header `x-account` is not covered"],
    );
    refused(
        &format!("[[signature]]\nscheme = 'hash'\nalgorithm = 'sha256'\n{FROM}\ncontent = ['body']"),
        &["s"],
        &["part `secret`"],
    );
    refused(
        &format!(
            "[[signature]]\nscheme = 'ed25519'\n{FROM}\ncontent = ['body', {{ part = 'secret', transform = 'sha256_hex' }}]"
        ),
        &["s"],
        &["part `secret` is for schemes `hash` and `hmac`"],
    );
    refused("signature = []", &[], &["must be asked for by name"]);
    // Several at once.
    refused(
        &format!(
            "{}\n[[signature]]\nname = 'second'\nscheme = 'token'\nfrom = {{ header = 'a b' }}",
            hmac("")
        ),
        &["s"],
        &["signature 1.scheme", "signature `second`.from: `a b` is no header name"],
    );
}

#[test]
fn secrets_that_serve_nothing_are_named_and_not_shown() {
    let lines = format!(
        "[secret]\nencoding = 'base64'\nprefix = 'whsec_'\nprefix_required = true\nhint = 'whsec_…'\n\
         [[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n{FROM}\ncontent = ['body']"
    );
    let problems = compile(
        &definition(&lines),
        &["whsec_Zm9v", "plain-text-of-a-secret", "whsec_!!!"],
    )
    .expect_err("refused");
    assert_eq!(problems.len(), 2, "{problems:?}");
    for (problem, name) in problems.iter().zip(["`s1`", "`s2`"]) {
        assert!(
            problem.contains(name) && problem.contains("`whsec_` followed by base64"),
            "{problem}"
        );
        assert!(!problem.contains("plain-text") && !problem.contains("!!!"), "{problem}");
    }
    let none = compile(&definition(&lines), &[]).expect_err("refused");
    assert!(none[0].contains("give at least one"), "{none:?}");
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let lines = format!("[secret]\nencoding = 'pem'\n[[signature]]\nscheme = 'ed25519'\n{FROM}\ncontent = ['body']");
    assert!(compile(&definition(&lines), &[&ed25519().public_pem()]).is_ok());
    refused(&lines, &[&p256().public_pem()], &["key `s0` is a key of another kind"]);
    refused(&lines, &["nonsense"], &["key `s0` is no public key"]);
    refused(&lines, &[&ed25519().private], &["key `s0`"]);
}

/// What `sign` cannot do, it says, with the remedy.
#[test]
fn signing_says_what_it_lacks() {
    let try_to = |lines: &str, given: &[&str], request: Unsigned| {
        sign(&definition(lines), &secrets(given), &Settings::default(), None, request)
            .expect_err(lines)
            .join("; ")
    };
    let ed = format!("[secret]\nencoding = 'pem'\n[[signature]]\nscheme = 'ed25519'\n{FROM}\ncontent = ['body']");
    let said = try_to(&ed, &[&ed25519().public_pem()], unsigned(at(0), ""));
    assert!(said.contains("private key"), "{said}");
    let said = try_to(&ed, &[&p256().private], unsigned(at(0), ""));
    assert!(said.contains("another kind"), "{said}");

    let sha1 = format!(
        "[secret]\nencoding = 'pem'\n[[signature]]\nscheme = 'rsa'\nalgorithm = 'sha1'\n{FROM}\ncontent = ['body']"
    );
    let said = try_to(&sha1, &[&RSA.private], unsigned(at(0), ""));
    assert!(said.contains("cannot sign rsa-sha1"), "{said}");

    let hmac = "[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n";
    let inside = format!("{hmac}from = {{ json = '/sig' }}\ncontent = ['body']");
    let said = try_to(&inside, &["s"], unsigned(at(0), "{}"));
    assert!(said.contains("part of what is signed"), "{said}");
    let lacks = format!("{hmac}{FROM}\ncontent = [{{ json = '/id' }}]");
    let said = try_to(&lacks, &["s"], unsigned(at(0), "{}"));
    assert!(said.contains("body member `/id`"), "{said}");
    let form_only = format!("{hmac}{FROM}\ncontent = ['sorted_form']");
    let said = try_to(&form_only, &["s"], unsigned(at(0), "{}"));
    assert!(said.contains("content type"), "{said}");
    let said = try_to(&format!("{hmac}{FROM}\ncontent = ['body']"), &[], unsigned(at(0), ""));
    assert!(said.contains("none is given"), "{said}");
}

#[test]
fn signing_adds_to_the_request_and_takes_nothing_away() {
    let definition = definition(
        "[timestamp]\nfrom = { header = 'X-Time' }\nformat = 'unix_ms'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { query = 'sig' }\ncontent = [{ header = 'X-Id' }, 'timestamp', 'method', 'path', 'body']",
    );
    let request = Unsigned {
        method: Method::PUT,
        url: "https://hooks.example.com/in/shop?a=1#top".into(),
        headers: headers(&[("x-id", "mine"), ("x-other", "1"), ("x-time", "0")]),
        body: "{ }".into(),
        at: at(1),
    };
    let signed = sign(&definition, &secrets(&["s"]), &Settings::default(), None, request).expect("signed");
    let sent: Vec<_> = signed
        .headers
        .iter()
        .map(|(n, v)| format!("{n}: {}", v.to_str().expect("ASCII")))
        .collect();
    assert_eq!(sent, ["x-id: mine", "x-other: 1", "x-time: 1000"]);
    assert_eq!(
        signed.url,
        format!("https://hooks.example.com/in/shop?a=1&{}#top", signed.added_query)
    );
    let tag = crate::support::sign::hmac_sha256(b"s", &[b"mine1000PUT/in/shop{ }"]);
    assert_eq!(signed.added_query, format!("sig={}", hex::encode(tag)));
    assert_eq!((signed.method, &signed.body[..]), (Method::PUT, &b"{ }"[..]));
}

/// Linear's kit takes a time as a number only, as Linear writes it.
#[test]
fn a_time_in_the_body_stays_what_it_was_when_it_is_signed_anew() {
    let definition = definition(
        "[timestamp]\nfrom = { json = '/at' }\nformat = 'unix_ms'\n[[signature]]\nscheme = 'hmac'\nalgorithm = 'sha256'\n\
         from = { header = 'X-Sig' }\ncontent = ['body']",
    );
    for (before, after) in [(r#"{"at":5}"#, r#"{"at":1000}"#), (r#"{"at":"5"}"#, r#"{"at":"1000"}"#)] {
        let given = secrets(&["s"]);
        let signed = sign(&definition, &given, &Settings::default(), None, unsigned(at(1), before));
        assert_eq!(signed.expect("signed").body, after);
    }
}
