//! SORT and UID SORT (RFC 5256), DISPLAYFROM and DISPLAYTO (RFC 5957).

use std::cmp::Ordering;

use mailbox::{Message, Uid, UidRanges};

use super::answer::Results;
use super::found::{Found, Searcher};
use super::header::{Header, arrived};
use super::paced;
use crate::backend::{Backend, Transport};
use crate::cmd::progress::Tally;
use crate::grammar::{Sort, SortCriterion, SortKey, Tag};
use crate::limits;
use crate::mime::{self, Address};
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn sort(&mut self, tag: &Tag, sort: &Sort) -> Result<Done> {
        let criteria = self.criteria(Some(sort.charset), &sort.key)?;
        let criteria = criteria.with_relevancy(sort.wants_relevancy(), &sort.key);
        let tally = Tally::default();
        let searcher = Searcher::of(&self.backend, self.selected.as_ref(), &tally)?;
        let searched = searcher.searched(&criteria).await;
        self.check_ordered(&searched)?;
        let ordering = async {
            let found = searcher.matching(&criteria).await?;
            let order = sorted(&searcher, &found, &sort.criteria).await?;
            Result::Ok((found, order))
        };
        let waiting = &self.progress;
        let ordered = waiting.while_waiting(&mut self.conn, &tally, ordering);
        let (found, order) = ordered.await??;
        let results = Results::sorted(&found, criteria.names_modseq, &order);
        self.answer(tag, sort.uid, sort.returns.as_ref(), &results)?;
        Ok(Done::text(if sort.uid {
            "UID SORT completed"
        } else {
            "SORT completed"
        }))
    }
}

/// Messages in the order that the criteria ask for, without those that are expunged meanwhile.
async fn sorted<B: Backend>(
    searcher: &Searcher<'_, B>,
    found: &Found,
    criteria: &[SortCriterion],
) -> Result<Vec<Uid>> {
    check_number(&found.uids)?;
    let mut table = Table::new(criteria);
    let needs_header = table.needs_header;
    let mut scores = found.scored().peekable();
    let mut walk = searcher.walk(&found.uids, true, move |_| needs_header);
    while let Some(message) = walk.next().await? {
        let header = if table.needs_header {
            Some(Header::read(searcher.backend, &message, &mut walk.pace).await?)
        } else {
            None
        };
        // Some may be expunged meanwhile, and are passed over.
        while scores.next_if(|(uid, _)| *uid < message.uid).is_some() {}
        let score = scores.peek().map_or(0, |(_, score)| *score);
        table.push(&message, header.as_ref(), score)?;
    }
    let rows: Vec<usize> = (0..table.uids.len()).collect();
    let rows = paced::sorted(rows, &|one, other| table.compare(*one, *other)).await;
    Ok(rows.into_iter().map(|row| table.uids[row]).collect())
}

/// Refuses to order very many messages.
pub(super) fn check_number(uids: &UidRanges) -> Result<()> {
    if uids.len() > limits::SORT_MESSAGES_MAX {
        return Err(Stop::no(Code::Limit, "Too many messages to be ordered"));
    }
    Ok(())
}

/// What is compared of each message, in the order of the mailbox.
struct Table {
    uids: Vec<Uid>,
    columns: Vec<Column>,
    needs_header: bool,
    /// Bytes of all texts.
    bytes: usize,
}

/// One criterion with its value for each message.
struct Column {
    criterion: SortCriterion,
    numbers: Vec<i64>,
    texts: Texts,
}

/// The values of a column of texts, one after the other.
#[derive(Default)]
struct Texts {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Texts {
    fn push(&mut self, text: &[u8]) {
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len());
    }

    /// The text of a row, empty in a column of numbers.
    fn get(&self, row: usize) -> &[u8] {
        let end = |row: usize| self.ends.get(row).copied();
        let start = row.checked_sub(1).and_then(end).unwrap_or(0);
        let range = start..end(row).unwrap_or(start);
        self.bytes.get(range).unwrap_or_default()
    }
}

