//! APPEND and MULTIAPPEND (RFC 3501 §6.3.11, RFC 3502, RFC 7889): each message goes into
//! storage while it comes in, and all of them are named by the mailbox at the end, at once.

use super::asleep::BEHIND;
use super::context::Context;
use super::dispatch::Held;
use super::framing::{Collector, Frame};
use super::reply::{Completion, Outcome, target_failure};
use super::view::{Quiet, Renumber};
use super::{Activity, Connection};
use crate::account::{AccountReply, AccountRequest, InternalDate, NewMessage};
use crate::boundary::{Event, Reason};
use crate::imap::grammar::{
    AppendMessage, AppendNext, AppendStart, LiteralHeader, Tag, append_next, response,
};
use crate::mailbox::{ContentId, Flag, MailboxName};
use crate::random::Random;
use crate::seal::{ContentKind, ContentWriter, ItemKind};
use crate::storage::{InsertItem, RequestId, StorageError, StorageRequest, StorageResponse};
use crate::storing::{MessageObject, Written};
use crate::workflow::{Io, Workflow};
use bytes::Bytes;
use core::task::Poll;
use core::time::Duration;

/// An APPEND under way.
#[derive(Debug)]
pub(super) struct Appending {
    tag: Tag,
    mailbox: MailboxName,
    /// Stored, and named by nobody yet.
    messages: Vec<NewMessage>,
    /// Of some of them, to be stored by the commit.
    summaries: Vec<InsertItem>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// A message comes in.
    Storing {
        body: Workflow<Stored>,
        /// Octets of it that the body has not been given.
        left: u64,
        /// Octets since the client was last given more time.
        progress: u64,
    },
    /// What follows a message comes in.
    Segment,
    /// The mailbox takes them.
    Committing(Workflow<Outcome>),
}

/// How storing one message ended.
#[derive(Debug)]
enum Stored {
    /// With the summary, if the commit is to store it.
    Done(NewMessage, Option<InsertItem>),
    /// With the answer; `coming`: the client sends the literal all the same.
    Failed {
        completion: Completion,
        coming: bool,
    },
}

/// A message that is to come in.
struct Arriving {
    /// Ask whether this mailbox is there before the client sends octets.
    probe: Option<MailboxName>,
    literal: LiteralHeader,
    flags: Vec<Flag>,
    date: InternalDate,
    /// Octets of summaries that may wait for the commit.
    summaries_room: usize,
}

impl Appending {
    pub(super) fn wants_input(&self) -> bool {
        match &self.stage {
            Stage::Storing { body, left, .. } => *left > 0 && body.wants_input(),
            Stage::Segment => true,
            Stage::Committing(_) => false,
        }
    }

    pub(super) fn answer(&mut self, id: RequestId, response: StorageResponse) -> bool {
        match &mut self.stage {
            Stage::Storing { body, .. } => body.answer(id, response),
            Stage::Committing(body) => body.answer(id, response),
            Stage::Segment => false,
        }
    }

    pub(super) fn reply(&mut self, reply: AccountReply) {
        match &mut self.stage {
            Stage::Storing { body, .. } => body.reply(reply),
            Stage::Committing(body) => body.reply(reply),
            Stage::Segment => {}
        }
    }

    pub(super) fn is_paused(&self) -> bool {
        match &self.stage {
            Stage::Storing { body, .. } => body.is_paused(),
            Stage::Committing(body) => body.is_paused(),
            Stage::Segment => false,
        }
    }

    pub(super) fn rests(&self) -> Option<Duration> {
        match &self.stage {
            Stage::Storing { body, .. } => body.rests(),
            Stage::Committing(body) => body.rests(),
            Stage::Segment => None,
        }
    }

    pub(super) fn rested(&mut self) {
        match &mut self.stage {
            Stage::Storing { body, .. } => body.rested(),
            Stage::Committing(body) => body.rested(),
            Stage::Segment => {}
        }
    }

    pub(super) fn open_requests(&self) -> Vec<RequestId> {
        match &self.stage {
            Stage::Storing { body, .. } => body.open_requests(),
            Stage::Committing(body) => body.open_requests(),
            Stage::Segment => Vec::new(),
        }
    }
}

/// Octets of progress that give the client its whole time again.
const PROGRESS_OCTETS: u64 = 16 * 1024;

