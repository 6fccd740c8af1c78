//! docs/providers.md, out of the data.

use std::fmt::Write;

use super::definition::Confidence;
use super::listing::{confidence, schemes};
use super::{Catalogue, CatalogueError, Definition};

/// The whole page.
pub fn page(catalogue: &Catalogue) -> Result<String, CatalogueError> {
    let mut all = Vec::new();
    for name in catalogue.names() {
        let definition = catalogue.definition(&name)?;
        all.push((name, definition));
    }
    let count = |confidence| all.iter().filter(|(_, d)| d.confidence == confidence).count();
    let (oracle, documented, reported) = (
        count(Confidence::Oracle),
        count(Confidence::Documented),
        count(Confidence::Reported),
    );
    let mut page = format!(
        "# Providers\n\n\
         <!-- Made by `hooksluice providers --markdown > docs/providers.md`; a test compares them. -->\n\n\
         {} platforms: {oracle} proved by the vendor's own kit (`oracle`), {documented} read from the vendor's page or source\n\
         (`documented`), and {reported} from secondary sources or from memory (**reported**: check one against your platform before you\n\
         rely on it). `hooksluice providers NAME` shows one whole, with what it needs and a configuration to copy.\n\n\
         `batch`: one delivery may hold several events, and each becomes one. `deadline`: how long the platform waits for the answer, where its\n\
         page says so. Settings that a source must give are under the signature.\n\n\
         What each key of a `provider.toml` means is documented where it is read: `src/provider/definition.rs`. CONTRIBUTING.md tells how one\n\
         more platform is added.\n\n\
         | provider | platform | category | signature | handshake | batch | deadline | confidence |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        all.len()
    );
    for (name, definition) in &all {
        row(&mut page, name, definition);
    }
    Ok(page)
}

fn row(page: &mut String, name: &str, definition: &Definition) {
    let mut signature = schemes(definition).join(", ");
    let required: Vec<_> = definition
        .settings
        .iter()
        .filter(|(_, setting)| setting.required)
        .map(|(name, _)| format!("`{name}`"))
        .collect();
    if !required.is_empty() {
        signature.push_str(&format!("; needs {}", required.join(", ")));
    }
    let handshakes: Vec<_> = definition.handshake.iter().map(|one| one.name.as_str()).collect();
    let confidence = match definition.confidence {
        Confidence::Reported => "**reported**".to_owned(),
        _ => confidence(definition),
    };
    // Writing to a text does not fail.
    let _ = writeln!(
        page,
        "| `{name}` | [{}]({}) | {} | {signature} | {} | {} | {} | {confidence} |",
        definition.title,
        definition.docs,
        definition.category,
        or_dash(&handshakes.join(", ")),
        or_dash(if definition.batch.is_some() { "yes" } else { "" }),
        or_dash(definition.answer.deadline.as_deref().unwrap_or_default()),
    );
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}
