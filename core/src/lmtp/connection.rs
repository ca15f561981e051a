//! One socket of an LMTP client.

use super::copies::Start;
use super::data::Unstuffer;
use super::framing::{Inbox, Line};
use super::grammar::{self, Command, Mail, Path};
use super::post::{NoRecipient, PostReply, PostRequest};
use super::reply::{self, Reply};
use super::transaction::{Message, Transaction};
use crate::boundary::{Event, Input, Output, Reason, Wait};
use crate::config::Config;
use crate::delivery::Recipient;
use crate::random::{Random, Seed};
use crate::storage::RequestId;
use crate::time::{Instant, Now};
use crate::transmit::Transmit;
use crate::workflow::RequestIds;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;

/// The LMTP server's side of one socket. Its owner drives it as the
/// [crate's documentation](crate) shows; it never asks for an account or TLS, but for what
/// is in [`PostRequest`].
///
/// - [`handle_input`](Self::handle_input) never fails: what the client does wrong is
///   answered to the client, and so is what storage does wrong.
/// - After every input, [`poll_output`](Self::poll_output) is called until it returns
///   [`Output::Wait`] or [`Output::Close`].
/// - [`transmit`](Self::transmit) holds what is to be sent: at most
///   [`transmit_bytes_max`](Config::transmit_bytes_max) and the answers to one command.
///
/// Dropped before its end, it may leave objects that nobody names, and a message whose last
/// octet had come may still appear.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    now: Now,
    random: Random,
    ids: Arc<RequestIds>,
    inbox: Inbox,
    transmit: Transmit,
    outputs: VecDeque<Output>,
    greeted: bool,
    transaction: Option<Transaction>,
    activity: Activity,
    bad_commands: u32,
    /// When the client last did what it is given time for.
    heard: Instant,
    /// Octets of messages since then.
    progress: usize,
    /// When the client last read, if there is something to read.
    read: Instant,
    eof: bool,
    shutdown: bool,
}

/// What the connection is doing.
#[derive(Debug)]
enum Activity {
    /// Waiting for a command.
    Ready,
    /// RCPT: asking who that is.
    Finding {
        id: RequestId,
        text: String,
        since: Instant,
    },
    /// DATA or BDAT: asking for room.
    Entering {
        id: RequestId,
        framing: Framing,
        since: Instant,
    },
    /// Octets of a message come in.
    Receiving(Framing),
    /// A chunk that belongs to nothing is thrown away, then answered.
    Skipping(u64, Option<Reply>),
    /// The message has come; so many recipients were answered.
    Storing(usize),
    /// The socket is to be closed once everything is sent.
    Closing,
}

/// How the end of what comes in is found.
#[derive(Debug)]
enum Framing {
    /// DATA.
    Dots(Unstuffer),
    /// BDAT: octets to come, and whether they are the last.
    Chunk { left: u64, last: bool },
}

/// Octets of a message that give the client its whole time again.
const PROGRESS_OCTETS: usize = 16 * 1024;

