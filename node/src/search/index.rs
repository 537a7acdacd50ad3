//! The index itself: which messages have which trigrams. It is tantivy's; this is the one file that
//! speaks to it, beside `files`.
//!
//! ```text
//!   a document, one for each message
//!     place   account and mailbox                 term
//!     uid     the UID                             term, column
//!     grams   where a trigram stands, and which   terms; ANY alone if there are too many
//! ```
//!
//! A mailbox's id is not used again, nor is a UID of it (M2), and a message never changes: so what
//! is known of a place and a UID stays true, whatever becomes of the message, and on every replica.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use imap::mime::{Gram, MessageGrams, NeedleGrams};
use mailbox::{AccountId, MailboxId, Uid, UidRanges};
use tantivy::columnar::Column;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};
use tantivy::postings::SegmentPostings;
use tantivy::query::{BooleanQuery, Query, TermQuery};
use tantivy::schema::{BytesOptions, FAST, Field, INDEXED, IndexRecordOption, Schema};
use tantivy::{
    DocId, DocSet, IndexReader, IndexWriter, InvertedIndexReader, ReloadPolicy, SegmentReader,
    TantivyDocument, Term,
};

use super::files::Files;
use super::limits::{GRAMS_ASKED_MAX, WRITER_BYTES};

/// What an index is made by: to be raised whenever a text is folded otherwise, or its trigrams are
/// numbered otherwise. An index of another version is made anew.
const VERSION: u32 = 1;

/// Segments of about one size that are merged, and messages of the smallest size: merging writes a
/// message again about once for each power of the one.
const MERGED: usize = 8;
const MERGED_MESSAGES_MIN: u32 = 64;

/// What part of a segment may be deleted before it is merged anew.
const DELETED_PART: f32 = 0.3;

/// The gram of messages that may have any. No text has it: places of texts are numbered from 1.
const ANY: [u8; 4] = [0; 4];

/// A mailbox of an account.
pub type Place = (AccountId, MailboxId);

