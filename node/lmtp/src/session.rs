//! The session: which command may come when, and what it leads to.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};

use crate::command::{self, Command, Mail};
use crate::content::{Content, Piece};
use crate::input::{Input, Line, LineFault};
use crate::phase::{Chunk, Phase, Receipt};
use crate::reply::{self, Delivered, Reply, Verdict};
use crate::transaction::Transaction;
use crate::{Address, Config, Error, Event, HangUp, Side, limits};

/// One client's connection.
///
/// The loop that drives it: push what was read, then call [`next`](Self::next) and act until it
/// gives `None`. If a question is open then, answer it ([`recipient`](Self::recipient) or
/// [`delivered`](Self::delivered)) and go on with `next`; otherwise read from the socket.
pub struct Session {
    config: Arc<Config>,
    input: Input,
    /// Replies that were not yet put into an event.
    replies: BytesMut,
    /// Events that were not yet handed out; a few at most.
    events: VecDeque<Event>,
    phase: Phase,
    /// The connection is encrypted.
    tls: bool,
    /// The name that the client gave in LHLO; `None` before it.
    lhlo: Option<String>,
    transaction: Option<Transaction>,
    /// Protocol errors since the last delivered message.
    errors: u32,
    receipt: Receipt,
    hang_up: Option<HangUp>,
    /// The client is gone, and only outcomes are awaited.
    gone: bool,
}

impl Session {
    /// A new connection.
    #[must_use]
    pub fn new(config: Arc<Config>) -> Self {
        Self {
            tls: config.tls,
            config,
            input: Input::default(),
            replies: BytesMut::new(),
            events: VecDeque::new(),
            phase: Phase::Command,
            lhlo: None,
            transaction: None,
            errors: 0,
            receipt: Receipt::Clear,
            hang_up: None,
            gone: false,
        }
    }

    /// The line to send when the connection opens; not again after STARTTLS.
    #[must_use]
    pub fn greeting(&self) -> Bytes {
        format!("220 {} LMTP ready\r\n", self.config.hostname()).into()
    }

    /// Adds bytes that were read from the client. After the end of the session they are dropped.
    ///
    /// # Errors
    /// [`Error::InputFull`] if more than [`limits::INPUT_BYTES_MAX`] would wait here, or too many
    /// small buffers. The bytes are not taken then.
    pub fn push(&mut self, input: Bytes) -> Result<(), Error> {
        if self.gone || self.is_closed() {
            return Ok(());
        }
        self.input.push(input)
    }

