//! Problems of a definition or a source, collected so that all are said at once, each with its place.

/// A place that problems are said about.
pub(crate) struct Problems<'p> {
    all: &'p mut Vec<String>,
    place: String,
}

impl<'p> Problems<'p> {
    pub fn new(all: &'p mut Vec<String>, place: impl Into<String>) -> Self {
        let place = place.into();
        Self { all, place }
    }

    /// The same collection, one step further in.
    pub fn at(&mut self, step: &str) -> Problems<'_> {
        let place = match self.place.as_str() {
            "" => step.to_owned(),
            place => format!("{place}.{step}"),
        };
        Problems { all: self.all, place }
    }

    pub fn say(&mut self, problem: impl std::fmt::Display) {
        self.all.push(match self.place.as_str() {
            "" => problem.to_string(),
            place => format!("{place}: {problem}"),
        });
    }

    /// Says a problem in the place of a value.
    pub fn none<T>(&mut self, problem: impl std::fmt::Display) -> Option<T> {
        self.say(problem);
        None
    }
}

/// The known word that `word` was probably meant to be.
pub(crate) fn nearest<'w>(word: &str, known: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(word.len()) / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}
