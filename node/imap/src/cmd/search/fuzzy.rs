//! FUZZY (RFC 6203): the words of a text match in any order, whatever stands between them, also
//! within longer words. All other keys match exactly (section 5).
//!
//! Relevancy (section 4) is the mean over the words: a word that stands there as it was asked for
//! counts for more than a part of one, a word of the Subject or of the field that was asked for
//! more than one of the text, and one that comes often more than one that comes once.

use super::content::Content;
use crate::backend::{Backend, BackendError};
use crate::grammar::SearchKey;
use crate::limits::FUZZY_WORDS_MAX;
use crate::mime::{Hits, Scope, Text, WordCounter, words};

/// The key by which a FUZZY key is matched.
pub(super) fn loosened(key: &SearchKey) -> SearchKey {
    let each = |text: &String, key: fn(String) -> SearchKey| {
        all(wanted(text).into_iter().map(key).collect())
    };
    match key {
        SearchKey::And(keys) => SearchKey::And(keys.iter().map(loosened).collect()),
        SearchKey::Or(one, other) => {
            SearchKey::Or(Box::new(loosened(one)), Box::new(loosened(other)))
        }
        SearchKey::Not(key) => SearchKey::Not(Box::new(loosened(key))),
        SearchKey::Bcc(text) => each(text, SearchKey::Bcc),
        SearchKey::Body(text) => each(text, SearchKey::Body),
        SearchKey::Cc(text) => each(text, SearchKey::Cc),
        SearchKey::From(text) => each(text, SearchKey::From),
        SearchKey::Subject(text) => each(text, SearchKey::Subject),
        SearchKey::Text(text) => each(text, SearchKey::Text),
        SearchKey::To(text) => each(text, SearchKey::To),
        SearchKey::Header { name, value } => {
            let key = |value| SearchKey::Header {
                name: name.clone(),
                value,
            };
            all(wanted(value).into_iter().map(key).collect())
        }
        key => key.clone(),
    }
}

fn all(mut keys: Vec<SearchKey>) -> SearchKey {
    if keys.len() == 1 {
        keys.remove(0)
    } else {
        SearchKey::And(keys)
    }
}

/// The words of a text that are looked for; if it has none, the text as it is. Never none.
fn wanted(text: &str) -> Vec<String> {
    let mut words = words(text, FUZZY_WORDS_MAX);
    if words.is_empty() {
        words.push(text.to_owned());
    }
    words
}

/// How well messages match the FUZZY keys of a search.
pub(super) struct Relevancy {
    texts: Vec<Wanted>,
}

/// A text of a FUZZY key.
struct Wanted {
    place: Place,
    words: Vec<String>,
}

/// Where a text is looked for.
enum Place {
    /// In the fields of this name.
    Field(Vec<u8>),
    Text(Scope),
}

/// What a word counts that stands there alone and once, or is a part, in percent; and where.
const WHOLE: u32 = 100;
const PREFIX: u32 = 70;
const INSIDE: u32 = 40;
const NAMED_FIELD: u32 = 100;
const OTHER_FIELD: u32 = 60;
const BODY: u32 = 80;

/// The lowest and the highest mean that there can be: relevancy uses all of 1 to 100.
const MEAN_MIN: u32 = INSIDE * OTHER_FIELD / 100 * 9 / 10;
const MEAN_MAX: u32 = 100;

impl Relevancy {
    /// Of a message that matches exactly what cannot match better or worse.
    pub(super) const EXACT: u8 = 100;

    /// Of a key; keys that must not match have no part in it.
    pub(super) fn of(key: &SearchKey) -> Relevancy {
        let mut texts = Vec::new();
        gather(key, false, &mut texts);
        Relevancy { texts }
    }

    /// Whether more than the header is read for it.
    pub(super) fn reads_text(&self) -> bool {
        let is_text = |text: &Wanted| matches!(text.place, Place::Text(_));
        self.texts.iter().any(is_text)
    }

    /// How well a message matches: 1 to 100.
    pub(super) async fn score<B: Backend>(
        &self,
        content: &mut Content<'_, B>,
    ) -> Result<u8, BackendError> {
        if self.texts.is_empty() {
            return Ok(Relevancy::EXACT);
        }
        let mut counted: Vec<Counted> = self.texts.iter().map(Counted::new).collect();
        let mut read = |text: Text<'_>| counted.iter_mut().for_each(|one| one.read(&text));
        content.texts(self.reads_text(), &mut read).await?;
        let (mut sum, mut words) = (0, 0);
        for one in counted {
            words += one.best.len() as u32;
            sum += one.marks();
        }
        Ok(stretched(sum / words.max(1)))
    }
}