    /// The next thing to do; `None` if it is the caller's turn, to answer or to read.
    #[expect(
        clippy::should_implement_trait,
        reason = "None is not the end: more may be pushed"
    )]
    pub fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.events.pop_front() {
                if let (Event::Reply(_), Receipt::Owed) = (&event, self.receipt) {
                    self.receipt = Receipt::Sent(self.input.end());
                }
                return Some(event);
            }
            if self.replies.len() >= limits::REPLY_BATCH_BYTES || !self.step() {
                self.flush();
                if self.events.is_empty() {
                    return None;
                }
            }
        }
    }

    /// Answers [`Event::Recipient`].
    ///
    /// # Errors
    /// [`Error::NotAsked`] if no such event was handed out, or the connection ended since.
    pub fn recipient(&mut self, verdict: Verdict) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Asking(_)) || !self.events.is_empty() {
            return Err(Error::NotAsked);
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Command);
        let (Phase::Asking(address), Some(transaction)) = (phase, &mut self.transaction) else {
            return Err(Error::NotAsked);
        };
        let accepted = verdict == Verdict::Accept;
        let reply = reply::verdict(verdict, &address, self.config.over_quota);
        if accepted {
            transaction.recipients.push(address);
        }
        self.reply(&reply);
        Ok(())
    }

    /// Answers [`Event::End`] with one outcome for each recipient of `Begin`, in that order.
    ///
    /// # Errors
    /// [`Error::NotEnded`] if no such event was handed out, [`Error::Outcomes`] if the number is
    /// wrong; the question stays open then.
    pub fn delivered(&mut self, outcomes: &[Delivered]) -> Result<(), Error> {
        if !matches!(self.phase, Phase::Delivering) || !self.events.is_empty() {
            return Err(Error::NotEnded);
        }
        let transaction = self.transaction.take().ok_or(Error::NotEnded)?;
        let (expected, given) = (transaction.recipients.len(), outcomes.len());
        if expected != given {
            self.transaction = Some(transaction);
            return Err(Error::Outcomes { expected, given });
        }
        let pairs = outcomes.iter().zip(&transaction.recipients);
        let over_quota = self.config.over_quota;
        let replies =
            pairs.map(|(outcome, recipient)| reply::outcome(outcome, recipient, over_quota));
        transaction.reply_each(&mut self.replies, replies);
        self.errors = 0;
        self.receipt = Receipt::Owed;
        self.phase = Phase::Command;
        if self.gone {
            self.disconnected();
        }
        Ok(())
    }

    /// The client is gone: no more input will come, and no reply will be read. An unfinished
    /// message is aborted. A complete one stays: [`delivered`](Self::delivered) may still be
    /// called, and its replies go nowhere.
    pub fn disconnected(&mut self) {
        self.gone = true;
        self.replies.clear();
        self.events
            .retain(|event| !matches!(event, Event::Reply(_)));
        self.input.clear();
        if matches!(self.phase, Phase::Delivering | Phase::Closed) {
            return;
        }
        self.abandon();
        self.phase = Phase::Closed;
    }

    /// Ends the connection with a 421 as soon as no question is open. A message that is not
    /// complete then is aborted; see [`in_transaction`](Self::in_transaction).
    pub fn hang_up(&mut self, why: HangUp) {
        self.hang_up = Some(why);
    }

    /// Whether a transaction is open, from MAIL to the replies after the message. A server that
    /// goes down in peace waits until this is false.
    #[must_use]
    pub fn in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether the session is over: after `Quit`, or after [`disconnected`](Self::disconnected).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// The name that the client gave in its last LHLO, printable ASCII.
    #[must_use]
    pub fn lhlo(&self) -> Option<&str> {
        self.lhlo.as_deref()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// SIZE of the open transaction in bytes, if the client announced it: to check a quota when a
    /// recipient is asked about.
    #[must_use]
    pub fn size_hint(&self) -> Option<u64> {
        self.transaction.as_ref()?.size_hint
    }

    /// The settings that the session was made with.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Does one thing; false if there is nothing to do.
    fn step(&mut self) -> bool {
        if self.hang_up.is_some()
            && matches!(
                self.phase,
                Phase::Command | Phase::Data { .. } | Phase::Chunk { .. }
            )
        {
            self.say_goodbye();
            return true;
        }
        match &mut self.phase {
            Phase::Command => self.step_command(),
            Phase::Data { content, start } => {
                let start = *start;
                let piece = content.take(&mut self.input);
                self.step_data(start, piece)
            }
            Phase::Chunk { .. } => self.step_chunk(),
            Phase::Tls => {
                // Input is dropped when the event is taken, not before: the caller may push
                // between the 220 and this.
                if !self.flush() {
                    self.start_tls();
                }
                true
            }
            Phase::Closing => {
                self.emit(Event::Quit);
                self.phase = Phase::Closed;
                self.input.clear();
                true
            }
            Phase::Asking(_) | Phase::Delivering | Phase::Closed => false,
        }
    }

    fn step_command(&mut self) -> bool {
        let Some(line) = self.input.take_line() else {
            return false;
        };
        let parsed = match line.fault {
            Some(LineFault::TooLong) => Err(reply::LINE_TOO_LONG),
            Some(LineFault::BareLf) => Err(reply::BARE_LF),
            None => command::parse(&line.text),
        };
        if !matches!(parsed, Ok(Command::Quit)) || self.config.seen_by_quit {
            self.note_receipt(line.start);
        }
        match parsed {
            Ok(command) => self.run(command),
            Err(reply) => self.refuse_line(&line, &reply),
        }
        true
    }

    fn run(&mut self, command: Command<'_>) {
        match command {
            Command::Lhlo(name) => self.run_lhlo(name),
            Command::Mail(mail) => self.run_mail(&mail),
            Command::Rcpt { path } => self.run_rcpt(path),
            Command::Data => self.run_data(),
            Command::Bdat { octets, last } => self.run_bdat(octets, last),
            Command::Rset => {
                self.abandon();
                self.reply(&reply::RESET_OK);
            }
            Command::Noop => self.reply(&reply::NOOP_OK),
            Command::Vrfy => self.reply(&reply::VRFY_OK),
            Command::Help => self.reply(&reply::HELP),
            Command::StartTls => self.run_starttls(),
            Command::Quit => {
                self.abandon();
                self.reply(&reply::BYE);
                self.phase = Phase::Closing;
            }
        }
    }

    fn run_lhlo(&mut self, name: &str) {
        self.abandon();
        self.lhlo = Some(name.to_owned());
        let mut lines = vec![
            self.config.hostname().to_owned(),
            "PIPELINING".to_owned(),
            "8BITMIME".to_owned(),
            "SMTPUTF8".to_owned(),
            "ENHANCEDSTATUSCODES".to_owned(),
            "CHUNKING".to_owned(),
            format!("SIZE {}", self.config.size_bytes_max),
        ];
        if self.config.starttls && !self.tls {
            lines.push("STARTTLS".to_owned());
        }
        let last = lines.len().saturating_sub(1);
        for (index, line) in lines.iter().enumerate() {
            let mark = if index == last { ' ' } else { '-' };
            self.replies
                .put_slice(format!("250{mark}{line}\r\n").as_bytes());
        }
    }

    fn run_mail(&mut self, mail: &Mail<'_>) {
        if self.lhlo.is_none() {
            return self.refuse(&reply::LHLO_FIRST);
        }
        if self.transaction.is_some() {
            return self.refuse(&reply::NESTED_MAIL);
        }
        if mail
            .size
            .is_some_and(|size| size > self.config.size_bytes_max)
        {
            return self.reply(&reply::TOO_LARGE);
        }
        let sender = match mail.path {
            "" => None,
            path => match Address::parse(path, Side::Sender, mail.utf8) {
                Ok(address) => Some(address),
                Err(error) => return self.reply(&reply::bad_address(error, Side::Sender)),
            },
        };
        self.transaction = Some(Transaction::new(sender, mail.size, mail.utf8));
        self.reply(&reply::MAIL_OK);
    }

    fn run_rcpt(&mut self, path: &str) {
        let Some(transaction) = &self.transaction else {
            return self.refuse(&reply::MAIL_FIRST);
        };
        if transaction.begun {
            return self.refuse(&reply::IN_BDAT);
        }
        // No protocol error, nor is a bad address: the MTA passes on what it was given.
        if path.is_empty() {
            return self.reply(&reply::NULL_RECIPIENT);
        }
        // No protocol error: the MTA cannot know the limit, and sends the rest again.
        if transaction.recipients.len() >= self.config.recipients_max {
            return self.reply(&reply::TOO_MANY_RECIPIENTS);
        }
        match Address::parse(path, Side::Recipient, transaction.utf8) {
            Ok(address) => {
                // Replies gather on: a pipelined group of RCPT is answered in one piece.
                self.events.push_back(Event::Recipient(address.clone()));
                self.phase = Phase::Asking(address);
            }
            Err(error) => self.reply(&reply::bad_address(error, Side::Recipient)),
        }
    }

    /// Whether a message may begin now or go on with another BDAT.
    fn check_content(&self) -> Result<(), Reply> {
        let transaction = self.transaction.as_ref().ok_or(reply::MAIL_FIRST)?;
        if transaction.recipients.is_empty() {
            Err(reply::NO_RECIPIENTS)
        } else {
            Ok(())
        }
    }

    fn run_data(&mut self) {
        if let Err(reply) = self.check_content() {
            return self.refuse(&reply);
        }
        if self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.begun)
        {
            return self.refuse(&reply::IN_BDAT);
        }
        self.reply(&reply::GO_AHEAD);
        self.begin(None);
        self.phase = Phase::Data {
            content: Content::new(),
            start: self.input.position(),
        };
    }

    /// `start`: where the content began in the input.
    fn step_data(&mut self, start: u64, piece: Piece) -> bool {
        if matches!(piece, Piece::More) {
            return false;
        }
        self.note_receipt(start);
        match piece {
            Piece::More => {}
            Piece::Bytes(bytes) => {
                self.receive(bytes.len() as u64);
                self.hand_on(bytes);
            }
            Piece::End => self.complete(),
        }
        true
    }

    /// The octets of a BDAT follow whatever its answer is, and are taken off the input here.
    fn run_bdat(&mut self, octets: u64, last: bool) {
        let refused = self.check_content().err();
        if refused.is_none() {
            self.receive(octets);
            self.begin(last.then_some(octets));
        }
        let chunk = Chunk {
            octets,
            last,
            refused,
        };
        self.phase = Phase::Chunk {
            chunk,
            left: octets,
        };
    }

    fn step_chunk(&mut self) -> bool {
        let Phase::Chunk { chunk, left } = &mut self.phase else {
            return false;
        };
        if *left > 0 {
            let Some(bytes) = self.input.take_up_to(*left) else {
                return false;
            };
            *left -= bytes.len() as u64;
            if chunk.refused.is_none() {
                self.hand_on(bytes);
            }
            return true;
        }
        let phase = std::mem::replace(&mut self.phase, Phase::Command);
        let Phase::Chunk { chunk, .. } = phase else {
            return false;
        };
        let too_large = self
            .transaction
            .as_ref()
            .is_some_and(|message| message.too_large);
        match chunk {
            Chunk {
                refused: Some(reply),
                ..
            } => self.refuse(&reply),
            Chunk { last: true, .. } => self.complete(),
            Chunk { .. } if too_large => self.reply(&reply::TOO_LARGE),
            Chunk { octets, .. } => self.reply(&reply::chunk_ok(octets)),
        }
        true
    }

    fn begin(&mut self, octets: Option<u64>) {
        let event = self
            .transaction
            .as_mut()
            .and_then(|message| message.begin(octets));
        self.emit_some(event);
    }

    /// Counts octets of the message, and gives it up when they are too many.
    fn receive(&mut self, octets: u64) {
        let octets_max = self.config.size_bytes_max;
        let message = self.transaction.as_mut();
        let event = message.and_then(|message| message.receive(octets, octets_max));
        self.emit_some(event);
    }

    /// Hands content on, unless the message was given up.
    fn hand_on(&mut self, bytes: Bytes) {
        if self.transaction.as_ref().is_some_and(Transaction::is_open) {
            self.emit(Event::Data(bytes));
        }
    }

    /// All content is there: asks for the outcomes, or tells every recipient that it was too much.
    fn complete(&mut self) {
        if let Some(event) = self.transaction.as_mut().and_then(Transaction::end) {
            self.emit(event);
            self.phase = Phase::Delivering;
            return;
        }
        if let Some(transaction) = self.transaction.take() {
            transaction.reply_too_large(&mut self.replies);
        }
        self.phase = Phase::Command;
    }

    fn run_starttls(&mut self) {
        if self.tls {
            return self.refuse(&reply::IN_TLS);
        }
        if !self.config.starttls {
            return self.refuse(&reply::NO_TLS);
        }
        self.abandon();
        self.reply(&reply::TLS_READY);
        self.phase = Phase::Tls;
    }

    /// Nothing that came in clear text survives this.
    fn start_tls(&mut self) {
        self.input.clear();
        self.lhlo = None;
        self.transaction = None;
        self.tls = true;
        self.phase = Phase::Command;
        self.emit(Event::StartTls);
    }

    fn say_goodbye(&mut self) {
        self.abandon();
        match self.hang_up {
            Some(HangUp::Idle) => self.reply(&reply::IDLE),
            Some(HangUp::Shutdown) | None => self.reply(&reply::SHUTDOWN),
        }
        self.phase = Phase::Closing;
    }

    /// Drops the transaction, and aborts its message if one was begun.
    fn abandon(&mut self) {
        let event = self
            .transaction
            .take()
            .and_then(|mut transaction| transaction.abort());
        self.emit_some(event);
    }

    /// Says `Seen` if input from this position on can only have been sent with the replies known.
    fn note_receipt(&mut self, start: u64) {
        if let Receipt::Sent(end) = self.receipt
            && start >= end
        {
            self.receipt = Receipt::Clear;
            self.events.push_back(Event::Seen);
        }
    }

    /// Answers a line that could not be read.
    fn refuse_line(&mut self, line: &Line, reply: &Reply) {
        if command::is_bdat(&line.text) {
            self.abandon();
            self.reply(&reply::BAD_BDAT);
            self.phase = Phase::Closing;
        } else {
            self.refuse(reply);
        }
    }

    /// Answers a protocol error, and closes the connection when they are too many.
    fn refuse(&mut self, reply: &Reply) {
        self.reply(reply);
        self.errors = self.errors.saturating_add(1);
        if self.errors >= self.config.errors_max {
            self.abandon();
            self.reply(&reply::TOO_MANY_ERRORS);
            self.phase = Phase::Closing;
        }
    }

    fn reply(&mut self, reply: &Reply) {
        let utf8 = self
            .transaction
            .as_ref()
            .is_some_and(|transaction| transaction.utf8);
        reply.write(&mut self.replies, utf8);
    }

    /// Puts an event behind the replies that were given before it.
    fn emit(&mut self, event: Event) {
        self.flush();
        self.events.push_back(event);
    }

    fn emit_some(&mut self, event: Option<Event>) {
        if let Some(event) = event {
            self.emit(event);
        }
    }

    /// Makes an event of the gathered replies; false if there are none.
    fn flush(&mut self) -> bool {
        let any = !self.replies.is_empty();
        if any {
            self.events
                .push_back(Event::Reply(self.replies.split().freeze()));
        }
        any
    }
}
