//! The catalogue: built-in folders, a user's laid over them, settings worked in, and samples.

use std::collections::BTreeMap;
use std::path::Path;

use hooksluice::provider::settings::Given;
use hooksluice::provider::{Catalogue, CatalogueError, Provider};

/// A folder of the user's own, of files by their path.
fn overlay(files: &[(&str, &str)]) -> (Catalogue, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().expect("inside")).expect("folders");
        std::fs::write(path, text).expect("written");
    }
    let catalogue = Catalogue::with_overlays(&[folder.path().to_path_buf()]).expect("readable");
    (catalogue, folder)
}

fn given(yaml_free: &[(&str, serde_json::Value)]) -> BTreeMap<String, Given> {
    yaml_free
        .iter()
        .map(|(name, value)| {
            (
                (*name).to_owned(),
                serde_json::from_value(value.clone()).expect("a setting"),
            )
        })
        .collect()
}

/// What a definition cannot do without.
fn definition(rest: &str) -> String {
    format!(
        "title = \"T\"\ncategory = \"c\"\ndocs = \"d\"\nread = \"2026-11-24\"\nconfidence = \"documented\"\nevidence = \"e\"\ndomain = \"com.example\"\n{rest}"
    )
}

const SIGNATURE: &str =
    "[[signature]]\nscheme = \"hmac\"\nfrom = { header = \"X-Sig\" }\nalgorithm = \"sha256\"\ncontent = [\"body\"]\n";

fn load(toml: &str, settings: &[(&str, serde_json::Value)]) -> Result<Provider, String> {
    let (catalogue, _folder) = overlay(&[("mine/provider.toml", &definition(toml))]);
    catalogue.provider("mine", &given(settings)).map_err(said)
}

fn said(errors: Vec<CatalogueError>) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_built_in_provider_can_be_listed() {
    let catalogue = Catalogue::built_in();
    let names = catalogue.names();
    assert!(names.len() >= 2, "{names:?}");
    for name in names {
        let definition = catalogue.definition(&name).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            !definition.title.is_empty() && !definition.signature.is_empty(),
            "{name}"
        );
        catalogue
            .schemas(&name)
            .unwrap_or_else(|errors| panic!("{}", said(errors)));
        for sample in catalogue.sample_names(&name) {
            let sample = catalogue
                .sample(&name, &sample)
                .unwrap_or_else(|error| panic!("{error}"));
            assert!(!sample.event.is_empty());
        }
    }
}

#[test]
fn an_unknown_provider_names_the_nearest() {
    let catalogue = Catalogue::built_in();
    for (name, near) in [
        ("gihub", "`github`"),
        ("GitHub", "`github`"),
        ("standardwebhooks", "`standard-webhooks`"),
    ] {
        let said = said(catalogue.provider(name, &BTreeMap::new()).expect_err("unknown"));
        assert!(said.contains(near), "{said}");
    }
    let said = said(catalogue.provider("../github", &BTreeMap::new()).expect_err("no name"));
    assert!(said.contains("unknown provider `../github`"), "{said}");
}

#[test]
fn a_users_definition_replaces_the_built_in_one() {
    let (catalogue, _folder) = overlay(&[("github/provider.toml", &definition(SIGNATURE))]);
    assert_eq!(catalogue.definition("github").expect("mine").title, "T");
    assert!(
        catalogue
            .schemas("github")
            .expect("schemas")
            .iter()
            .any(|schema| schema.event == "push"),
        "built-in schemas stay"
    );
}

#[test]
fn a_users_schema_adds_a_version_or_replaces_one() {
    let (catalogue, folder) = overlay(&[
        ("github/push/1.json", "{\"title\":\"mine\"}"),
        ("github/push/2.json", "{}"),
        ("github/.hidden/1.json", "{}"),
        ("github/notes.md", "x"),
    ]);
    let schemas = catalogue.schemas("github").expect("schemas");
    let push: Vec<_> = schemas.iter().filter(|schema| schema.event == "push").collect();
    assert_eq!(
        push.iter().map(|schema| schema.version.as_str()).collect::<Vec<_>>(),
        ["1", "2"]
    );
    assert_eq!(push[0].text, "{\"title\":\"mine\"}");
    assert_eq!(Path::new(&push[0].place), folder.path().join("github/push/1.json"));
    assert!(
        schemas
            .iter()
            .all(|schema| schema.event != ".hidden" && schema.event != "samples")
    );
}

