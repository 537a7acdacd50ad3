//! Commands of goldenscripts that concern quota, annotations and rights.
//!
//! ```text
//!   limit ACCOUNT [bytes=N] [messages=N]
//!   annotate ACCOUNT[/NAME] [user=ACCOUNT] [use=Sent|none] [ENTRY=VALUE..] [remove=ENTRY]
//!                                 a value of `xN` is N bytes long
//!   annotations ACCOUNT[/NAME] [user=ACCOUNT]      all-annotations ACCOUNT
//!   grant|deny ACCOUNT/NAME WHO add|remove|replace LETTERS
//!   grants ACCOUNT/NAME           WHO is an account, or `anyone`
//!   quota ACCOUNT                                  reclaimable ACCOUNT/NAME
//! ```

use std::fmt::Write as _;

use bytes::Bytes;
use goldenscript::ArgumentConsumer;
use mailbox::{
    AccountId, Annotate, Answer, Command, Grant, MailboxId, NewGrant, NewMetadata, Query, Rights,
};

use crate::scripts::{Result, Runner, mode, special_use, text};

impl Runner {
    pub fn change_granted(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<Command> {
        let place = text(args)?;
        if name == "grant" || name == "deny" {
            return self.grant(name == "deny", place, args);
        }
        if name == "limit" {
            return Ok(Command::SetQuota {
                account: self.account(place)?,
                bytes: args.take_key("bytes").map(str::parse).transpose()?,
                messages: args.take_key("messages").map(str::parse).transpose()?,
            });
        }
        let user = args.take_key("user");
        let special_use = match args.take_key("use") {
            None => None,
            Some("none") => Some(None),
            Some(word) => Some(Some(special_use(word)?)),
        };
        let (account, mailbox) = match place.contains('/') {
            true => {
                let (account, mailbox) = self.mailbox(place)?;
                (account, Some(mailbox))
            }
            false => (self.account(place)?, None),
        };
        let mut entries = Vec::new();
        let removed = args.take_key("remove");
        while let Some((name, value)) = args.next_key() {
            let value = match value.strip_prefix('x').map(str::parse) {
                Some(Ok(length)) => vec![b'x'; length].into(),
                _ => Bytes::copy_from_slice(value.as_bytes()),
            };
            entries.push(NewMetadata {
                name: name.to_owned(),
                value: Some(value),
            });
        }
        entries.extend(removed.map(|name| NewMetadata {
            name: name.to_owned(),
            value: None,
        }));
        let user = user.map_or(Ok(account), |user| self.account(user))?;
        Ok(match mailbox {
            Some(mailbox) => Command::Annotate(Annotate {
                account,
                mailbox,
                user,
                entries,
                special_use,
            }),
            None => Command::SetMetadata {
                account,
                mailbox,
                user,
                entries,
                special_use,
            },
        })
    }

    fn grant(&self, denies: bool, place: &str, args: &mut ArgumentConsumer<'_>) -> Result<Command> {
        let (account, mailbox) = self.mailbox(place)?;
        let (user, name) = match text(args)? {
            "anyone" => (AccountId(0), String::new()),
            name => (self.account(name)?, name.to_owned()),
        };
        let mode = mode(text(args)?)?;
        let rights = Rights::parse(text(args)?).ok_or("these are no rights")?;
        let grant = NewGrant {
            user,
            name,
            denies,
            mode,
            rights,
        };
        Ok(Command::SetGrant {
            account,
            mailbox,
            grant,
        })
    }

    pub fn ask_granted(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let place = text(args)?;
        let user = args.take_key("user");
        let (account, mailbox) = match place.contains('/') {
            true => self.mailbox(place)?,
            false => (self.account(place)?, MailboxId(0)),
        };
        let query = match name {
            "quota" => Query::Quota { account },
            "reclaimable" => Query::Reclaimable { account, mailbox },
            "grants" => Query::Grants { account, mailbox },
            _ => Query::Metadata {
                account,
                mailbox: (name == "annotations").then_some(mailbox),
                user: user.map_or(Ok(account), |user| self.account(user))?,
            },
        };
        let mut output = String::new();
        match self.machine.try_ask(&query) {
            Ok(Answer::Quota(quota)) => write!(output, "{quota:?}")?,
            Ok(Answer::Reclaimable(bytes)) => write!(output, "{bytes} bytes")?,
            Ok(Answer::Grants(grants)) => {
                for one in grants {
                    let Grant { user, name, .. } = &one;
                    writeln!(output, "{user} {name:?} +{} -{}", one.given, one.denied)?;
                }
            }
            Ok(Answer::Metadata(found)) => {
                for one in found {
                    let length = one.value.len();
                    let value = String::from_utf8_lossy(&one.value);
                    let value = match length {
                        0..20 => format!("{value:?}"),
                        _ => format!("{length} bytes"),
                    };
                    writeln!(output, "{} {} {value}", one.mailbox, one.name)?;
                }
            }
            Ok(other) => return Err(format!("{other:?}").into()),
            Err(error) => write!(output, "{error}")?,
        }
        Ok(output)
    }
}