impl Connection {
    /// Greets the client.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: Seed, now: Now) -> Self {
        let greeting = format!("220 {} LMTP Restante\r\n", config.lmtp_host);
        Self {
            config,
            now,
            random: Random::new(seed),
            ids: Arc::default(),
            inbox: Inbox::default(),
            transmit: greeting.into(),
            outputs: VecDeque::new(),
            greeted: false,
            transaction: None,
            activity: Activity::Ready,
            bad_commands: 0,
            heard: now.instant,
            progress: 0,
            read: now.instant,
            eof: false,
            shutdown: false,
        }
    }

    /// Takes an input. Call [`poll_output`](Self::poll_output) afterwards.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Received(octets) if !self.is_closing() => self.inbox.push(octets),
            Input::Eof => self.eof = true,
            Input::Transmitted(count) => self.transmitted(count),
            Input::Storage(id, response) => self.with_copies(|copies, now, outputs| {
                copies.storage(now, id, response, outputs);
            }),
            Input::Post(id, reply) => self.post_said(id, reply),
            Input::Timeout => self.timed_out(),
            Input::Shutdown => self.shutdown = true,
            // IMAP's; and octets after the end.
            Input::Derived(..) | Input::Account(_) | Input::TlsEstablished | Input::Received(_) => {
            }
        }
        while self.step() {}
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if self.is_closing() {
            return Output::Close;
        }
        Output::Wait(Wait {
            receive: match self.eof {
                true => 0,
                false => (self.config.receive_bytes_max).saturating_sub(self.inbox.len()),
            },
            deadline: self.deadlines().into_iter().flatten().min_by_key(|it| it.0),
        })
    }

    /// What is to be sent.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.transmit.waiting()
    }

    fn is_closing(&self) -> bool {
        matches!(self.activity, Activity::Closing)
    }

    fn transmitted(&mut self, count: usize) {
        self.read = self.now.instant;
        self.transmit.sent(count, self.config.transmit_bytes_max);
        self.transmit.rest();
    }

    /// One step; `false`: nothing more can be done before the next input.
    fn step(&mut self) -> bool {
        match core::mem::replace(&mut self.activity, Activity::Ready) {
            Activity::Ready => self.next_command(),
            Activity::Receiving(framing) => self.receive(framing),
            Activity::Skipping(left, reply) => self.skip(left, reply),
            Activity::Storing(answered) => self.store(answered),
            resting => {
                self.activity = resting;
                false
            }
        }
    }

    fn next_command(&mut self) -> bool {
        if self.shutdown {
            return self.bye(reply::SHUTDOWN);
        }
        if self.transmit.len() >= self.config.transmit_bytes_max {
            return false;
        }
        let line = match self.inbox.next_line(self.config.lmtp_line_bytes_max) {
            Line::Incomplete if self.eof => return self.close(),
            Line::Incomplete => return false,
            Line::Bare => {
                self.outputs.push_back(Output::Event(Event::BadCommand(
                    reply::BARE_LINE_END.text(),
                )));
                return self.bye(reply::BARE_LINE_END);
            }
            Line::TooLong => Err(reply::LINE_TOO_LONG),
            Line::Whole(line) => Ok(line),
        };
        self.heard = self.now.instant;
        match line.and_then(|line| grammar::parse(&line, &self.config)) {
            Ok(command) => self.command(command),
            Err(refusal) => self.refuse(refusal),
        }
        true
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Lhlo => self.greet(),
            Command::Hello => self.refuse(reply::NOT_LMTP),
            Command::Mail(mail) => self.mail(mail),
            Command::Rcpt(path) => self.recipient(path),
            Command::Data => self.data(),
            Command::Bdat(len, last) => self.chunk(len, last),
            Command::Rset => {
                self.drop_transaction();
                self.say(reply::OK);
            }
            Command::Noop => self.say(reply::OK),
            Command::Vrfy => self.say(reply::VERIFY),
            Command::Quit => {
                self.bye(reply::BYE);
            }
        }
    }

    /// RFC 2033 §4.1. It is a RSET as well (RFC 5321 §4.1.4).
    fn greet(&mut self) {
        self.drop_transaction();
        self.greeted = true;
        let (host, size) = (&self.config.lmtp_host, self.config.message_bytes_max);
        let lines = format!(
            "250-{host}\r\n250-PIPELINING\r\n250-SIZE {size}\r\n250-8BITMIME\r\n\
             250-SMTPUTF8\r\n250-ENHANCEDSTATUSCODES\r\n250 CHUNKING\r\n"
        );
        self.transmit.end().extend_from_slice(lines.as_bytes());
    }

    fn mail(&mut self, mail: Mail) {
        if !self.greeted || self.transaction.is_some() {
            return self.refuse(reply::SEQUENCE);
        }
        if mail
            .size
            .is_some_and(|size| size > self.config.message_bytes_max)
        {
            return self.say(reply::TOO_BIG);
        }
        self.bad_commands = 0;
        let sender = mail.sender.map(|path| path.text).unwrap_or_default();
        self.transaction = Some(Transaction::new(sender, mail.utf8));
        self.say(reply::SENDER_OK);
    }

    fn recipient(&mut self, path: Path) {
        let transaction = self.transaction.as_ref();
        let Some(transaction) = transaction.filter(|it| it.message.is_none()) else {
            return self.refuse(reply::SEQUENCE);
        };
        if !transaction.utf8 && !path.is_ascii() {
            return self.refuse(reply::NEEDS_UTF8);
        }
        if transaction.recipients() >= self.config.lmtp_recipients_max {
            return self.say(reply::TOO_MANY_RECIPIENTS);
        }
        self.activity = Activity::Finding {
            id: self.ask(PostRequest::Find(path.address)),
            text: path.text,
            since: self.now.instant,
        };
    }

    fn found(&mut self, text: String, found: Result<Recipient, NoRecipient>) {
        let reply = match (found, &mut self.transaction) {
            (Ok(recipient), Some(transaction)) => {
                transaction.add(recipient, text);
                reply::RECIPIENT_OK
            }
            (Err(NoRecipient::Unknown), _) => reply::NO_SUCH_ACCOUNT,
            (Err(NoRecipient::NotYet), _) => reply::NOT_YET,
            (Err(NoRecipient::Unavailable) | Ok(_), _) => reply::DIRECTORY,
        };
        self.say(reply);
    }

    fn data(&mut self) {
        match &self.transaction {
            Some(transaction) if transaction.message.is_some() => self.refuse(reply::SEQUENCE),
            Some(transaction) if transaction.recipients() > 0 => {
                self.enter(Framing::Dots(Unstuffer::default()));
            }
            // Whoever sends commands ahead cannot know yet that all RCPTs failed.
            Some(_) => self.say(reply::NO_RECIPIENT),
            None => self.refuse(reply::SEQUENCE),
        }
    }

    fn chunk(&mut self, left: u64, last: bool) {
        let framing = Framing::Chunk { left, last };
        match &self.transaction {
            Some(transaction) if transaction.message.is_some() => {
                self.activity = Activity::Receiving(framing);
            }
            Some(transaction) if transaction.recipients() > 0 => self.enter(framing),
            _ if left > self.config.skip_bytes_max => {
                self.bye(reply::TOO_BIG);
            }
            _ => {
                // A last chunk has an answer for each recipient: none (RFC 2033 §4.3).
                self.activity = Activity::Skipping(left, (!last).then_some(reply::SEQUENCE));
                if last {
                    self.transaction = None;
                }
            }
        }
    }

    /// A message begins, once there is room for its copies.
    fn enter(&mut self, framing: Framing) {
        let copies = self.transaction.as_ref().map_or(0, Transaction::mailboxes);
        self.activity = Activity::Entering {
            id: self.ask(PostRequest::Room(copies)),
            framing,
            since: self.now.instant,
        };
    }

    fn entered(&mut self, framing: Framing) {
        let chunked = matches!(framing, Framing::Chunk { .. });
        if let Some(transaction) = &mut self.transaction {
            let start = Start {
                config: &self.config,
                ids: &self.ids,
                random: &mut self.random,
                now: self.now,
            };
            let mut message = transaction.begin(start);
            message.copies.begin(&mut self.outputs);
            transaction.message = Some(message);
        }
        if !chunked {
            self.say(reply::GO_AHEAD);
        }
        self.heard = self.now.instant;
        self.activity = Activity::Receiving(framing);
    }

    /// There is no room in time.
    fn turned_away(&mut self, framing: Framing) {
        match framing {
            Framing::Dots(_) => self.say(reply::BUSY),
            chunk @ Framing::Chunk { .. } => {
                // Its octets come all the same.
                if let Some(transaction) = &mut self.transaction {
                    let refused = Message::refused(reply::BUSY, self.now.instant);
                    transaction.message = Some(refused);
                }
                self.activity = Activity::Receiving(chunk);
            }
        }
    }

    /// Takes octets of the message in, as many as the copies want.
    fn receive(&mut self, mut framing: Framing) -> bool {
        let Some(message) = self.transaction.as_mut().and_then(|it| it.message.as_mut()) else {
            // Whoever receives has a message.
            return self.close();
        };
        loop {
            if matches!(framing, Framing::Chunk { left: 0, .. }) {
                return self.received(framing);
            }
            // One octet may have been held back.
            let room = message
                .copies
                .room()
                .map_or(usize::MAX, |it| it.saturating_sub(1));
            let waiting = self.inbox.waiting();
            let octets = &waiting[..waiting.len().min(room)];
            if octets.is_empty() {
                break;
            }
            let mut plain = Vec::with_capacity(octets.len() + 1);
            let (taken, ended, bare) = match &mut framing {
                Framing::Dots(unstuffer) => {
                    let found = unstuffer.read(octets, &mut plain);
                    (found.taken, found.ended, found.bare)
                }
                Framing::Chunk { left, last } => {
                    let count = usize::try_from(*left).unwrap_or(usize::MAX);
                    plain.extend_from_slice(&octets[..octets.len().min(count)]);
                    *left -= plain.len() as u64;
                    let at_end = *last && *left == 0;
                    let bare =
                        message.line_ends.bare(&plain) || at_end && message.line_ends.bare_at_end();
                    (plain.len(), false, bare)
                }
            };
            self.inbox.take(taken);
            self.progress += taken;
            if self.progress >= PROGRESS_OCTETS {
                self.progress = 0;
                self.heard = self.now.instant;
            }
            message.size = message.size.saturating_add(plain.len() as u64);
            let too_big = message.size > self.config.message_bytes_max;
            if message.refusal.is_none() && (bare || too_big) {
                message.refusal = Some(match bare {
                    true => reply::BARE_IN_MESSAGE,
                    false => reply::TOO_BIG,
                });
                message.copies.abandon(&self.ids, &mut self.outputs);
            }
            let end = (self.config.message_bytes_max).saturating_add(self.config.skip_bytes_max);
            if message.size > end {
                return self.bye(reply::TOO_BIG);
            }
            let plain = Bytes::from(plain);
            message.copies.receive(self.now, &plain, &mut self.outputs);
            if ended {
                return self.received(framing);
            }
        }
        if self.eof && self.inbox.len() == 0 {
            return self.close();
        }
        self.activity = Activity::Receiving(framing);
        false
    }

    /// What was to come in has come.
    fn received(&mut self, framing: Framing) -> bool {
        self.heard = self.now.instant;
        let message = self.transaction.as_mut().and_then(|it| it.message.as_mut());
        let Some(message) = message else {
            return self.close();
        };
        if let Framing::Chunk { last: false, .. } = framing {
            let reply = message.refusal.unwrap_or(reply::CHUNK_OK);
            self.say(reply);
            return true;
        }
        // An empty last chunk may follow a CR.
        if message.refusal.is_none() && message.line_ends.bare_at_end() {
            message.refusal = Some(reply::BARE_IN_MESSAGE);
            message.copies.abandon(&self.ids, &mut self.outputs);
        }
        message.copies.end(self.now, &mut self.outputs);
        self.activity = Activity::Storing(0);
        true
    }

    /// Answers those recipients of whom it is known what became of their copies.
    fn store(&mut self, answered: usize) -> bool {
        let Some(transaction) = &self.transaction else {
            return true;
        };
        let recipients = transaction.recipients();
        let answers = transaction.answers(answered);
        let answered = answered + answers.len();
        for answer in answers {
            self.say(answer);
        }
        if answered < recipients {
            self.activity = Activity::Storing(answered);
            return false;
        }
        self.heard = self.now.instant;
        self.drop_transaction();
        true
    }

    fn skip(&mut self, left: u64, reply: Option<Reply>) -> bool {
        let waiting = self.inbox.len();
        let count = usize::try_from(left).map_or(waiting, |left| left.min(waiting));
        self.inbox.take(count);
        self.progress += count;
        if self.progress >= PROGRESS_OCTETS {
            self.progress = 0;
            self.heard = self.now.instant;
        }
        let left = left - count as u64;
        if left > 0 && self.eof {
            return self.close();
        }
        if left > 0 {
            self.activity = Activity::Skipping(left, reply);
            return false;
        }
        self.heard = self.now.instant;
        if let Some(reply) = reply {
            self.refuse(reply);
        }
        true
    }

    fn post_said(&mut self, id: RequestId, reply: PostReply) {
        match (
            core::mem::replace(&mut self.activity, Activity::Ready),
            reply,
        ) {
            (
                Activity::Finding {
                    id: asked, text, ..
                },
                PostReply::Found(found),
            ) if asked == id => {
                self.heard = self.now.instant;
                self.found(text, found);
            }
            (
                Activity::Entering {
                    id: asked, framing, ..
                },
                PostReply::Room,
            ) if asked == id => {
                self.entered(framing);
            }
            (activity, PostReply::Turn(writer)) => {
                self.activity = activity;
                self.with_copies(|copies, now, outputs| copies.turn(now, id, writer, outputs));
            }
            // An answer that nobody waits for was abandoned.
            (activity, _) => self.activity = activity,
        }
    }

    fn with_copies(
        &mut self,
        then: impl FnOnce(&mut super::copies::Copies, Now, &mut VecDeque<Output>),
    ) {
        let message = self.transaction.as_mut().and_then(|it| it.message.as_mut());
        if let Some(message) = message {
            let could = message.copies.room();
            then(&mut message.copies, self.now, &mut self.outputs);
            // As long as nothing more could be taken the client was not slow.
            if could == Some(0) {
                self.heard = self.now.instant;
            }
        }
    }

    /// Everything that there is time for, with the reason.
    fn deadlines(&self) -> [Option<(Instant, Reason)>; 4] {
        let config = &self.config;
        let client = |time| Some((self.heard.after(time), Reason::Command));
        let patience = |since: Instant| Some((since.after(config.lmtp_patience), Reason::Patience));
        let message = self.transaction.as_ref().and_then(|it| it.message.as_ref());
        let storing = matches!(self.activity, Activity::Storing(_));
        let own = match &self.activity {
            Activity::Ready if self.inbox.is_clean() && message.is_none() => Some((
                self.heard.after(config.lmtp_command_timeout),
                Reason::Inactivity,
            )),
            Activity::Ready => client(config.lmtp_command_timeout),
            Activity::Finding { since, .. } | Activity::Entering { since, .. } => patience(*since),
            Activity::Receiving(_) if message.and_then(|it| it.copies.room()) == Some(0) => None,
            Activity::Receiving(_) | Activity::Skipping(..) => client(config.lmtp_data_timeout),
            Activity::Storing(_) | Activity::Closing => None,
        };
        let whole = message.filter(|_| !storing).map(|message| {
            let end = message.began.after(config.lmtp_message_timeout);
            (end, Reason::Command)
        });
        let retry = message.and_then(|it| it.copies.deadline());
        let stall = (self.transmit.len() > 0).then(|| self.read.after(config.stall_timeout));
        [
            own,
            whole,
            retry.map(|at| (at, Reason::Retry)),
            stall.map(|at| (at, Reason::Stall)),
        ]
    }

    fn timed_out(&mut self) {
        let now = self.now.instant;
        let due = |deadline: Option<(Instant, Reason)>| deadline.is_some_and(|(at, _)| at <= now);
        let [own, whole, retry, stall] = self.deadlines().map(due);
        if stall {
            self.outputs
                .push_back(Output::Event(Event::Aborted("the client does not read")));
            self.close();
            return;
        }
        if retry {
            self.with_copies(|copies, now, outputs| copies.timeout(now, outputs));
        }
        if whole {
            self.bye(reply::TOO_SLOW);
        } else if own {
            match core::mem::replace(&mut self.activity, Activity::Ready) {
                Activity::Finding { id, .. } => {
                    self.outputs.push_back(Output::Abandon(id));
                    self.say(reply::DIRECTORY);
                }
                Activity::Entering { id, framing, .. } => {
                    self.outputs.push_back(Output::Abandon(id));
                    self.turned_away(framing);
                }
                Activity::Ready => {
                    self.bye(reply::SILENT);
                }
                _ => {
                    self.bye(reply::TOO_SLOW);
                }
            }
            self.heard = now;
        }
    }

    fn ask(&mut self, request: PostRequest) -> RequestId {
        let id = self.ids.next();
        self.outputs.push_back(Output::Post(id, request));
        id
    }

    fn say(&mut self, reply: Reply) {
        if self.transmit.len() == 0 {
            self.read = self.now.instant;
        }
        reply.write(self.transmit.end());
    }

    /// Answers what the client should not have said.
    fn refuse(&mut self, reply: Reply) {
        self.say(reply);
        self.outputs
            .push_back(Output::Event(Event::BadCommand(reply.text())));
        self.bad_commands += 1;
        if self.bad_commands >= self.config.lmtp_bad_commands_max {
            self.bye(reply::HOPELESS);
        }
    }

    fn bye(&mut self, reply: Reply) -> bool {
        self.say(reply);
        self.close()
    }

    fn close(&mut self) -> bool {
        match core::mem::replace(&mut self.activity, Activity::Closing) {
            Activity::Finding { id, .. } | Activity::Entering { id, .. } => {
                self.outputs.push_back(Output::Abandon(id));
            }
            _ => {}
        }
        self.drop_transaction();
        false
    }

    /// The transaction ends, and what came of its message with it.
    fn drop_transaction(&mut self) {
        let transaction = self.transaction.take();
        if let Some(mut message) = transaction.and_then(|it| it.message) {
            message.copies.abandon(&self.ids, &mut self.outputs);
            self.ask(PostRequest::Leave);
        }
    }
}