/// What a criterion compares of a message.
enum Value {
    Number(i64),
    Text(Vec<u8>),
}

impl Table {
    fn new(criteria: &[SortCriterion]) -> Table {
        let column = |&criterion: &SortCriterion| Column {
            criterion,
            numbers: Vec::new(),
            texts: Texts::default(),
        };
        let is_in_row = |key| matches!(key, SortKey::Arrival | SortKey::Size | SortKey::Relevancy);
        Table {
            uids: Vec::new(),
            columns: criteria.iter().map(column).collect(),
            needs_header: !criteria.iter().all(|criterion| is_in_row(criterion.key)),
            bytes: 0,
        }
    }

    fn push(&mut self, message: &Message, header: Option<&Header>, score: u8) -> Result<()> {
        self.uids.push(message.uid);
        for column in &mut self.columns {
            let value = match column.criterion.key {
                // The best comes first (RFC 6203 section 6).
                SortKey::Relevancy => Value::Number(-i64::from(score)),
                key => value(key, message, header),
            };
            match value {
                Value::Number(number) => column.numbers.push(number),
                Value::Text(text) => {
                    self.bytes += text.len();
                    column.texts.push(&text);
                }
            }
        }
        if self.bytes > limits::SORT_BYTES_MAX {
            return Err(Stop::no(Code::Limit, "Too much text to be ordered"));
        }
        Ok(())
    }

    /// How two messages lie to each other; if nothing else tells, by their place in the mailbox,
    /// whatever is reversed (RFC 5256 section 3).
    fn compare(&self, one: usize, other: usize) -> Ordering {
        let by = |column: &Column| {
            let numbers = column.numbers.get(one).cmp(&column.numbers.get(other));
            let order = numbers.then_with(|| column.texts.get(one).cmp(column.texts.get(other)));
            if column.criterion.reverse {
                order.reverse()
            } else {
                order
            }
        };
        let decided = self.columns.iter().map(by).find(|order| order.is_ne());
        decided.unwrap_or_else(|| one.cmp(&other))
    }
}

fn value(key: SortKey, message: &Message, header: Option<&Header>) -> Value {
    let mailbox = |address: Option<&Address>| {
        let mailbox = address.and_then(|address| address.mailbox.as_deref());
        text(&String::from_utf8_lossy(mailbox.unwrap_or_default()))
    };
    let Some(header) = header else {
        return match key {
            SortKey::Size => Value::Number(i64::try_from(message.size()).unwrap_or(i64::MAX)),
            _ => Value::Number(arrived(message)),
        };
    };
    match key {
        SortKey::Arrival | SortKey::Relevancy => Value::Number(arrived(message)),
        SortKey::Size => Value::Number(i64::try_from(message.size()).unwrap_or(i64::MAX)),
        SortKey::Date => Value::Number(header.sent(message)),
        SortKey::From => mailbox(header.from()),
        SortKey::To => mailbox(header.to()),
        SortKey::Cc => mailbox(header.cc()),
        SortKey::Subject => text(&mime::base_subject(header.subject()).text),
        SortKey::DisplayFrom => text(&header.from().map(displayed).unwrap_or_default()),
        SortKey::DisplayTo => text(&header.to().map(displayed).unwrap_or_default()),
    }
}

fn text(text: &str) -> Value {
    Value::Text(mime::collate(text, limits::SORT_TEXT_BYTES_MAX))
}

/// How an address is shown (RFC 5957 section 3): its name, else the address, else what there is
/// of it.
fn displayed(address: &Address) -> String {
    let name = mime::decode_words(address.name.as_deref().unwrap_or_default());
    if !name.is_empty() {
        return name;
    }
    let part = |part: &Option<Box<[u8]>>| {
        String::from_utf8_lossy(part.as_deref().unwrap_or_default()).into_owned()
    };
    let (mailbox, host) = (part(&address.mailbox), part(&address.host));
    if host.is_empty() {
        mailbox
    } else {
        format!("{mailbox}@{host}")
    }
}