#[test]
fn extending_joins_tables_and_replaces_arrays() {
    let base = definition(&format!(
        "notes = \"base\"\n[body]\nlimit = \"2MiB\"\nformat = \"json\"\n{SIGNATURE}"
    ));
    let (catalogue, _folder) = overlay(&[
        ("base/provider.toml", &base),
        (
            "mine/provider.toml",
            "extends = \"base\"\ntitle = \"Mine\"\n[body]\nlimit = \"3MiB\"\n[[signature]]\nscheme = \"token\"\nfrom = { header = \"X-T\" }\n",
        ),
        ("further/provider.toml", "extends = \"mine\"\n"),
        ("lost/provider.toml", "extends = \"bse\"\n"),
    ]);
    let mine = catalogue.definition("mine").expect("mine");
    assert_eq!((mine.title.as_str(), mine.notes.as_str()), ("Mine", "base"));
    assert_eq!(mine.body.limit.as_deref(), Some("3MiB"));
    assert_eq!(format!("{:?}", mine.body.format), "Json");
    assert_eq!(mine.signature.len(), 1);
    assert_eq!(mine.signature[0].from.header.as_deref(), Some("X-T"));
    let further = catalogue.definition("further").expect_err("two levels").to_string();
    assert!(further.contains("one level"), "{further}");
    let lost = catalogue.definition("lost").expect_err("no base").to_string();
    assert!(
        lost.contains("`extends = \"bse\"`") && lost.contains("`base`"),
        "{lost}"
    );
}

