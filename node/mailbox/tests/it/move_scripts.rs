//! Commands of goldenscripts that concern moves into other accounts.
//!
//! ```text
//!   begin-move N ACCOUNT/NAME UIDS ACCOUNT/NAME [validity=N]
//!   import ACCOUNT/NAME UID SIZE ACCOUNT/NAME      one message, from there to there
//!   end-move N ACCOUNT/NAME [UIDS]
//!   arrived ACCOUNT/NAME UIDS ACCOUNT/NAME         which of those have come there
//!   unfinished [age=2h] [after=N] [limit=N]        moves that have not ended
//! ```

use std::fmt::Write as _;

use goldenscript::ArgumentConsumer;
use mailbox::{
    Answer, Command, EndedMove, Flags, Home, Import, Millis, MoveId, NewMessage, NewMove, Query,
    Uid, UidValidity, unfinished,
};

use crate::machine::inline;
use crate::scripts::{Result, Runner, span, text, uids};

impl Runner {
    fn home(&self, args: &mut ArgumentConsumer<'_>) -> Result<Home> {
        let (account, mailbox) = self.mailbox(text(args)?)?;
        let folders = self.machine.folders(account);
        let folder = folders.iter().find(|folder| folder.id == mailbox);
        Ok(Home {
            account,
            mailbox,
            uid_validity: folder.map_or(UidValidity(1), |folder| folder.uid_validity),
        })
    }

    pub fn change_moves(
        &self,
        name: &str,
        args: &mut ArgumentConsumer<'_>,
        length: &mut u64,
    ) -> Result<Command> {
        if name == "import" {
            return self.import(args, length);
        }
        let id = MoveId(text(args)?.parse()?);
        let mut from = self.home(args)?;
        if name == "end-move" {
            return Ok(Command::EndMove(EndedMove {
                id,
                account: from.account,
                mailbox: from.mailbox,
                uids: args.next_pos().map(uids).transpose()?.unwrap_or_default(),
            }));
        }
        if let Some(validity) = args.take_key("validity") {
            from.uid_validity = UidValidity(validity.parse()?);
        }
        let uids = uids(text(args)?)?;
        let (to_account, to_mailbox) = self.mailbox(text(args)?)?;
        Ok(Command::BeginMove(NewMove {
            id,
            from,
            uids,
            to_account,
            to_mailbox,
        }))
    }

    fn import(&self, args: &mut ArgumentConsumer<'_>, length: &mut u64) -> Result<Command> {
        let from = self.home(args)?;
        let uid = Uid(text(args)?.parse()?);
        *length = text(args)?.parse()?;
        let (account, mailbox) = self.mailbox(text(args)?)?;
        let message = NewMessage {
            flags: Flags::default(),
            date: self.machine.now,
            body: inline(*length, *length),
        };
        Ok(Command::Import(Import {
            account,
            mailbox,
            messages: vec![message],
            origins: vec![from.origin(uid)],
        }))
    }

    pub fn ask_moves(&self, name: &str, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        if name == "unfinished" {
            return self.unfinished(args);
        }
        let from = self.home(args)?;
        let uids = uids(text(args)?)?;
        let (account, mailbox) = self.mailbox(text(args)?)?;
        let query = Query::Arrived {
            account,
            mailbox,
            origins: uids.iter().map(|uid| from.origin(uid)).collect(),
        };
        match self.machine.try_ask(&query) {
            Ok(Answer::Arrived(arrived)) => Ok(format!("{arrived:?}")),
            Ok(other) => Err(format!("{other:?}").into()),
            Err(error) => Ok(error.to_string()),
        }
    }

    fn unfinished(&self, args: &mut ArgumentConsumer<'_>) -> Result<String> {
        let (rows, now) = (&self.machine.rows, self.machine.now);
        let age = args.take_key("age").map(span).transpose()?.unwrap_or(0);
        let limit = args.take_key("limit").unwrap_or("9").parse()?;
        let after = args.take_key("after").map(str::parse).transpose()?;
        let all = unfinished(rows, None, now, usize::MAX)?;
        let last = all.iter().find(|open| Some(open.new.id.0) == after);
        let mut output = String::new();
        for open in unfinished(rows, last, Millis(now.0 - age), limit)? {
            let (new, age) = (&open.new, now.0 - open.begun.0);
            let (from, to) = (new.from, (new.to_account, new.to_mailbox));
            writeln!(
                output,
                "{}: {}/{} {} to {}/{} by {}, {age} ms ago",
                new.id.0, from.account, from.mailbox, new.uids, to.0, to.1, open.actor,
            )?;
        }
        Ok(output)
    }
}
