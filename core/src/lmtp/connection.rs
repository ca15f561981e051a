//! One socket of an LMTP client.

mod deadlines;
mod message;

use super::framing::{Inbox, Line};
use super::grammar::{self, Command, Mail, Path};
use super::post::{NoRecipient, PostReply, PostRequest};
use super::reply::{self, Reply};
use super::transaction::Transaction;
use crate::boundary::{Event, Input, Output, Wait};
use crate::config::Config;
use crate::delivery::Recipient;
use crate::random::{Random, Seed};
use crate::storage::RequestId;
use crate::time::{Instant, Now};
use crate::transmit::Transmit;
use crate::workflow::RequestIds;
use message::Framing;
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
        self.end_of_transmit().extend_from_slice(lines.as_bytes());
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

    fn ask(&mut self, request: PostRequest) -> RequestId {
        let id = self.ids.next();
        self.outputs.push_back(Output::Post(id, request));
        id
    }

    fn say(&mut self, reply: Reply) {
        reply.write(self.end_of_transmit());
    }

    /// Where the next answer goes. The client has time to read it from now on, if it has read all before.
    fn end_of_transmit(&mut self) -> &mut Vec<u8> {
        if self.transmit.len() == 0 {
            self.read = self.now.instant;
        }
        self.transmit.end()
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
