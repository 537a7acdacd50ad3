//! One client that has a command under way while the leader dies.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};

use super::cases::Case;
use super::script::{Piece, Words, pieces};
use super::state::{alike, greeted, logged_in, tell, view};
use crate::cluster::{DOMAIN, PASSWORD};
use crate::load::Door;
use crate::mail::wire::Wire;

/// When the leader dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// When half of the command was sent, or of its answer read.
    Middle,
    /// When all of it was sent, to a leader that is stopped and takes it without answering.
    Stopped,
    /// Some time after it was sent, which may be before or after it was answered.
    Soon,
}

/// Of what strikes, what a client has to know.
pub struct Strike {
    /// When.
    pub moment: Moment,
    /// Dropped when this client is ready.
    pub ready: Option<mpsc::Sender<()>>,
    /// So far it is.
    pub stage: watch::Receiver<Stage>,
    /// How long this client waits with its command.
    pub delay: Duration,
}

/// How far a strike is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Clients make themselves ready.
    Preparing,
    /// Those that wait for it send their commands.
    Sending,
    /// The leader is dead.
    Struck,
}

impl Strike {
    async fn reached(&mut self, stage: Stage) -> anyhow::Result<()> {
        self.ready = None;
        self.stage.wait_for(|now| *now >= stage).await?;
        Ok(())
    }
}

/// What a client heard.
#[derive(Clone, Debug)]
pub struct Heard {
    /// From the command to its tagged response, without what may differ.
    pub said: Vec<String>,
    /// The connection ended before the tagged response.
    pub cut_off: bool,
    /// When the answer was there.
    pub at: Instant,
    /// What the same session says afterwards.
    pub after: Vec<String>,
    /// What it knows of the messages of the selected mailbox.
    pub view: Vec<String>,
}

/// Whose session it is, and where.
pub struct Seat<'a> {
    /// The node.
    pub door: Door,
    /// Where the other client goes.
    pub other: Door,
    /// The account.
    pub user: &'a str,
    /// UIDVALIDITY of INBOX.
    pub validity: u32,
    /// The file of the cluster's authority.
    pub authority: &'a Path,
}

