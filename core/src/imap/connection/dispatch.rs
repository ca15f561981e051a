//! From a framed command to whoever answers it.

use super::asleep::{Asleep, wake, wakes};
use super::context::Context;
use super::reply::{Completion, Outcome};
use super::session::Session;
use super::view::View;
use super::{Activity, Connection, copy, fetch, list, mailboxes, search, select, store};
use crate::imap::grammar::{
    Command, Fault, MailboxEncoding, Rejected, SelectParameters, Tag, Tagged, parse_command,
};
use crate::mailbox::{MailboxName, ModSeq};
use crate::seal::Places;
use crate::workflow::{Io, Workflow};
use std::sync::Arc;

impl Connection {
    /// Parses a command and starts it.
    pub(super) fn command(&mut self, octets: &[u8]) {
        match parse_command(octets, &self.config, MailboxEncoding::ModifiedUtf7) {
            Ok(Tagged { tag, command }) => match self.legal(&command) {
                Ok(name) => {
                    self.enable_by(&command);
                    self.start(tag, name, command);
                }
                Err(why) => self.bad_command(Some(&tag), why),
            },
            Err(Rejected {
                tag: Some(tag),
                fault: Fault::Charset,
                text,
            }) => {
                let completion = Completion::no(text).with_code("BADCHARSET (US-ASCII UTF-8)");
                self.complete(&tag, &completion, "SEARCH");
            }
            Err(rejected) => self.bad_command(rejected.tag.as_ref(), rejected.text),
        }
    }

    fn start(&mut self, tag: Tag, name: &'static str, command: Command) {
        match command {
            Command::Capability => {
                let line = format!("* CAPABILITY {}\r\n", self.capabilities());
                self.write(line.as_bytes());
                self.complete(&tag, &Completion::ok("That is all"), name);
            }
            Command::Logout => {
                self.write(b"* BYE Until next time\r\n");
                self.complete(&tag, &Completion::ok("Logged out"), name);
                self.close();
            }
            Command::Id(_) => {
                self.write(b"* ID (\"name\" \"Restante\")\r\n");
                self.complete(&tag, &Completion::ok("Pleased to meet you"), name);
            }
            Command::StartTls => self.start_tls(&tag),
            Command::Login { user, password } => self.start_login(tag, user, password),
            Command::Authenticate { mechanism, initial } => {
                self.start_authenticate(tag, &mechanism, initial);
            }
            Command::Enable(names) => self.enable(&tag, &names),
            Command::Namespace => {
                self.write(b"* NAMESPACE ((\"\" \"/\")) NIL NIL\r\n");
                self.complete(&tag, &Completion::ok("Everything is yours"), name);
            }
            Command::Idle => self.start_idle(tag),
            Command::Noop if !self.session.is_selected() => {
                self.complete(&tag, &Completion::ok("Nothing was done"), name);
            }
            command => self.start_body(tag, name, command),
        }
    }

    fn start_tls(&mut self, tag: &Tag) {
        if !self.may_start_tls() {
            return self.bad_command(Some(tag), "STARTTLS is not offered now");
        }
        self.complete(tag, &Completion::ok("Begin TLS now"), "STARTTLS");
        // What came in the clear after STARTTLS may be anybody's (RFC 3501 §6.2.1).
        self.inbox.discard();
        self.outputs.push_back(crate::boundary::Output::StartTls);
        self.activity = Activity::StartingTls;
    }

    /// Commands that wait for storage or the account.
    fn start_body(&mut self, tag: Tag, name: &'static str, command: Command) {
        let Some(context) = self.context() else {
            return self.bad_command(Some(&tag), "Log in first");
        };
        let held = self.lend(&command);
        let asked = tag.clone();
        let body = Workflow::new(&self.ids, |io| run(io, context, held, asked, command));
        self.activity = Activity::Running { tag, name, body };
    }

    /// What a body works with; `None` before login.
    pub(super) fn context(&self) -> Option<Context> {
        let Session::Authenticated { keys, .. } = &self.session else {
            return None;
        };
        Some(Context {
            config: Arc::clone(&self.config),
            keys: Arc::clone(keys),
            places: Places::new(keys.account()),
            now: self.now,
            enabled: self.enabled,
        })
    }

    /// Lends what is selected to the body of `command`; if it is asleep, only to one that
    /// wakes it or ends the selection.
    fn lend(&mut self, command: &Command) -> Held {
        self.lend_if(|| wakes(command) || ends_selection(command))
    }

    /// Lends what is selected to a body that cannot know yet whether it is about that.
    pub(super) fn lend_anyway(&mut self) -> Held {
        self.lend_if(|| true)
    }

