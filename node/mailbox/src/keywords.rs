//! A mailbox's keywords: a message's row names them by number.
//!
//! Numbers are given from 0 on in the order of first use and are never given up, so that the row of
//! a message stays valid whatever becomes of others.

use bytes::Bytes;
use prost::Message as _;
use proto::v1::MailKeywordRow;
use rows::{Fault, Rows};

use crate::command::Rejection;
use crate::keys::{self, AccountKey, Key};
use crate::layer::Layer;
use crate::limits;
use crate::stored::decode;
use crate::types::{AccountId, MailboxId};

/// The keywords of a mailbox.
pub(crate) struct Keywords {
    account: AccountId,
    mailbox: MailboxId,
    /// By number.
    pub names: Vec<String>,
}

impl Keywords {
    /// Reads them.
    pub fn load(
        rows: &impl Rows,
        account: AccountId,
        mailbox: MailboxId,
    ) -> Result<Keywords, Fault> {
        let (from, to) = keys::keywords(account, mailbox);
        let mut names = Vec::new();
        for row in rows.scan(&from, &to)? {
            let (key, value) = row?;
            if key != Key::Of(account, AccountKey::Keyword(mailbox, names.len() as u32)).encode() {
                return Err(Fault::row(&key, "a keyword's number is left out"));
            }
            names.push(decode::<MailKeywordRow>(&key, value)?.name);
        }
        Ok(Keywords {
            account,
            mailbox,
            names,
        })
    }

    /// The number of a keyword in any spelling.
    pub fn number(&self, name: &str) -> Option<u32> {
        let at = self
            .names
            .iter()
            .position(|known| known.eq_ignore_ascii_case(name))?;
        Some(at as u32)
    }

    /// The name of a number.
    pub fn name(&self, number: u32) -> Result<&str, Fault> {
        let name = self.names.get(number as usize);
        name.map(String::as_str).ok_or_else(|| {
            let place = format!("mailbox {} of account {}", self.mailbox, self.account);
            Fault::invariant(format!("{place} has no keyword {number}"))
        })
    }

    /// The number of a keyword, which is given one if it has none.
    pub fn ensure<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        name: &str,
    ) -> Result<u32, Rejection> {
        if let Some(number) = self.number(name) {
            return Ok(number);
        }
        if self.names.len() >= limits::KEYWORDS_PER_MAILBOX_MAX {
            return Err(Rejection::KeywordLimit);
        }
        let number = self.names.len() as u32;
        let key = Key::Of(self.account, AccountKey::Keyword(self.mailbox, number)).encode();
        let row = MailKeywordRow {
            name: name.to_owned(),
        };
        rows.put(key, Bytes::from(row.encode_to_vec()));
        self.names.push(name.to_owned());
        Ok(number)
    }

    /// The numbers of keywords, ascending; those that have none are given one.
    pub fn ensure_all<R: Rows>(
        &mut self,
        rows: &mut Layer<'_, R>,
        names: &[String],
    ) -> Result<Vec<u32>, Rejection> {
        let mut numbers = Vec::with_capacity(names.len());
        for name in names {
            numbers.push(self.ensure(rows, name)?);
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}