impl Seat<'_> {
    /// Does a case through a strike.
    ///
    /// # Errors
    ///
    /// When something fails that no strike excuses.
    pub async fn play(&self, case: &Case, strike: Strike) -> anyhow::Result<Heard> {
        let wire = self.prepare(case).await?;
        self.play_on(case, wire, Some(strike)).await
    }

    /// Does a case in a session that is prepared for it, through a strike if there is one.
    ///
    /// # Errors
    ///
    /// When something fails that no strike excuses.
    pub async fn play_on(
        &self,
        case: &Case,
        mut wire: Wire,
        mut strike: Option<Strike>,
    ) -> anyhow::Result<Heard> {
        if let Some(strike) = &mut strike
            && strike.moment != Moment::Middle
        {
            strike.reached(Stage::Sending).await?;
            sleep(strike.delay).await;
        }
        let mut said = Vec::new();
        let ended = self.send(case, &mut wire, strike, &mut said).await?;
        let at = Instant::now();
        let cut_off = ended == Ended::CutOff;
        let mut heard = Heard {
            said: alike(&said, self.user),
            cut_off,
            at,
            after: Vec::new(),
            view: Vec::new(),
        };
        if cut_off {
            return Ok(heard);
        }
        if case.ends() {
            ensure!(wire.response().await?.is_none(), "more after {}", case.text);
            return Ok(heard);
        }
        let after = self.go_on(case, wire).await?;
        heard.view = view(&after);
        heard.after = alike(&after, self.user);
        Ok(heard)
    }

    fn words(&self) -> Words {
        Words {
            user: self.user.to_owned(),
            validity: self.validity,
        }
    }

    /// A session in which the case can begin.
    ///
    /// # Errors
    ///
    /// When what comes before it is not done.
    pub async fn prepare(&self, case: &Case) -> anyhow::Result<Wire> {
        if !case.logs_in() {
            return greeted(self.door).await;
        }
        let mut wire = logged_in(self.door, self.user).await?;
        let selects = case.selects().then_some("SELECT INBOX");
        let before = selects.into_iter().chain(case.before.iter().copied());
        for (number, command) in before.enumerate() {
            let said = tell(&mut wire, &format!("b{number}"), command, &self.words()).await?;
            let last = said.last().context("an answer")?;
            ensure!(last.contains(" OK"), "{command}: {last}");
            if command.starts_with("COMPRESS") {
                wire.compress()?;
            }
        }
        Ok(wire)
    }

    /// Sends the command and reads up to its answer.
    async fn send(
        &self,
        case: &Case,
        wire: &mut Wire,
        mut strike: Option<Strike>,
        said: &mut Vec<String>,
    ) -> anyhow::Result<Ended> {
        let mut script = pieces(case.text, &self.words());
        script.insert(0, Piece::Bytes(b"t ".to_vec()));
        for piece in script {
            let until = match piece {
                Piece::Bytes(bytes) => {
                    if wire.send(&bytes).await.is_err() {
                        return Ok(Ended::CutOff);
                    }
                    continue;
                }
                Piece::Cut => {
                    if let Some(strike) = &mut strike
                        && strike.moment == Moment::Middle
                    {
                        wire.await_bytes(case.read_first).await?;
                        strike.reached(Stage::Struck).await?;
                    }
                    continue;
                }
                Piece::Continuation => "+ ",
                Piece::News => {
                    self.add().await?;
                    "* 7 EXISTS"
                }
            };
            match listen(wire, until, said).await? {
                Ended::Answered => {}
                ended => return Ok(ended),
            }
        }
        listen(wire, "t ", said).await
    }

    /// Another client adds a message.
    async fn add(&self) -> anyhow::Result<()> {
        let mut wire = logged_in(self.other, self.user).await?;
        let append = "APPEND INBOX (\\Seen) $DATE $SMALL";
        let said = tell(&mut wire, "n", append, &self.words()).await?;
        let last = said.last().context("an answer")?;
        ensure!(last.starts_with("n OK"), "another client: {last}");
        wire.send(b"l LOGOUT\r\n").await?;
        Ok(())
    }

    /// The same session goes on: what it says of its mailbox.
    async fn go_on(&self, case: &Case, mut wire: Wire) -> anyhow::Result<Vec<String>> {
        match case.command {
            "STARTTLS" => wire = wire.start_tls(self.authority).await?,
            "COMPRESS" => wire.compress()?,
            _ => {}
        }
        let login = format!("LOGIN {}@{DOMAIN} {PASSWORD}", self.user);
        let is_nobody = matches!(case.command, "STARTTLS" | "UNAUTHENTICATE");
        let mut after = Vec::new();
        for command in is_nobody.then_some(login.as_str()).into_iter().chain([
            "NOOP",
            "UID FETCH 1:* (UID FLAGS)",
            "FETCH $ (UID)",
            "FETCH 1:* (UID)",
        ]) {
            after.extend(tell(&mut wire, "e", command, &self.words()).await?);
        }
        wire.send(b"l LOGOUT\r\n").await?;
        Ok(after)
    }
}

/// How a wait for the server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// With what was waited for.
    Answered,
    /// With an answer to the command, though something else was waited for.
    Refused,
    /// With the connection.
    CutOff,
}

async fn listen(wire: &mut Wire, until: &str, said: &mut Vec<String>) -> anyhow::Result<Ended> {
    loop {
        let Some(response) = wire.response().await? else {
            return Ok(Ended::CutOff);
        };
        let (found, is_last) = (response.starts_with(until), response.starts_with("t "));
        let is_own = is_last || response.starts_with(['*', '+']);
        said.push(response);
        match (found, is_last, is_own) {
            (true, ..) => return Ok(Ended::Answered),
            (_, true, _) => return Ok(Ended::Refused),
            (_, _, false) => bail!("not a response: {:?}", said.last()),
            _ => {}
        }
    }
}