/// Why the index did not do what it was asked to. Whatever it is, it can be made anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The index, or its disk.
    #[error(transparent)]
    Index(#[from] tantivy::TantivyError),
    /// The disk, or damage.
    #[error(transparent)]
    Disk(#[from] io::Error),
    /// The library met what it cannot read.
    #[error("panic in the index")]
    Panic,
    /// The disk has no room for it.
    #[error("no room on the disk")]
    NoRoom,
    /// Somebody asked it, and it could not be read.
    #[error("what was asked for could not be read")]
    Unreadable,
}

#[derive(Clone, Copy)]
struct Fields {
    place: Field,
    uid: Field,
    grams: Field,
}

/// An index that is open.
pub struct Index {
    files: Files,
    fields: Fields,
    index: tantivy::Index,
    reader: IndexReader,
}

impl Index {
    /// Opens the index in a folder, or makes an empty one.
    ///
    /// # Errors
    /// [`Error`] when it is damaged or of another version.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        guarded(|| {
            let mut schema = Schema::builder();
            let terms = || BytesOptions::default().set_indexed();
            let fields = Fields {
                place: schema.add_bytes_field("place", terms()),
                uid: schema.add_u64_field("uid", INDEXED | FAST),
                grams: schema.add_bytes_field(&format!("grams-{VERSION}"), terms()),
            };
            let files = Files::open(folder)?;
            let index = tantivy::Index::open_or_create(files.clone(), schema.build())?;
            let reader = index.reader_builder().reload_policy(ReloadPolicy::Manual);
            let reader: IndexReader = reader.try_into()?;
            Ok(Self {
                files,
                fields,
                index,
                reader,
            })
        })
    }

    /// Whoever adds to it: one at a time.
    ///
    /// # Errors
    /// [`Error`].
    pub fn writer(&self) -> Result<Writer, Error> {
        guarded(|| {
            let options = IndexWriterOptions::builder()
                .memory_budget_per_thread(WRITER_BYTES)
                .num_worker_threads(1)
                .num_merge_threads(1)
                .build();
            let writer = self.index.writer_with_options(options)?;
            let mut policy = LogMergePolicy::default();
            policy.set_min_num_segments(MERGED);
            policy.set_min_layer_size(MERGED_MESSAGES_MIN);
            policy.set_del_docs_ratio_before_merge(DELETED_PART);
            writer.set_merge_policy(Box::new(policy));
            Ok(Writer {
                fields: self.fields,
                writer,
            })
        })
    }

    /// Shows what was committed.
    ///
    /// # Errors
    /// [`Error`].
    pub fn reload(&self) -> Result<(), Error> {
        guarded(|| Ok(self.reader.reload()?))
    }

    /// Bytes of its files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.bytes()
    }

    /// Messages in it.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.reader.searcher().num_docs()
    }

    /// The messages of a mailbox that are in it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn messages_of(&self, place: Place) -> Result<UidRanges, Error> {
        let mut uids = Vec::new();
        self.each_segment(place, |_, _, known| {
            uids.extend(known.iter().map(|(_, uid)| *uid));
            Ok(())
        })?;
        Ok(ranges(uids))
    }

    /// For each text the messages of a mailbox that are in the index and lack it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn lacking(&self, place: Place, texts: &[NeedleGrams]) -> Result<Vec<UidRanges>, Error> {
        let mut lacking: Vec<Vec<Uid>> = vec![Vec::new(); texts.len()];
        self.each_segment(place, |segment, fields, known| {
            let grams = segment.inverted_index(fields.grams)?;
            let docs: Vec<DocId> = known.iter().map(|(doc, _)| *doc).collect();
            let any = match postings(&grams, fields.grams, &ANY)? {
                Some(any) => among(&docs, any),
                None => Vec::new(),
            };
            for (text, lacking) in texts.iter().zip(&mut lacking) {
                let mut having = any.clone();
                for list in &text.either {
                    having.extend(having_all(&docs, list, fields.grams, &grams)?);
                }
                having.sort_unstable();
                let without = known
                    .iter()
                    .filter(|(doc, _)| having.binary_search(doc).is_err());
                lacking.extend(without.map(|(_, uid)| *uid));
            }
            Ok(())
        })?;
        Ok(lacking.into_iter().map(ranges).collect())
    }

    /// All mailboxes of which messages are in it.
    ///
    /// # Errors
    /// [`Error`].
    pub fn places(&self) -> Result<Vec<Place>, Error> {
        guarded(|| {
            let mut places = Vec::new();
            for segment in self.reader.searcher().segment_readers() {
                let terms = segment.inverted_index(self.fields.place)?;
                let mut stream = terms.terms().stream()?;
                while let Some((key, _)) = stream.next() {
                    places.extend(place_of(key));
                }
            }
            places.sort_unstable();
            places.dedup();
            Ok(places)
        })
    }

    /// Calls with each segment and what it knows of a mailbox: documents, ascending, with their
    /// UIDs.
    fn each_segment(
        &self,
        place: Place,
        mut each: impl FnMut(&SegmentReader, Fields, &[(DocId, Uid)]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        guarded(|| {
            let Fields { place: field, .. } = self.fields;
            for segment in self.reader.searcher().segment_readers() {
                let places = segment.inverted_index(field)?;
                let Some(mut found) = postings(&places, field, &key_of(place))? else {
                    continue;
                };
                let uids: Column<u64> = segment.fast_fields().u64("uid")?;
                let mut known = Vec::new();
                while found.doc() != tantivy::TERMINATED {
                    let doc = found.doc();
                    let uid = uids.first(doc).and_then(|uid| u32::try_from(uid).ok());
                    if !segment.is_deleted(doc)
                        && let Some(uid) = uid
                    {
                        known.push((doc, Uid(uid)));
                    }
                    found.advance();
                }
                each(segment, self.fields, &known)?;
            }
            Ok(())
        })
    }
}