impl Connection {
    /// An APPEND has come up to its first message.
    pub(super) fn start_append(&mut self, start: AppendStart, literal: LiteralHeader) {
        let (tag, mailbox, message) = match start {
            AppendStart::Message {
                tag,
                mailbox,
                message,
            } => (tag, mailbox, message),
            AppendStart::Rejected(rejected) => {
                if let Some(tag) = rejected.tag {
                    let completion = Completion::bad(rejected.text);
                    return self.refuse_message(&tag, literal, completion);
                }
                return self.say_bye(rejected.text);
            }
            // The collector only hands over messages.
            AppendStart::Argument | AppendStart::NotAppend => {
                return self.abort("a literal without its command");
            }
        };
        if !self.session.is_authenticated() {
            return self.refuse_message(&tag, literal, Completion::bad("Log in first"));
        }
        let probe = Some(mailbox.clone());
        let stage = Stage::Segment;
        let appending = Box::new(Appending {
            tag,
            mailbox,
            messages: Vec::new(),
            summaries: Vec::new(),
            stage,
        });
        self.start_message(appending, probe, message, literal);
    }

    /// A message of APPEND begins.
    fn start_message(
        &mut self,
        mut appending: Box<Appending>,
        probe: Option<MailboxName>,
        message: AppendMessage,
        literal: LiteralHeader,
    ) {
        if let Some(completion) = self.unwelcome(appending.messages.len(), literal) {
            return self.refuse_message(&appending.tag, literal, completion);
        }
        let Some(context) = self.context() else {
            return self.abort("APPEND without an account");
        };
        let now_s = i64::try_from(self.now.unix_ms / 1_000).unwrap_or(i64::MAX);
        let now = InternalDate {
            unix_s: now_s,
            zone_min: 0,
        };
        let date = message.date.map_or(now, Into::into);
        let waiting = appending.summaries.iter().map(|it| it.value.len()).sum();
        let arriving = Arriving {
            summaries_room: (self.config.commit_summaries_bytes_max).saturating_sub(waiting),
            probe,
            literal,
            flags: message.flags,
            date,
        };
        let random = Random::new(self.random.seed());
        let body = Workflow::new(&self.ids, |io| store_message(io, context, random, arriving));
        appending.stage = Stage::Storing {
            body,
            left: literal.len,
            progress: 0,
        };
        self.activity = Activity::Appending(appending);
    }

    /// Why a message is not even begun.
    fn unwelcome(&self, messages_before: usize, literal: LiteralHeader) -> Option<Completion> {
        if literal.binary {
            return Some(Completion::bad("Binary literals are not offered"));
        }
        if literal.len == 0 {
            return Some(Completion::no("A message cannot be empty"));
        }
        if literal.len > self.config.message_bytes_max {
            return Some(Completion::no("The message is too big").with_code("TOOBIG"));
        }
        (messages_before >= self.config.append_messages_max)
            .then(|| Completion::no("Too many messages in one APPEND").with_code("LIMIT"))
    }

    /// Answers an APPEND whose literal will not be taken.
    fn refuse_message(&mut self, tag: &Tag, literal: LiteralHeader, completion: Completion) {
        if literal.synchronising {
            return self.complete(tag, &completion, "APPEND");
        }
        if literal.len > self.config.skip_bytes_max {
            return self.say_bye("The message is too big");
        }
        self.skip(tag, literal.len, completion);
    }

    /// Answers once the rest of the command is thrown away.
    fn skip(&mut self, tag: &Tag, left: u64, completion: Completion) {
        self.collector = Collector::skip(tag, left, "The message was not taken");
        self.refusal = Some(completion);
    }

    /// Goes on with an APPEND; `false` until the next input.
    pub(super) fn append(&mut self, mut appending: Box<Appending>) -> bool {
        match &mut appending.stage {
            Stage::Storing { .. } => self.storing(appending),
            Stage::Segment => self.segment(appending),
            Stage::Committing(body) => match self.resume(body) {
                Poll::Ready(outcome) => {
                    self.finish(&appending.tag, "APPEND", outcome);
                    true
                }
                Poll::Pending => self.rest(Activity::Appending(appending)),
            },
        }
    }

