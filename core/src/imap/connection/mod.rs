//! One socket of an IMAP client.
//!
//! [`Connection`] is written as enums for what may come at any time (octets, time-outs,
//! changes of the mailbox, shutdown) and runs each command that waits for storage or the
//! account as a workflow, one at a time, in the order they came. Read [`framing`] for how
//! a command is found, [`dispatch`] for who answers it, and one file per command after that.

mod append;
mod asleep;
mod body;
mod context;
mod copy;
mod dispatch;
mod enable;
mod fetch;
mod framing;
mod idle;
mod list;
mod login;
mod mailboxes;
mod reply;
mod resync;
mod retries;
mod search;
mod select;
mod session;
mod store;
mod summaries;
#[cfg(test)]
mod tests;
mod timers;
mod vanished;
mod view;

use crate::account::{AccountReply, Snapshot};
use crate::boundary::{Event, Input, Output, Reason, Wait};
use crate::config::Config;
use crate::imap::grammar::Tag;
use crate::mailbox::MailboxState;
use crate::random::{Random, Seed};
use crate::storage::{RequestId, StorageResponse};
use crate::time::Now;
use crate::transmit::Transmit;
use crate::workflow::{Effect, RequestIds, Workflow};
use append::Appending;
use asleep::{Asleep, Stir};
use core::task::Poll;
use core::time::Duration;
use enable::Enabled;
use framing::{Collector, Frame, Inbox};
use idle::Idling;
use login::LoggingIn;
use reply::{Completion, Outcome};
use session::Session;
use std::collections::VecDeque;
use std::sync::Arc;
use timers::Timers;
use view::{Recent, View};

/// Where the client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// On the same machine: passwords may come without TLS.
    pub loopback: bool,
    /// TLS is established already (implicit TLS, RFC 8314).
    pub tls: bool,
}

/// The IMAP server's side of one socket. See the [crate's documentation](crate) for the
/// loop that its owner writes.
///
/// - [`handle_input`](Self::handle_input) never fails: what the client does wrong is
///   answered to the client, what storage does wrong becomes NO or an [`Event`].
/// - After every input, [`poll_output`](Self::poll_output) is called until it returns
///   [`Output::Wait`] or [`Output::Close`].
/// - [`transmit`](Self::transmit) holds what is to be sent, at most
///   [`transmit_bytes_max`](Config::transmit_bytes_max) and the last lines of a command;
///   [`Input::Transmitted`] says how much of it was.
#[derive(Debug)]
pub struct Connection {
    config: Arc<Config>,
    peer: Peer,
    now: Now,
    random: Random,
    ids: Arc<RequestIds>,
    inbox: Inbox,
    collector: Collector,
    /// What the command that is being skipped will be answered.
    refusal: Option<Completion>,
    transmit: Transmit,
    outputs: VecDeque<Output>,
    session: Session,
    enabled: Enabled,
    activity: Activity,
    /// The newest state of the selected mailbox, while a command holds the view.
    pending: Option<Pending>,
    timers: Timers,
    wrong_passwords: u32,
    /// Since a command last succeeded.
    bad_commands: u32,
    /// The selected mailbox was deleted while a command ran.
    vanished: bool,
    /// For a selected mailbox that is asleep.
    stir: Stir,
    eof: bool,
    shutdown: bool,
}

const VANISHED: &str = "The selected mailbox was deleted";

/// What came from the account while a command held the view.
#[derive(Debug)]
struct Pending {
    /// `None`: a reply to the command that runs brought a newer one.
    state: Option<Arc<MailboxState>>,
    recent: Recent,
}

/// What the connection is doing.
#[derive(Debug)]
enum Activity {
    /// Waiting for a command.
    Ready,
    /// A command's body runs.
    Running {
        tag: Tag,
        name: &'static str,
        body: Workflow<Outcome>,
    },
    /// LOGIN or AUTHENTICATE.
    LoggingIn(LoggingIn),
    /// APPEND.
    Appending(Box<Appending>),
    /// IDLE.
    Idling(Idling),
    /// The TLS handshake.
    StartingTls,
    /// The socket is to be closed once everything is sent.
    Closing,
    /// Closed.
    Closed,
}

