//! SETACL, DELETEACL, GETACL, LISTRIGHTS and MYRIGHTS (RFC 4314), also along with LIST (RFC 8440),
//! on one's own mailboxes and those of others (`others`).
//!
//! The owner has all rights, and they cannot be taken away. Others have what is given to them, less
//! what is denied them. Who is given rights is noted before, so that his LIST finds them.

use mailbox::{AccountId, Answer, Command, Folder, Grant, NewGrant, Query, Rights, StoreMode};

use crate::backend::{Backend, Transport};
use crate::grammar::{OfIdentifier, SetAcl};
use crate::respond::Code;
use crate::state::{Done, Result, Session, Stop};

/// The identifier of everybody (RFC 4314 section 2).
const ANYONE: &str = "anyone";

/// Whose rights an identifier means.
struct Who {
    /// [`AccountId`] 0 for anyone.
    user: AccountId,
    /// Empty for anyone.
    name: String,
    /// Whether it names rights that are denied.
    denies: bool,
}

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn set_acl(&mut self, set: &SetAcl) -> Result<Done> {
        self.grant(&set.mailbox, &set.identifier, set.mode, set.rights)
            .await?;
        Ok(Done::text("SETACL completed"))
    }

    /// An identifier that has no rights there is passed over.
    pub(crate) async fn delete_acl(&mut self, of: &OfIdentifier) -> Result<Done> {
        self.grant(
            &of.mailbox,
            &of.identifier,
            StoreMode::Replace,
            Rights::NONE,
        )
        .await?;
        Ok(Done::text("DELETEACL completed"))
    }

    async fn grant(
        &mut self,
        mailbox: &[u8],
        identifier: &[u8],
        mode: StoreMode,
        rights: Rights,
    ) -> Result<()> {
        let folder = self.folder_with(mailbox, Rights::ADMINISTER).await?;
        let takes = mode == StoreMode::Remove || rights.is_empty();
        let who = match self.who(identifier).await {
            Err(nobody) if takes => self.gone(&folder, identifier).await?.ok_or(nobody)?,
            who => who?,
        };
        let account = self.backend.account();
        if who.user == account {
            return Err(Stop::no(Code::Cannot, "The owner has all rights"));
        }
        if !who.denies && !takes {
            self.backend.share_with(who.user).await?;
        }
        let grant = NewGrant {
            user: who.user,
            name: who.name,
            denies: who.denies,
            mode,
            rights,
        };
        let mailbox = folder.id;
        self.change(Command::SetGrant {
            account,
            mailbox,
            grant,
        })
        .await
        .map(drop)
    }

    /// The owner is told first.
    pub(crate) async fn get_acl(&mut self, mailbox: &[u8]) -> Result<Done> {
        let folder = self.folder_with(mailbox, Rights::ADMINISTER).await?;
        let owner = self.backend.user().await?;
        let mut told = vec![(owner, Rights::ALL.to_string())];
        for grant in self.grants(&folder).await? {
            let name = match grant.user {
                AccountId(0) => ANYONE,
                _ => grant.name.as_str(),
            };
            for (sign, rights) in [("", grant.given), ("-", grant.denied)] {
                if !rights.is_empty() {
                    told.push((format!("{sign}{name}"), rights.to_string()));
                }
            }
        }
        self.conn.out.acl(&folder.name, &told);
        Ok(Done::text("GETACL completed"))
    }

    /// No two rights are tied to one another (RFC 4314 section 4.2).
    pub(crate) async fn list_rights(&mut self, of: &OfIdentifier) -> Result<Done> {
        let folder = self.folder_with(&of.mailbox, Rights::ADMINISTER).await?;
        let who = self.who(&of.identifier).await?;
        let rights = if who.user == self.backend.account() {
            vec![Rights::ALL.to_string()]
        } else {
            let each = Rights::LETTERS.iter().chain(&Rights::VIRTUAL);
            let each = each.map(|(_, letter)| letter.to_string());
            std::iter::once(String::new()).chain(each).collect()
        };
        let out = &mut self.conn.out;
        out.list_rights(&folder.name, &of.identifier, &rights);
        Ok(Done::text("LISTRIGHTS completed"))
    }

    pub(crate) async fn my_rights(&mut self, mailbox: &[u8]) -> Result<Done> {
        let folder = self.folder(mailbox).await?;
        self.tell_my_rights(&folder);
        Ok(Done::text("MYRIGHTS completed"))
    }

    /// MYRIGHTS of a mailbox that the user may know of.
    pub(crate) fn tell_my_rights(&mut self, folder: &Folder) {
        let rights = folder.guest.unwrap_or(Rights::ALL).to_string();
        self.conn.out.my_rights(&folder.name, &rights);
    }

    async fn grants(&mut self, folder: &Folder) -> Result<Vec<Grant>> {
        let query = Query::Grants {
            account: self.backend.account(),
            mailbox: folder.id,
        };
        let grants = self.ask(query, |answer| match answer {
            Answer::Grants(grants) => Some(grants),
            _ => None,
        });
        grants.await
    }

    /// Somebody who has rights there, and no account any more.
    async fn gone(&mut self, folder: &Folder, identifier: &[u8]) -> Result<Option<Who>> {
        let (denies, name) = match identifier.strip_prefix(b"-") {
            Some(name) => (true, name),
            None => (false, identifier),
        };
        let grants = self.grants(folder).await?;
        let is_named = |grant: &Grant| grant.user.0 != 0 && grant.name.as_bytes() == name;
        let found = grants.into_iter().find(is_named);
        Ok(found.map(|Grant { user, name, .. }| Who { user, name, denies }))
    }

    /// `-` before an identifier means rights that are denied. No user's name begins so.
    async fn who(&mut self, identifier: &[u8]) -> Result<Who> {
        let nobody = || Stop::no(Code::Cannot, "There is no such user");
        let text = std::str::from_utf8(identifier).map_err(|_| nobody())?;
        let (denies, name) = match text.strip_prefix('-') {
            Some(name) => (true, name),
            None => (false, text),
        };
        if name == ANYONE {
            return Ok(Who {
                user: AccountId(0),
                name: String::new(),
                denies,
            });
        }
        let found = self.backend.find_user(name).await?;
        let (user, name) = found.ok_or_else(nobody)?;
        Ok(Who { user, name, denies })
    }
}