/// Those of some documents that have all grams, or some more: only the rarest grams are looked at.
fn having_all(
    docs: &[DocId],
    grams: &[Gram],
    field: Field,
    index: &InvertedIndexReader,
) -> Result<Vec<DocId>, Error> {
    let mut found = Vec::with_capacity(grams.len());
    for gram in grams {
        let term = Term::from_field_bytes(field, &gram.to_bytes());
        match index.get_term_info(&term)? {
            Some(info) => found.push(info),
            // Nobody has it.
            None => return Ok(Vec::new()),
        }
    }
    found.sort_by_key(|info| info.doc_freq);
    let mut having = docs.to_vec();
    for info in found.iter().take(GRAMS_ASKED_MAX) {
        let postings = index.read_postings_from_terminfo(info, IndexRecordOption::Basic)?;
        having = among(&having, postings);
    }
    Ok(having)
}

/// Those of some documents, ascending, that are in a list.
fn among(docs: &[DocId], mut list: SegmentPostings) -> Vec<DocId> {
    let mut found = Vec::new();
    for &doc in docs {
        if list.doc() < doc {
            list.seek(doc);
        }
        if list.doc() == doc {
            found.push(doc);
        }
    }
    found
}

fn postings(
    index: &InvertedIndexReader,
    field: Field,
    key: &[u8],
) -> Result<Option<SegmentPostings>, Error> {
    let term = Term::from_field_bytes(field, key);
    Ok(index.read_postings(&term, IndexRecordOption::Basic)?)
}

/// Adds to an index, and takes out of it. Nothing shows before [`Writer::commit`].
pub struct Writer {
    fields: Fields,
    writer: IndexWriter,
}

impl Writer {
    /// Adds a message.
    ///
    /// # Errors
    /// [`Error`].
    pub fn add(&mut self, place: Place, uid: Uid, grams: &MessageGrams) -> Result<(), Error> {
        guarded(|| {
            let Fields {
                place: place_field,
                uid: uid_field,
                grams: grams_field,
            } = self.fields;
            let mut document = TantivyDocument::new();
            document.add_bytes(place_field, &key_of(place));
            document.add_u64(uid_field, u64::from(uid.0));
            match grams {
                MessageGrams::Any => document.add_bytes(grams_field, &ANY),
                MessageGrams::All(grams) => grams
                    .iter()
                    .for_each(|gram| document.add_bytes(grams_field, &gram.to_bytes())),
            }
            self.writer.add_document(document)?;
            Ok(())
        })
    }

    /// Takes messages out.
    ///
    /// # Errors
    /// [`Error`].
    pub fn remove(&mut self, place: Place, uids: &UidRanges) -> Result<(), Error> {
        guarded(|| {
            for uid in uids.iter() {
                let uid = Term::from_field_u64(self.fields.uid, u64::from(uid.0));
                let both = [self.place_term(place), uid].map(|term| {
                    Box::new(TermQuery::new(term, IndexRecordOption::Basic)) as Box<dyn Query>
                });
                let query = BooleanQuery::intersection(Vec::from(both));
                self.writer.delete_query(Box::new(query))?;
            }
            Ok(())
        })
    }

    /// Takes a mailbox out.
    pub fn remove_all(&mut self, place: Place) {
        self.writer.delete_term(self.place_term(place));
    }

    fn place_term(&self, place: Place) -> Term {
        Term::from_field_bytes(self.fields.place, &key_of(place))
    }

    /// Makes what was done durable. It shows after [`Index::reload`].
    ///
    /// # Errors
    /// [`Error`].
    pub fn commit(&mut self) -> Result<(), Error> {
        guarded(|| {
            self.writer.commit()?;
            Ok(())
        })
    }
}

/// Damaged lists may make the library panic: that is an error like any other.
fn guarded<T>(work: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(Err(Error::Panic))
}

fn key_of((account, mailbox): Place) -> [u8; 16] {
    ((u128::from(account.0) << 64) | u128::from(mailbox.0)).to_be_bytes()
}

fn place_of(key: &[u8]) -> Option<Place> {
    let (account, mailbox) = key.split_first_chunk()?;
    let mailbox = mailbox.try_into().ok()?;
    let place = (u64::from_be_bytes(*account), u64::from_be_bytes(mailbox));
    Some((AccountId(place.0), MailboxId(place.1)))
}

fn ranges(mut uids: Vec<Uid>) -> UidRanges {
    uids.sort_unstable();
    uids.into_iter().collect()
}