impl Connection {
    /// Greets the client.
    #[must_use]
    pub fn new(config: Arc<Config>, seed: Seed, now: Now, peer: Peer) -> Self {
        let mut connection = Self {
            timers: Timers::default(),
            config,
            peer,
            now,
            random: Random::new(seed),
            ids: Arc::default(),
            inbox: Inbox::default(),
            collector: Collector::default(),
            refusal: None,
            transmit: Transmit::default(),
            outputs: VecDeque::new(),
            session: Session::NotAuthenticated,
            enabled: Enabled::default(),
            activity: Activity::Ready,
            pending: None,
            wrong_passwords: 0,
            bad_commands: 0,
            vanished: false,
            stir: Stir::None,
            eof: false,
            shutdown: false,
        };
        connection.timers.set(
            Reason::Login,
            now.instant.after(connection.config.login_timeout),
        );
        connection.greet();
        connection
    }

    /// Takes an input. Call [`poll_output`](Self::poll_output) afterwards.
    pub fn handle_input(&mut self, now: Now, input: Input<'_>) {
        self.now = now;
        match input {
            Input::Received(octets) => self.received(octets),
            Input::Eof => self.eof = true,
            Input::Transmitted(count) => self.transmitted(count),
            Input::Storage(id, response) => self.storage_answered(id, response),
            Input::Derived(id, result) => self.derived(id, result),
            Input::Account(reply) => self.account_said(reply),
            // LMTP's.
            Input::Post(..) => {}
            Input::TlsEstablished => self.tls_established(),
            Input::Timeout => self.timed_out(),
            Input::Shutdown => self.shutdown = true,
        }
        self.proceed();
        if matches!(self.activity, Activity::Ready | Activity::Idling(_)) {
            // What a long command took is not kept for as long as the client is silent.
            self.transmit.rest();
            self.inbox.rest();
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Output {
        if let Some(output) = self.outputs.pop_front() {
            return output;
        }
        if matches!(self.activity, Activity::Idling(_)) {
            self.outputs = VecDeque::new();
        }
        match self.activity {
            Activity::Closing | Activity::Closed => {
                self.activity = Activity::Closed;
                Output::Close
            }
            _ => Output::Wait(Wait {
                receive: self.receive(),
                deadline: self.timers.next(),
            }),
        }
    }

    /// What is to be sent.
    #[must_use]
    pub fn transmit(&self) -> &[u8] {
        self.transmit.waiting()
    }

    /// How many octets can be taken now.
    fn receive(&self) -> usize {
        let room = self
            .config
            .receive_bytes_max
            .saturating_sub(self.inbox.len());
        match &self.activity {
            Activity::Ready | Activity::Idling(_) => room,
            Activity::Appending(appending) if appending.wants_input() => room,
            Activity::LoggingIn(login) if login.wants_input() => room,
            Activity::Closing | Activity::Closed | Activity::StartingTls => 0,
            _ if self.eof || self.inbox.lines() >= self.config.pipeline_max => 0,
            _ => room,
        }
    }

    fn received(&mut self, octets: &[u8]) {
        if matches!(
            self.activity,
            Activity::Closing | Activity::Closed | Activity::StartingTls
        ) {
            return;
        }
        self.inbox.push(octets);
    }

    fn transmitted(&mut self, count: usize) {
        self.transmit.sent(count, self.config.transmit_bytes_max);
        if self.transmit.len() == 0 {
            self.timers.stop(Reason::Stall);
        } else if count > 0 {
            self.timers.set(
                Reason::Stall,
                self.now.instant.after(self.config.stall_timeout),
            );
        }
    }

    fn storage_answered(&mut self, id: RequestId, response: StorageResponse) {
        // An answer that nobody waits for was abandoned: it is ignored.
        match &mut self.activity {
            Activity::Running { body, .. } => body.answer(id, response),
            Activity::Appending(appending) => appending.answer(id, response),
            _ => false,
        };
    }

    fn account_said(&mut self, reply: AccountReply) {
        match reply {
            AccountReply::Changed(snapshot) => self.changed(snapshot),
            AccountReply::Vanished => self.vanished(),
            AccountReply::Stirred => self.stirred(),
            reply => self.account_replied(reply),
        }
    }

    fn account_replied(&mut self, reply: AccountReply) {
        match &reply {
            AccountReply::Selected { .. } => {
                // What came before was about the mailbox selected before.
                self.pending = None;
                self.vanished = false;
            }
            AccountReply::Snapshot(_)
            | AccountReply::Stored { .. }
            | AccountReply::Copied { .. }
            | AccountReply::Appended {
                snapshot: Some(_), ..
            } => {
                // It is newer than what came before it.
                if let Some(pending) = &mut self.pending {
                    pending.state = None;
                }
            }
            _ => {}
        }
        match &mut self.activity {
            Activity::Running { body, .. } => body.reply(reply),
            Activity::Appending(appending) => appending.reply(reply),
            Activity::Idling(Idling {
                announcing: Some(body),
                ..
            }) => body.reply(reply),
            _ => {}
        }
    }

    /// Whether a body waits for nothing but its next turn, which somebody has to give it.
    fn body_is_paused(&self) -> bool {
        match &self.activity {
            Activity::Running { body, .. } => body.is_paused(),
            Activity::Appending(appending) => appending.is_paused(),
            Activity::Idling(Idling {
                announcing: Some(body),
                ..
            }) => body.is_paused(),
            _ => false,
        }
    }

    /// How long a body wants to rest.
    fn body_rests(&self) -> Option<Duration> {
        match &self.activity {
            Activity::Running { body, .. } => body.rests(),
            Activity::Appending(appending) => appending.rests(),
            Activity::Idling(Idling { announcing, .. }) => announcing.as_ref()?.rests(),
            _ => None,
        }
    }

    fn body_rested(&mut self) {
        match &mut self.activity {
            Activity::Running { body, .. } => body.rested(),
            Activity::Appending(appending) => appending.rested(),
            Activity::Idling(Idling {
                announcing: Some(body),
                ..
            }) => body.rested(),
            _ => {}
        }
    }

    fn changed(&mut self, snapshot: Snapshot) {
        if let Session::Authenticated {
            view: Some(view), ..
        } = &mut self.session
        {
            view.learn(snapshot);
            return;
        }
        if let Session::Authenticated {
            asleep: Some(asleep),
            ..
        } = &mut self.session
        {
            // It was on its way when the client fell asleep.
            let mut recent = Recent::default();
            recent.grant(&snapshot);
            asleep.grant(recent);
            self.stir = Stir::Due;
            return;
        }
        if matches!(self.activity, Activity::Ready) {
            // A word about a mailbox that was unselected meanwhile.
            return;
        }
        let mut recent = self
            .pending
            .take()
            .map(|pending| pending.recent)
            .unwrap_or_default();
        recent.grant(&snapshot);
        self.pending = Some(Pending {
            state: Some(snapshot.state),
            recent,
        });
    }

    /// The selected mailbox was deleted. A command that runs is answered first.
    fn vanished(&mut self) {
        match self.activity {
            Activity::Running { .. } | Activity::Appending(_) => self.vanished = true,
            _ => self.say_bye(VANISHED),
        }
    }

    fn timed_out(&mut self) {
        while let Some(reason) = self.timers.expired(self.now.instant) {
            match reason {
                Reason::KeepAlive => self.keep_alive(),
                Reason::Sleep => self.tired(),
                Reason::Penalty => self.penalty_served(),
                Reason::Stall => self.abort("the client does not read"),
                Reason::Login => self.say_bye("You did not log in in time"),
                Reason::Inactivity => self.say_bye("You were silent for too long"),
                Reason::Command => self.say_bye("Your command was not complete in time"),
                // The body goes on because it is resumed.
                Reason::Turn => {}
                Reason::Retry => self.body_rested(),
                // LMTP's, which is never set here.
                Reason::Patience => {}
            }
        }
    }

    /// Does whatever can be done now.
    fn proceed(&mut self) {
        while self.step() {}
        self.arm_timers();
    }

    /// One step; `false`: nothing more can be done before the next input.
    fn step(&mut self) -> bool {
        match core::mem::replace(&mut self.activity, Activity::Ready) {
            Activity::Ready => self.next_command(),
            Activity::Running { tag, name, body } => self.run(tag, name, body),
            Activity::LoggingIn(login) => self.log_in(login),
            Activity::Appending(appending) => self.append(appending),
            Activity::Idling(idling) => self.idle(idling),
            Activity::StartingTls => self.rest(Activity::StartingTls),
            Activity::Closing => self.rest(Activity::Closing),
            Activity::Closed => self.rest(Activity::Closed),
        }
    }

    /// Stays in `activity` until the next input.
    fn rest(&mut self, activity: Activity) -> bool {
        self.activity = activity;
        false
    }

    fn next_command(&mut self) -> bool {
        if self.shutdown {
            self.say_bye("The server is going down");
            return false;
        }
        // An APPEND that was refused before its end has not looked.
        if self.refusal.is_none() && core::mem::take(&mut self.vanished) {
            self.say_bye(VANISHED);
            return false;
        }
        if self.transmit.len() >= self.config.transmit_bytes_max {
            return false;
        }
        let frame = match self.collector.advance(&mut self.inbox, &self.config) {
            Frame::Continue if !self.may_log_in() => {
                self.collector.continue_in_the_clear(&self.config)
            }
            frame => frame,
        };
        if !matches!(frame, Frame::Incomplete | Frame::Continue) {
            // Any command will do, also one that fails (RFC 3501 §5.4). The next one has
            // its own time.
            self.timers.stop(Reason::Inactivity);
            self.timers.stop(Reason::Command);
        }
        match frame {
            Frame::Incomplete => {
                if self.eof {
                    self.close();
                }
                return false;
            }
            Frame::Command(octets) => self.command(&octets),
            Frame::Continue => self.write(b"+ Ready for the literal\r\n"),
            Frame::Message(start, literal) => self.start_append(start, literal),
            Frame::NextMessage(..) => self.abort("a segment of APPEND outside APPEND"),
            Frame::LoginInTheClear(Some(tag)) => self.refuse_plaintext(&tag, "LOGIN"),
            Frame::LoginInTheClear(None) => self.bad_command(None, "The tag is missing"),
            Frame::Refused(tag, why) => self.refused(tag, why),
            Frame::Hopeless(why) => self.say_bye(why),
        }
        true
    }

    /// A command was skipped: it gets the answer that it was skipped for.
    fn refused(&mut self, tag: Option<Tag>, why: &'static str) {
        match (self.refusal.take(), tag) {
            (Some(completion), Some(tag)) => self.complete(&tag, &completion, "APPEND"),
            (_, tag) => self.bad_command(tag.as_ref(), why),
        }
    }

    /// Resumes a command's body.
    fn run(&mut self, tag: Tag, name: &'static str, mut body: Workflow<Outcome>) -> bool {
        match self.resume(&mut body) {
            Poll::Ready(outcome) => {
                self.finish(&tag, name, outcome);
                true
            }
            Poll::Pending => self.rest(Activity::Running { tag, name, body }),
        }
    }

    /// Resumes a body until it ends or waits for something that is not here.
    fn resume<T>(&mut self, body: &mut Workflow<T>) -> Poll<T> {
        loop {
            body.exchange_output(&mut self.transmit, self.config.transmit_bytes_max);
            let outcome = body.resume();
            while let Some(effect) = body.next_effect() {
                self.outputs.push_back(match effect {
                    Effect::Storage(id, request) => Output::Storage(id, request),
                    Effect::Account(request) => Output::Account(request),
                    Effect::Abandon(id) => Output::Abandon(id),
                    Effect::Event(event) => Output::Event(event),
                });
            }
            if outcome.is_ready() {
                body.take_output(self.transmit.end());
                return outcome;
            }
            let moved = body.exchange_output(&mut self.transmit, self.config.transmit_bytes_max);
            if !(moved && body.wants_room()) {
                return Poll::Pending;
            }
        }
    }

    fn finish(&mut self, tag: &Tag, name: &'static str, mut outcome: Outcome) {
        if let Some(reason) = outcome.abort {
            self.abort(reason);
            return;
        }
        self.say_due_modseq(&mut outcome);
        let vanished = core::mem::take(&mut self.vanished);
        let Outcome {
            completion,
            view,
            asleep,
            unread,
            left,
            bye,
            ..
        } = outcome;
        if left {
            self.forget_asleep();
        }
        self.put_back(view, asleep, unread);
        self.complete(tag, &completion, name);
        if let Some(words) = bye {
            return self.say_bye(words);
        }
        // Deleted by another connection, and not left by this command: there is no
        // response for that in RFC 3501, and ending the connection is what RFC 2180 §3.3
        // suggests.
        if vanished && self.session.is_selected() {
            self.say_bye(VANISHED);
        }
    }

    /// HIGHESTMODSEQ in the tagged response where that is free, else in a line before it.
    fn say_due_modseq(&mut self, outcome: &mut Outcome) {
        let due = outcome.view.as_mut().and_then(View::take_due_modseq);
        let Some(modseq) = due else {
            return;
        };
        if outcome.completion.takes_code() {
            outcome
                .completion
                .set_code(&format!("HIGHESTMODSEQ {}", modseq.0));
        } else {
            view::highest_modseq(self.transmit.end(), modseq);
        }
    }

    /// Puts the view back that a body held, and what came meanwhile into it.
    /// `unread`: it is still asleep because it could not be read.
    fn put_back(&mut self, awake: Option<View>, still_asleep: Option<Box<Asleep>>, unread: bool) {
        let pending = self.pending.take();
        let Session::Authenticated { view, asleep, .. } = &mut self.session else {
            return;
        };
        *view = awake;
        if still_asleep.is_some() {
            *asleep = still_asleep;
        }
        if unread && self.stir == Stir::Due {
            // What stirred it is still not told, but it cannot be read now.
            self.stir = Stir::Later;
        }
        match (view, asleep) {
            (Some(view), _) => {
                self.stir = Stir::None;
                if let Some(pending) = pending {
                    let told = view.recent_count();
                    view.catch_up(pending.state, pending.recent);
                    // Messages that the body told of may have been given to this client before
                    // it ran, and the body did not know.
                    let recent = view.recent_count();
                    if recent != told {
                        view::line(self.transmit.end(), recent, "RECENT");
                    }
                }
            }
            (None, Some(asleep)) => {
                if let Some(pending) = pending {
                    asleep.grant(pending.recent);
                    self.stir = Stir::Due;
                }
            }
            (None, None) => self.stir = Stir::None,
        }
    }

    /// The selected mailbox is selected no more.
    fn forget_asleep(&mut self) {
        if let Session::Authenticated { asleep, .. } = &mut self.session {
            *asleep = None;
        }
    }

    /// Writes the tagged response.
    fn complete(&mut self, tag: &Tag, completion: &Completion, name: &'static str) {
        completion.write(tag, self.transmit.end());
        if completion.is_ok() {
            self.bad_commands = 0;
        }
        self.event(Event::Completed { command: name });
        self.timers.stop(Reason::Inactivity);
    }

    fn bad_command(&mut self, tag: Option<&Tag>, why: &'static str) {
        match tag {
            Some(tag) => Completion::bad(why).write(tag, self.transmit.end()),
            None => self.write_line("* BAD ", why),
        }
        self.event(Event::BadCommand(why));
        self.bad_commands += 1;
        if self.bad_commands >= self.config.bad_commands_max {
            self.say_bye("Too many commands that make no sense");
        }
    }

    fn write(&mut self, octets: &[u8]) {
        self.transmit.end().extend_from_slice(octets);
    }

    fn write_line(&mut self, start: &str, text: &str) {
        self.write(start.as_bytes());
        self.write(text.as_bytes());
        self.write(b"\r\n");
    }

    fn event(&mut self, event: Event) {
        self.outputs.push_back(Output::Event(event));
    }

    /// `* BYE`, then the end.
    fn say_bye(&mut self, why: &str) {
        self.write_line("* BYE ", why);
        self.close();
    }

    /// Ends without a word: whatever would be sent now would be taken for message octets.
    fn abort(&mut self, why: &'static str) {
        self.event(Event::Aborted(why));
        self.transmit.clear();
        self.close();
    }

    fn close(&mut self) {
        let open = match &self.activity {
            Activity::Running { body, .. } => body.open_requests(),
            Activity::Appending(appending) => appending.open_requests(),
            _ => Vec::new(),
        };
        self.outputs.extend(open.into_iter().map(Output::Abandon));
        self.activity = Activity::Closing;
        self.timers = Timers::default();
    }
}
