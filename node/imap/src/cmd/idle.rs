//! IDLE (RFC 2177): the client waits, and hears at once of what others do.

use std::time::Duration;

use crate::backend::{Backend, Transport};
use crate::connection::Woken;
use crate::grammar::Item;
use crate::limits;
use crate::state::{Done, Result, Session, Stop};
use crate::sync::Expunges;

impl<T: Transport, B: Backend> Session<'_, T, B> {
    pub(crate) async fn idle(&mut self) -> Result<Done> {
        self.structures = Vec::new();
        self.conn.framer.expect_line();
        self.conn.out.continuation("Idling");
        self.conn.flush().await?;
        self.tell_all(Expunges::Tell).await?;
        let mut timer = Box::pin(self.conn.transport.sleep(self.patience()));
        loop {
            // DONE may have come along with IDLE.
            if let Some(item) = self.conn.next_item()? {
                return end(&item);
            }
            let has_news = self.conn.has_news();
            self.conn.flush().await?;
            if self.has_more_to_tell() {
                self.tell_all(Expunges::Tell).await?;
                continue;
            }
            if has_news {
                timer.set(self.conn.transport.sleep(self.patience()));
            }
            match self.wait(timer.as_mut()).await? {
                Woken::Read(bytes) => self.conn.push(bytes)?,
                Woken::Worked(()) => {}
                Woken::Changed(_) => {
                    self.tell_all(Expunges::Tell).await?;
                    if self.is_behind() {
                        timer.set(self.conn.transport.sleep(self.patience()));
                    }
                }
                Woken::Timer => {
                    if self.is_behind() {
                        self.tell_all(Expunges::Tell).await?;
                    } else {
                        self.conn.out.untagged_ok(None, "Still here");
                    }
                    timer.set(self.conn.transport.sleep(self.patience()));
                }
            }
        }
    }

    /// How long is waited before something is said, or tried again.
    pub(crate) fn patience(&self) -> Duration {
        let keepalive = self.conn.config.idle_keepalive;
        if self.is_behind() {
            return keepalive.min(Duration::from_secs(limits::IDLE_RETRY_SECONDS));
        }
        keepalive
    }
}

fn end(item: &Item) -> Result<Done> {
    match item {
        Item::Line(line) if line.eq_ignore_ascii_case(b"DONE") => Ok(Done::text("IDLE completed")),
        _ => Err(Stop::Bad("IDLE ends with DONE")),
    }
}