    fn lend_if(&mut self, though_asleep: impl Fn() -> bool) -> Held {
        let Session::Authenticated { view, asleep, .. } = &mut self.session else {
            return Held::Nothing;
        };
        if let Some(view) = view.take() {
            return Held::Awake(view);
        }
        match asleep.take_if(|_| though_asleep()) {
            Some(asleep) => Held::Asleep(asleep),
            None => Held::Nothing,
        }
    }
}

/// What a body holds of the selected mailbox.
pub(super) enum Held {
    Nothing,
    Awake(View),
    Asleep(Box<Asleep>),
}

impl Held {
    /// The command ends, and what is selected is as it was.
    pub(super) fn put_back(self, completion: Completion) -> Outcome {
        match self {
            Self::Nothing => Outcome::new(completion, None),
            Self::Awake(view) => Outcome::new(completion, Some(view)),
            Self::Asleep(asleep) => Outcome::asleep(completion, asleep),
        }
    }
}

fn ends_selection(command: &Command) -> bool {
    matches!(
        command,
        Command::Select { .. } | Command::Examine { .. } | Command::Unselect
    )
}

async fn select(
    io: &Io,
    context: &Context,
    closes: bool,
    name: MailboxName,
    read_only: bool,
    parameters: SelectParameters,
) -> Outcome {
    let select = select::Select {
        name,
        read_only,
        known: parameters.qresync,
    };
    select::select(io, context, closes, select).await
}

/// The body of a command. The ones for a selected mailbox have a view by
/// [the table](super::session).
async fn run(io: Io, context: Context, held: Held, tag: Tag, command: Command) -> Outcome {
    let closes = !matches!(held, Held::Nothing);
    let view = match held {
        Held::Nothing => None,
        Held::Awake(view) => Some(view),
        Held::Asleep(asleep) if wakes(&command) => match wake(&io, asleep).await {
            Ok(view) => Some(view),
            Err(mut outcome) => {
                if outcome.asleep.is_some() && matches!(command, Command::Noop) {
                    // NOOP cannot fail (RFC 3501 §6.1.2).
                    outcome.completion = Completion::ok("Nothing was done");
                }
                return outcome;
            }
        },
        Held::Asleep(_) => None,
    };
    let command = match command {
        Command::Select {
            mailbox,
            parameters,
        } => return select(&io, &context, closes, mailbox, false, parameters).await,
        Command::Examine {
            mailbox,
            parameters,
        } => return select(&io, &context, closes, mailbox, true, parameters).await,
        Command::Unselect => return select::unselect(&io).await,
        Command::List(list) => return list::list(&io, &context, view, list).await,
        Command::Status { mailbox, items } => {
            return list::status(&io, &context, view, mailbox, &items).await;
        }
        command => command,
    };
    let Some(view) = view else {
        return mailboxes::change(&io, None, &context, command).await;
    };
    match command {
        Command::Noop | Command::Check => select::refresh(&io, &context, view).await,
        Command::Close => select::close(&io, view).await,
        Command::Expunge => select::expunge(&io, &context, view, None).await,
        Command::UidExpunge(set) => select::expunge(&io, &context, view, Some(set)).await,
        Command::Fetch {
            uid,
            set,
            items,
            changed_since,
            vanished,
        } => {
            let wanted = fetch::Wanted {
                uid,
                set,
                items,
                changed_since: changed_since.map(ModSeq),
                vanished,
            };
            fetch::fetch(&io, &context, view, wanted).await
        }
        Command::Store {
            uid,
            set,
            change,
            silent,
            unchanged_since,
        } => {
            let store = store::Store {
                uid,
                set,
                change,
                silent,
                unchanged_since,
            };
            store::store(&io, &context, view, store).await
        }
        Command::Search {
            uid,
            key,
            return_options,
            ..
        } => {
            let search = search::Search {
                uid,
                key,
                return_options,
                tag,
            };
            search::search(&io, &context, view, search).await
        }
        Command::Copy { uid, set, mailbox } => {
            copy::copy(
                &io,
                &context,
                view,
                copy::Copy {
                    uid,
                    set,
                    mailbox,
                    expunge: false,
                },
            )
            .await
        }
        Command::Move { uid, set, mailbox } => {
            copy::copy(
                &io,
                &context,
                view,
                copy::Copy {
                    uid,
                    set,
                    mailbox,
                    expunge: true,
                },
            )
            .await
        }
        command => mailboxes::change(&io, Some(view), &context, command).await,
    }
}