const PARAMETERS: &str = "[settings.header]
description = \"header that holds the signature\"
required = true
[settings.prefix]
description = \"stands in front\"
[settings.algorithm]
description = \"hash\"
default = \"sha256\"
one_of = [\"sha256\", \"sha1\"]
[settings.content]
description = \"what is signed\"
list = true
default = [\"body\"]
[[signature]]
scheme = \"hmac\"
from = { header = \"${header}\", prefix = \"${prefix}\" }
algorithm = \"${algorithm}\"
content = \"${content}\"
";

#[test]
fn settings_stand_in_place_of_their_placeholders() {
    let provider = load(
        PARAMETERS,
        &[
            ("header", "X-Mine".into()),
            ("content", serde_json::json!(["timestamp", ".", "body"])),
            ("prefix", "v1=".into()),
        ],
    )
    .expect("it loads");
    let signature = &provider.definition.signature[0];
    assert_eq!(signature.from.header.as_deref(), Some("X-Mine"));
    assert_eq!(signature.from.prefix.as_deref(), Some("v1="));
    assert_eq!(signature.content.len(), 3);
    assert_eq!(
        provider.settings.text("algorithm"),
        Some("sha256"),
        "a default is a value"
    );
}

#[test]
fn an_optional_setting_without_a_value_leaves_its_key_out() {
    let provider = load(PARAMETERS, &[("header", "X-Mine".into())]).expect("it loads");
    assert_eq!(provider.definition.signature[0].from.prefix, None);
}

#[test]
fn a_rule_that_loses_its_place_is_left_out() {
    let toml = format!(
        "[settings.time]\ndescription = \"t\"\n[timestamp]\nfrom = {{ header = \"${{time}}\" }}\ntolerance = \"5m\"\n[event]\nid = [{{ header = \"${{time}}\" }}, {{ json = \"/id\" }}]\nkey = [{{ json = \"${{time}}\" }}]\n{SIGNATURE}"
    );
    let definition = load(&toml, &[]).expect("it loads").definition;
    assert!(definition.timestamp.is_none());
    assert_eq!((definition.event.id.len(), definition.event.key.len()), (1, 0));
    let definition = load(&toml, &[("time", "X-Time".into())]).expect("it loads").definition;
    assert!(definition.timestamp.is_some());
    assert_eq!((definition.event.id.len(), definition.event.key.len()), (2, 1));
}

#[test]
fn a_listing_shows_what_is_yet_to_be_given() {
    let (catalogue, _folder) = overlay(&[("mine/provider.toml", &definition(PARAMETERS))]);
    let definition = catalogue.definition("mine").expect("listed");
    assert_eq!(definition.signature[0].from.header.as_deref(), Some("${header}"));
}

#[test]
fn every_wrong_setting_is_named_at_once() {
    let said = load(
        PARAMETERS,
        &[
            ("algorithm", "sha265".into()),
            ("prefx", "x".into()),
            ("prefix", serde_json::json!(["a", "b"])),
        ],
    )
    .expect_err("three problems");
    for words in [
        "unknown setting `prefx`; did you mean `prefix`?",
        "setting `algorithm` must be one of `sha256`, `sha1`; did you mean `sha256`?",
        "setting `prefix` takes one value",
        "setting `header` is missing: header that holds the signature",
    ] {
        assert!(said.contains(words), "`{words}` is not in: {said}");
    }
}

#[test]
fn a_credential_comes_from_a_file_and_never_prints() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("token");
    std::fs::write(&path, "s3cret\n").expect("written");
    let toml =
        format!("[settings.verify_token]\ndescription = \"token\"\nrequired = true\ncredential = true\n{SIGNATURE}");
    let provider = load(&toml, &[("verify_token", serde_json::json!({ "file": path }))]).expect("it loads");
    assert_eq!(
        provider
            .settings
            .credential("verify_token")
            .expect("a credential")
            .expose(),
        b"s3cret"
    );
    assert!(!format!("{provider:?}").contains("s3cret"));
    let said = load(
        &toml,
        &[("verify_token", serde_json::json!({ "env": "HOOKSLUICE_TEST_NOT_SET" }))],
    )
    .expect_err("no such variable");
    assert!(
        said.contains("setting `verify_token`: environment variable `HOOKSLUICE_TEST_NOT_SET` is not set"),
        "{said}"
    );
}

#[test]
fn a_bad_definition_names_file_key_and_remedy() {
    for (toml, words) in [
        (
            SIGNATURE.replace("content", "contents"),
            vec!["signature[0].contents", "did you mean `content`?", "docs/providers.md"],
        ),
        (
            SIGNATURE.replace("\"hmac\"", "\"hmca\""),
            vec!["signature[0].scheme", "`hmca`"],
        ),
        (
            SIGNATURE.replace("\"X-Sig\"", "\"${nowhere}\""),
            vec![
                "signature[0].from.header",
                "`${nowhere}` is no declared setting",
                "[settings.nowhere]",
            ],
        ),
        (
            "[settings.key]\ndescription = \"k\"\ncredential = true\n".to_owned()
                + &SIGNATURE.replace("\"X-Sig\"", "\"${key}\""),
            vec!["credential `key` may not stand"],
        ),
        ("[[signature]\n".to_owned(), vec!["line 8"]),
        (String::new(), vec!["missing field `signature`"]),
        (
            "[settings.a]\ndescripton = \"x\"\n".to_owned() + SIGNATURE,
            vec!["settings.a.descripton", "did you mean `description`?"],
        ),
    ] {
        let said = load(&toml, &[]).expect_err("a bad definition");
        for word in words.iter().chain(&["mine/provider.toml"]) {
            assert!(said.contains(word), "`{word}` is not in: {said}");
        }
    }
}

#[test]
fn a_sample_has_its_exact_body_and_its_request() {
    let (catalogue, _folder) = overlay(&[
        ("mine/provider.toml", &definition(SIGNATURE)),
        (
            "mine/samples/order.toml",
            "event = \"order.paid\"\nbody = \"order-paid.json\"\n[request]\nquery = \"a=1\"\n[request.headers]\nX-Event = \"order.paid\"\n[signed]\nat = \"2026-11-24T00:00:00Z\"\nsecret = \"s\"\n[signed.headers]\nX-Sig = \"abc\"\n",
        ),
        ("mine/samples/order-paid.json", "{ \"a\": 1 }\n"),
        ("mine/samples/plain.json", "{}"),
        ("mine/samples/broken.toml", "event = \"x\"\nbody = \"none.json\"\n"),
    ]);
    assert_eq!(catalogue.sample_names("mine"), ["broken", "order", "plain"]);
    let order = catalogue.sample("mine", "order").expect("order");
    assert_eq!(
        (order.event.as_str(), order.body.as_slice()),
        ("order.paid", b"{ \"a\": 1 }\n".as_slice())
    );
    assert_eq!(
        (order.request.query.as_str(), order.request.headers["X-Event"].as_str()),
        ("a=1", "order.paid")
    );
    assert_eq!(order.signed.expect("signed").headers["X-Sig"], "abc");
    let plain = catalogue.sample("mine", "plain").expect("plain");
    assert_eq!(
        (plain.event.as_str(), plain.request.headers["Content-Type"].as_str()),
        ("plain", "application/json")
    );
    assert!(
        catalogue
            .sample("mine", "broken")
            .expect_err("no body")
            .to_string()
            .contains("no file `none.json`")
    );
    assert!(
        catalogue
            .sample("mine", "ordr")
            .expect_err("none")
            .to_string()
            .contains("did you mean `order`?")
    );
}

#[test]
fn a_folder_that_cannot_be_read_is_named() {
    let errors = Catalogue::with_overlays(&["/no/such/folder".into()]).expect_err("unreadable");
    assert!(said(errors).contains("/no/such/folder"));
}

#[test]
fn the_page_of_providers_is_made_from_the_data() {
    let page = hooksluice::provider::markdown::page(&Catalogue::built_in()).expect("a page");
    let written = std::fs::read_to_string("docs/providers.md").expect("the page");
    assert!(
        page == written,
        "docs/providers.md is not current: run `cargo run -- providers --markdown > docs/providers.md`"
    );
}
