//! What an index spares a search: messages of which it tells that they lack a text are not read.
//!
//! It only ever leaves out. A message that it does not know, or of which it is not certain, is read
//! like any other, so what is found is the same with and without it.

use std::sync::OnceLock;

use mailbox::{Uid, UidRanges};

use super::found::Searcher;
use super::test::Test;
use crate::backend::Backend;
use crate::limits;
use crate::mime::NeedleGrams;

/// The messages of the mailbox that certainly lack a text. Nobody knows any before an index was
/// asked, once.
#[derive(Default)]
pub(super) struct Lacking(OnceLock<UidRanges>);

impl Lacking {
    pub(super) fn has(&self, message: Uid) -> bool {
        self.0
            .get()
            .is_some_and(|lacking| lacking.contains(message))
    }

    /// Those that are left, if an index was asked.
    pub(super) fn others(&self, all: &UidRanges) -> Option<UidRanges> {
        self.0.get().map(|lacking| all.subtract(lacking))
    }
}

/// A text that can be asked an index for, and where the answer goes.
type Asked<'t> = (NeedleGrams, &'t Lacking);

impl<B: Backend> Searcher<'_, B> {
    /// Asks the index who lacks the texts of a test, if that can pay with so many messages left.
    pub(super) async fn ask_index(&self, test: &Test, messages: u64) {
        if messages < limits::INDEX_MESSAGES_MIN {
            return;
        }
        let mut asked = Vec::new();
        gather(test, &mut asked);
        let (texts, answers): (Vec<_>, Vec<_>) = asked.into_iter().unzip();
        if texts.is_empty() {
            return;
        }
        let lacking = self.backend.lacking(self.mailbox, texts).await;
        for (answer, lacking) in answers.into_iter().zip(lacking) {
            // A test is made for one mailbox, so this is the first time.
            let _ = answer.0.set(lacking);
        }
    }
}

/// Recurses as deep as the parser allows.
fn gather<'t>(test: &'t Test, asked: &mut Vec<Asked<'t>>) {
    match test {
        Test::And(tests) => tests.iter().for_each(|test| gather(test, asked)),
        Test::Or(one, other) => {
            gather(one, asked);
            gather(other, asked);
        }
        Test::Not(test) => gather(test, asked),
        Test::Field {
            name,
            needle,
            lacking,
        } => asked.extend(NeedleGrams::in_field(name, needle).map(|grams| (grams, lacking))),
        Test::Text {
            scope,
            needle,
            lacking,
        } => asked.extend(NeedleGrams::in_text(*scope, needle).map(|grams| (grams, lacking))),
        _ => {}
    }
}
