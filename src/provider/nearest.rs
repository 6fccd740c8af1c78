//! What a mistyped name was probably meant to be.

/// The candidate nearest to `name`, when one is near enough to be meant.
pub fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let wanted = name.to_ascii_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (score(&wanted, &candidate.to_ascii_lowercase()), candidate))
        .filter(|(score, _)| *score >= 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

/// Jaro-Winkler forgives typing errors; a whole word inside the other (`pubsub`, `google-pubsub-push`) counts as near too.
fn score(wanted: &str, candidate: &str) -> f64 {
    let alike = strsim::jaro_winkler(wanted, candidate);
    let inside =
        wanted.len() >= 3 && (candidate.contains(wanted) || wanted.contains(candidate) && candidate.len() >= 3);
    if inside { alike.max(0.8) } else { alike }
}

/// `; did you mean …?`, or nothing.
pub fn did_you_mean<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
    match nearest(name, candidates) {
        Some(candidate) => format!("; did you mean `{candidate}`?"),
        None => String::new(),
    }
}