    fn storing(&mut self, mut appending: Box<Appending>) -> bool {
        let Stage::Storing {
            body,
            left,
            progress,
        } = &mut appending.stage
        else {
            return self.rest(Activity::Appending(appending));
        };
        let mut polled = self.resume(body);
        while polled.is_pending() && *left > 0 && self.inbox.len() > 0 && body.wants_input() {
            let count = usize::try_from(*left).unwrap_or(usize::MAX);
            let octets = Bytes::copy_from_slice(self.inbox.take(count));
            *left -= octets.len() as u64;
            *progress += octets.len() as u64;
            if *progress >= PROGRESS_OCTETS {
                *progress = 0;
                self.timers.stop(Reason::Command);
            }
            body.receive(octets);
            polled = self.resume(body);
        }
        let left = *left;
        match polled {
            Poll::Ready(Stored::Done(message, summary)) => {
                appending.messages.push(message);
                appending.summaries.extend(summary);
                appending.stage = Stage::Segment;
                self.collector = Collector::segment();
                self.activity = Activity::Appending(appending);
                true
            }
            Poll::Ready(Stored::Failed { completion, coming }) => {
                if coming {
                    self.skip(&appending.tag, left, completion);
                } else {
                    self.complete(&appending.tag, &completion, "APPEND");
                }
                true
            }
            Poll::Pending if self.eof && left > 0 && self.inbox.len() == 0 => {
                self.activity = Activity::Appending(appending);
                self.close();
                false
            }
            Poll::Pending => self.rest(Activity::Appending(appending)),
        }
    }

    fn segment(&mut self, appending: Box<Appending>) -> bool {
        match self.collector.advance(&mut self.inbox, &self.config) {
            Frame::Incomplete if self.eof => {
                self.close();
                false
            }
            Frame::Incomplete => self.rest(Activity::Appending(appending)),
            Frame::Command(octets) => {
                self.collector = Collector::default();
                match append_next(&octets, false, &self.config) {
                    AppendNext::End => self.commit(appending),
                    AppendNext::Message(_) => self.bad_command(Some(&appending.tag), NO_MESSAGE),
                    AppendNext::Rejected(rejected) => {
                        self.bad_command(Some(&appending.tag), rejected.text);
                    }
                }
                true
            }
            Frame::NextMessage(octets, literal) => {
                self.collector = Collector::default();
                match append_next(&octets, true, &self.config) {
                    AppendNext::Message(message) => {
                        self.start_message(appending, None, message, literal);
                    }
                    AppendNext::End => {
                        self.refuse_message(&appending.tag, literal, Completion::bad(NO_MESSAGE));
                    }
                    AppendNext::Rejected(rejected) => {
                        let completion = Completion::bad(rejected.text);
                        self.refuse_message(&appending.tag, literal, completion);
                    }
                }
                true
            }
            Frame::Refused(_, why) => {
                self.bad_command(Some(&appending.tag), why);
                true
            }
            Frame::Hopeless(why) => {
                self.say_bye(why);
                false
            }
            Frame::Continue | Frame::LoginInTheClear(_) | Frame::Message(..) => {
                self.abort("a new command inside APPEND");
                false
            }
        }
    }

    fn commit(&mut self, mut appending: Box<Appending>) {
        let Some(context) = self.context() else {
            return self.abort("APPEND without an account");
        };
        let held = self.lend_anyway();
        let name = appending.mailbox.clone();
        let messages = core::mem::take(&mut appending.messages);
        let summaries = core::mem::take(&mut appending.summaries);
        let request = AccountRequest::Append {
            name,
            messages,
            summaries,
        };
        let body = Workflow::new(&self.ids, |io| commit(io, context, held, request));
        appending.stage = Stage::Committing(body);
        self.activity = Activity::Appending(appending);
    }
}

const NO_MESSAGE: &str = "A message literal was expected";

/// Takes one message in: sealed chunks to its object, the summary beside it.
async fn store_message(io: Io, context: Context, random: Random, arriving: Arriving) -> Stored {
    let mut coming = !arriving.literal.synchronising;
    if let Some(name) = arriving.probe.clone()
        && let AccountReply::Failed(failure) = io.account(AccountRequest::Probe(name)).await
    {
        return Stored::Failed {
            completion: target_failure(failure),
            coming,
        };
    }
    match write_message(&io, &context, random, &arriving, &mut coming).await {
        Ok((message, summary)) => Stored::Done(message, summary),
        Err(error) => {
            let reason = error.to_string();
            io.event(Event::StorageFailed {
                step: "store a message",
                reason,
            });
            Stored::Failed {
                completion: storage_failure(&error),
                coming,
            }
        }
    }
}