/// A mean as a score.
fn stretched(mean: u32) -> u8 {
    let above = mean.clamp(MEAN_MIN, MEAN_MAX) - MEAN_MIN;
    u8::try_from(1 + above * 99 / (MEAN_MAX - MEAN_MIN)).unwrap_or(Relevancy::EXACT)
}

/// What a text says; of a field that was asked for, its name is not a part of it.
fn said<'t>(place: &Place, text: &Text<'t>) -> &'t str {
    let value = || {
        let name = std::str::from_utf8(text.field?).ok()?;
        text.text.strip_prefix(name)?.strip_prefix(": ")
    };
    let value = match place {
        Place::Field(_) => value(),
        Place::Text(_) => None,
    };
    value.unwrap_or(text.text)
}

/// At most as deep as the parser allows.
fn gather(key: &SearchKey, is_fuzzy: bool, texts: &mut Vec<Wanted>) {
    let place = match key {
        SearchKey::Fuzzy(key) => return gather(key, true, texts),
        SearchKey::And(keys) => return keys.iter().for_each(|key| gather(key, is_fuzzy, texts)),
        SearchKey::Or(one, other) => {
            gather(one, is_fuzzy, texts);
            return gather(other, is_fuzzy, texts);
        }
        SearchKey::Bcc(_) => Place::Field(b"Bcc".to_vec()),
        SearchKey::Cc(_) => Place::Field(b"Cc".to_vec()),
        SearchKey::From(_) => Place::Field(b"From".to_vec()),
        SearchKey::Subject(_) => Place::Field(b"Subject".to_vec()),
        SearchKey::To(_) => Place::Field(b"To".to_vec()),
        SearchKey::Header { name, .. } => Place::Field(name.to_vec()),
        SearchKey::Body(_) => Place::Text(Scope::Body),
        SearchKey::Text(_) => Place::Text(Scope::Text),
        _ => return,
    };
    let (SearchKey::Bcc(text)
    | SearchKey::Cc(text)
    | SearchKey::From(text)
    | SearchKey::Subject(text)
    | SearchKey::To(text)
    | SearchKey::Header { value: text, .. }
    | SearchKey::Body(text)
    | SearchKey::Text(text)) = key
    else {
        return;
    };
    if is_fuzzy {
        let words = wanted(text);
        texts.push(Wanted { place, words });
    }
}

/// What was met so far of one text.
struct Counted<'r> {
    place: &'r Place,
    counter: WordCounter,
    /// For each word the most that it counts, and how often it was met.
    best: Vec<(u32, u32)>,
}

impl<'r> Counted<'r> {
    fn new(wanted: &'r Wanted) -> Counted<'r> {
        Counted {
            place: &wanted.place,
            counter: WordCounter::new(&wanted.words),
            best: vec![(0, 0); wanted.words.len()],
        }
    }

    fn read(&mut self, text: &Text<'_>) {
        let weight = match (self.place, text.field) {
            (Place::Field(name), Some(field)) if field.eq_ignore_ascii_case(name) => NAMED_FIELD,
            (Place::Field(_), _) | (Place::Text(Scope::Body), Some(_)) => return,
            (Place::Text(_), None) => BODY,
            (Place::Text(_), Some(field)) if field.eq_ignore_ascii_case(b"Subject") => NAMED_FIELD,
            (Place::Text(_), Some(_)) => OTHER_FIELD,
        };
        self.counter.push(said(self.place, text), text.goes_on);
        if text.goes_on {
            return;
        }
        for (best, hits) in self.best.iter_mut().zip(self.counter.take()) {
            let Hits {
                whole,
                prefix,
                inside,
            } = hits;
            let kinds = [(whole, WHOLE), (prefix, PREFIX), (inside, INSIDE)];
            let kind = kinds.into_iter().find(|(met, _)| *met > 0);
            if let Some((_, kind)) = kind {
                let met = whole.saturating_add(prefix).saturating_add(inside);
                best.0 = best.0.max(kind * weight / 100);
                best.1 = best.1.saturating_add(met);
            }
        }
    }

    /// The sum over the words: of one that was met once nine tenths of what it counts, the more the
    /// oftener.
    fn marks(&self) -> u32 {
        let marks = |(best, met): &(u32, u32)| {
            let met = 8 + met.min(&100);
            best * met / (met + 1)
        };
        self.best.iter().map(marks).sum()
    }
}