async fn write_message(
    io: &Io,
    context: &Context,
    mut random: Random,
    arriving: &Arriving,
    coming: &mut bool,
) -> Result<(NewMessage, Option<InsertItem>), StorageError> {
    let config = &context.config;
    let content = ContentId::at(context.now.unix_ms, &mut random);
    let writer = ContentWriter::new(
        &context.keys,
        ContentKind::Message,
        content,
        config.chunk_bytes,
        &mut random,
    );
    let key = context.places.content(content);
    let mut object = MessageObject::create(io, key, writer, config).await?;
    if !*coming {
        io.write(|out| out.extend_from_slice(b"+ Ready for the message\r\n"));
        *coming = true;
    }
    let mut left = arriving.literal.len;
    while left > 0 {
        let octets = io.receive().await;
        left -= octets.len() as u64;
        object.write(&octets).await?;
    }
    let Written {
        request,
        place,
        summary,
        ..
    } = object.end().await?;
    let item = (place.len as usize <= config.summary_item_bytes_max).then(|| {
        let key = context.places.summary(content);
        let value = context
            .keys
            .seal_item(&key, ItemKind::Summary, &summary, &mut random);
        InsertItem {
            key,
            token: None,
            value,
        }
    });
    // The commit takes the summary along where it has room for it.
    let room = arriving.summaries_room;
    let (later, now) = match item {
        Some(item) if item.value.len() <= room => (Some(item), None),
        item => (None, item),
    };
    finish_message(io, request, now).await?;
    let message = NewMessage {
        content,
        kind: ContentKind::Message,
        size: arriving.literal.len,
        summary_offset: place.offset,
        summary_len: place.len,
        internal_date: arriving.date,
        flags: arriving.flags.clone(),
    };
    Ok((message, later))
}

/// Makes the object and the summary durable, side by side.
async fn finish_message(
    io: &Io,
    object: RequestId,
    item: Option<InsertItem>,
) -> Result<(), StorageError> {
    io.step("finish the object");
    let item = item.map(|item| io.start(StorageRequest::InsertItems(vec![item])));
    io.send(object, StorageRequest::FinishObject);
    let finished = io.answer(object).await;
    io.close(object);
    if let Some(item) = item {
        let inserted = io.answer(item).await;
        io.close(item);
        inserted?;
    }
    finished?;
    Ok(())
}

fn storage_failure(error: &StorageError) -> Completion {
    match error {
        StorageError::Full => Completion::no("Storage is full").with_code("OVERQUOTA"),
        _ => Completion::no("Storage does not answer, try again later").with_code("UNAVAILABLE"),
    }
}

/// Has the mailbox name what was stored. Who appends to the mailbox that it has selected is
/// told of the message at once (RFC 3501 §6.3.11), and sleeps no more.
async fn commit(io: Io, context: Context, held: Held, request: AccountRequest) -> Outcome {
    // What nobody has named for so long may be collected by now.
    let age_max = context.config.orphan_age_min / 2;
    let age_max = u64::try_from(age_max.as_millis()).unwrap_or(u64::MAX);
    let oldest = context.now.unix_ms.saturating_sub(age_max);
    if let AccountRequest::Append { messages, .. } = &request
        && messages.iter().any(|it| it.content.unix_ms() < oldest)
    {
        return held.put_back(Completion::no("That took too long, try again"));
    }
    match io.account(request).await {
        AccountReply::Appended {
            uid_validity,
            uids,
            snapshot,
        } => {
            let mut code = format!("APPENDUID {} ", uid_validity.0).into_bytes();
            response::set(
                &mut code,
                response::ranges(uids.iter().map(|uid| uid.get())),
            );
            let code = String::from_utf8_lossy(&code).into_owned();
            let completion = Completion::ok("Stored").with_code(&code);
            let mut view = match (held, snapshot) {
                (Held::Awake(mut view), snapshot) => {
                    if let Some(snapshot) = snapshot {
                        view.learn(snapshot);
                    }
                    view
                }
                (Held::Asleep(asleep), Some(snapshot)) => match asleep.into_view(snapshot) {
                    Some(view) => view,
                    None => return Outcome::last(completion, BEHIND),
                },
                (held, _) => return held.put_back(completion),
            };
            view.announce(&io, &context, Renumber::Allowed, &Quiet::default())
                .await;
            Outcome::new(completion, Some(view))
        }
        AccountReply::Failed(failure) => held.put_back(target_failure(failure)),
        _ => held.put_back(Completion::out_of_step()),
    }
}
